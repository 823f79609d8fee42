//! What is on the wire: ids, money, message types, Avro codecs and the typed
//! topic catalogue. Knows no Kafka client, no HTTP and no database.

pub mod ids;
pub mod messages;
pub mod money;
pub mod time;

pub use ids::{OrderId, Sku, UserId};
pub use money::{Currency, Money};
pub use time::Micros;
