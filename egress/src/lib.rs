//! Results out: rows in SQL, the realtime feed, webhooks.
//!
//! | role | reads | writes |
//! |---|---|---|
//! | [`sink::run_sink`] | `user_feed`, `products`, `stock_levels`, `revenue_by_minute` | the read model, exactly once |
//! | [`websocket::run_websocket`] | `user_feed`, the read model | sockets (`contract.md` §2) |
//! | [`webhooks::run_webhooks`] | `user_feed`, `webhook_endpoints`, `webhook_commands` | signed POSTs (`contract.md` §3) |
//!
//! Each role is one async function over a [`log::Log`] and a
//! [`read_model::Database`]; it reads the log on a thread of its own and ends
//! when its token is cancelled.
//!
//! It is not: a place for decisions about orders. Everything here can be
//! stopped, lost and built again from the log.
//!
//! ```
//! use std::sync::Arc;
//!
//! use egress::codecs::Codecs;
//! use egress::sink::{SinkSettings, run_sink};
//! use log::{Cleanup, TopicSpec, embedded::EmbeddedLog, Log as _};
//! use read_model::{Database, DatabaseOptions};
//! use tokio_util::sync::CancellationToken;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let log = EmbeddedLog::in_memory()?;
//! let topic = |info: &schemas::topics::TopicInfo| TopicSpec {
//!     name: info.name.to_owned(), partitions: 1, replication: 1, cleanup: Cleanup::Keep,
//! };
//! log.admin()?.ensure_topics(&schemas::topics::ALL.iter().map(topic).collect::<Vec<_>>())?;
//!
//! let folder = tempfile::tempdir()?;
//! let database = Database::connect(
//!     &format!("sqlite://{}/orders.db", folder.path().display()), &DatabaseOptions::default(),
//! ).await?;
//! database.migrate().await?;
//! let codecs = Codecs::new(&schemas::avro::Local::source())?;
//!
//! let shutdown = CancellationToken::new();
//! shutdown.cancel(); // a real one runs until the process stops
//! run_sink(Arc::new(log), database, codecs, SinkSettings::default(), shutdown).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod asyncapi;
pub mod clock;
pub mod codecs;
mod dead_letters;
mod error;
pub mod feed;
mod reading;
pub mod sink;
pub mod sse;
pub mod webhooks;
pub mod websocket;

pub use error::EgressError;
