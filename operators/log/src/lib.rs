//! The one door to the log: everything that is written to or read from a topic
//! goes through the traits of this crate, and nothing else in the workspace
//! names a Kafka client.
//!
//! | implementation | for |
//! |---|---|
//! | [`embedded`] on RocksDB | the default run: no servers, durable under one folder |
//! | [`embedded`] in memory | tests and simulation: injected faults, no threads, no clock |
//! | `kafka` (feature `kafka`) | production |
//!
//! One contract suite (feature `contract`) judges all three, so code above this
//! crate doesn't know which one it runs on.
//!
//! | capability | trait | used by |
//! |---|---|---|
//! | topics, offsets, groups, deletion | [`Admin`] | start, restore, repartition topics, commands |
//! | append, acknowledged when durable | [`Appender`], [`AppendExt`] | ingress |
//! | atomic transactions with input offsets | [`TxnProducer`] | workers |
//! | the same steps without atomicity | [`Log::plain_producer`] | workers, at least once |
//! | membership in a group | [`GroupConsumer`] | workers |
//! | chosen partitions | [`Reader`] | restore, global tables |
//! | all partitions of topics, asynchronous | [`Tail`] | ingress, egress |
//!
//! # One exactly-once step
//!
//! A member reads an order, writes what follows from it, and moves its input
//! offset in the same transaction: all of it happens or none.
//!
//! ```
//! use std::time::Duration;
//!
//! use operators_log::embedded::EmbeddedLog;
//! use operators_log::{AppendExt, Cleanup, GroupOptions, Log, NewRecord, Polled, TopicPartition, TopicSpec};
//!
//! # fn main() -> Result<(), operators_log::LogError> {
//! let log = EmbeddedLog::in_memory()?;
//! let admin = log.admin()?;
//! let topic = |name: &str| TopicSpec { name: name.into(), partitions: 1, replication: 1, cleanup: Cleanup::Keep };
//! admin.ensure_topics(&[topic("commands"), topic("events")])?;
//!
//! let command = NewRecord { key: Some(b"order-1"), value: Some(b"create"), timestamp: 0, headers: &[] };
//! futures::executor::block_on(log.appender("ingress")?.appended("commands", None, command))?;
//!
//! let mut producer = log.txn_producer("worker", "worker-0")?;
//! producer.init()?;
//! let mut member = log.group_consumer(&GroupOptions {
//!     group: "worker-group".into(),
//!     client_id: "00-worker".into(),
//!     session_timeout: Duration::from_secs(6),
//!     max_poll_interval: Duration::from_secs(60),
//!     instance_id: None,
//! })?;
//! member.subscribe(&["commands"])?;
//!
//! let mut membership = None;
//! let mut seen = Vec::new();
//! while seen.is_empty() {
//!     let visit = &mut |record: operators_log::ConsumedRecord<'_>| {
//!         seen.push((record.partition, record.offset, record.value.unwrap_or_default().to_vec()));
//!     };
//!     match member.poll(Duration::from_secs(1), 100, visit)? {
//!         Polled::Records(_) => {}
//!         Polled::Revoke { .. } => member.ack_revoke()?,
//!         Polled::Assign(partitions) => {
//!             let committed = admin.committed_offsets("worker-group", &partitions)?;
//!             let offsets: Vec<_> =
//!                 partitions.into_iter().zip(committed.into_iter().map(|next| next.unwrap_or(0))).collect();
//!             membership = Some(member.ack_assign(&offsets)?);
//!         }
//!     }
//! }
//!
//! let (partition, offset, _) = &seen[0];
//! let input = TopicPartition::new("commands", *partition);
//! let event = NewRecord { key: Some(b"order-1"), value: Some(b"created"), timestamp: 0, headers: &[] };
//! producer.begin()?;
//! producer.send("events", 0, event)?;
//! producer.send_offsets(&[(input.clone(), offset + 1)], membership.as_ref().expect("assigned"))?;
//! producer.flush()?;
//! producer.commit()?;
//!
//! assert_eq!(admin.committed_offsets("worker-group", &[input])?, [Some(1)]);
//! assert_eq!(producer.acknowledged(&TopicPartition::new("events", 0)), Some(1));
//! # Ok(())
//! # }
//! ```

mod append;
#[cfg(feature = "contract")]
pub mod contract;
pub mod embedded;
pub mod error;
pub mod group;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod record;
mod signal;
mod tail;
pub mod topic;
pub mod traits;

pub use append::{Acknowledged, AppendExt};
pub use error::LogError;
pub use group::{GroupDescription, GroupMember};
pub use record::{ConsumedRecord, Header, NewRecord, OwnedRecord, TopicPartition};
pub use tail::{Tail, TailBatch, TailFrom, TailOptions, TailRecord};
pub use topic::{Cleanup, TopicDescription, TopicSpec};
pub use traits::{
    Admin, Appended, Appender, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log,
    NativeGroup, Polled, Reader, TxnProducer, Visibility, Waker,
};
