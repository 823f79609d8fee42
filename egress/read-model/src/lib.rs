//! The SQL schema and its queries: the egress writes, the ingress reads.
//!
//! One [`Database`] stands for Postgres (several processes) or SQLite (the
//! default run). All rows are derived from the log, so the whole schema can be
//! thrown away and built again (`orders sink rebuild`).
//!
//! * [`Database::order`], [`Database::orders`], [`Database::timeline`],
//!   [`Database::products`], [`Database::feed_snapshot`]: what callers see.
//! * [`Applied`]: "the read model shows it", without polling.
//! * [`Database::apply`]: one batch of the sink, exactly once.
//! * [`deliveries`]: what the webhook dispatcher owes.
//! * [`seal`]: secrets on their way through log and database.
//!
//! It is not: a cache of anything the log doesn't hold, and no place for
//! accounts, which are the ingress's own tables ([`Database::migrate_with`]).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use read_model::{Database, DatabaseOptions, OrderFilter, OrderPage};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let url = format!("sqlite://{}/orders.db", folder.path().display());
//! let database = Database::connect(&url, &DatabaseOptions::default()).await?;
//! database.migrate().await?;
//! let page = OrderPage::Skip { skip: 0, limit: 10 };
//! assert!(database.orders(&OrderFilter::default(), page).await?.is_empty());
//! # Ok::<(), read_model::ReadModelError>(())
//! # }).unwrap();
//! ```

pub mod applied;
mod apply;
mod batch;
mod database;
pub mod deliveries;
mod dialect;
mod error;
mod feed;
mod hold;
mod listen;
mod offsets;
mod orders;
mod products;
pub mod seal;
mod timeline;
pub mod webhook_target;

pub use applied::{Applied, AppliedBatch, NotApplied, OrderWatch, RequestWatch};
pub use batch::Batch;
pub use database::{Backend, Database, DatabaseOptions, Sqlite};
pub use error::ReadModelError;
pub use feed::FeedSnapshot;
pub use hold::Held;
pub use listen::listen;
pub use offsets::{Progress, StoredOffset, Unreadable};
pub use orders::{OrderFilter, OrderPage, OrderPosition, OrderRow};
pub use products::ProductRow;
pub use timeline::TimelineEntry;
