//! What is on the wire: ids, money, message types, Avro codecs and the typed
//! topic catalogue. Knows no Kafka client, no HTTP and no database.
//!
//! Reading order: [`messages`] (the types), [`topics`] (where each is
//! written), [`avro`] (how), [`transitions`] (the order's table), [`view`]
//! (the order as callers see it), [`money`] and [`json_money`].
//!
//! ```
//! use schemas::avro::{Decoder, Encoder, Local};
//! use schemas::messages::Product;
//! use schemas::{Money, Sku, topics};
//!
//! let source = Local::source();
//! let encoder = Encoder::for_topic(&topics::PRODUCTS, source.as_ref())?;
//! let decoder = Decoder::for_topic(&topics::PRODUCTS, source)?;
//!
//! let product = Product {
//!     product_id: Sku::new("prod-1"),
//!     name: "Mug".to_owned(),
//!     price: Money::parse("29.99", "USD".parse()?)?,
//!     version: 1,
//!     command_id: "c-1".to_owned(),
//! };
//! let mut bytes = Vec::new();
//! encoder.encode(&product, &mut bytes)?;
//! assert_eq!(decoder.decode(&bytes)?, product);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod avro;
pub mod ids;
pub mod json_money;
pub mod messages;
pub mod money;
pub mod pan;
pub mod samples;
pub mod time;
pub mod topics;
pub mod transitions;
pub mod view;

pub use ids::{OrderId, Sku, UserId};
pub use money::{Currency, Money};
pub use time::Micros;
