//! Runs a [`Topology`](operators::Topology) on a [`Log`](log::traits::Log):
//! group membership, exactly-once commits, restore, global tables, shutdown.
//!
//! [`Worker::step`] does one bounded piece of work and never waits; [`spawn`]
//! gives it a thread and a clock, tests step it themselves. What happens if the
//! process dies between any two steps is the table in `commit`. How to write a
//! topology: `operators/TUTORIAL.md`. This runs one on the embedded log:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use log::embedded::EmbeddedLog;
//! use log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
//! use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};
//! use operators_runtime::{Worker, WorkerSettings, spawn};
//! use state_stores::{MemoryEngine, StateDir, StateOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = StreamsBuilder::new("clicks-per-user");
//! builder
//!     .stream::<str, str>(&Topic::new("clicks", Utf8, Utf8))
//!     .group_by_key()
//!     .count(&Materialized::as_("counts", Utf8, I64Be))
//!     .to_stream()
//!     .to(&Topic::new("counts", Utf8, I64Be));
//! let topology = builder.build()?;
//!
//! let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory()?);
//! let admin = log.admin()?;
//! let topic = |name: &str| TopicSpec { name: name.into(), partitions: 1, replication: 1, cleanup: Cleanup::Keep };
//! admin.ensure_topics(&["clicks", "counts", "dead_letters"].map(topic))?;
//!
//! let state = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new(admin.log_id()?))?;
//! let worker = Worker::new(topology, log.clone(), state, WorkerSettings::new("example"), 1);
//! let now = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
//! let handle = spawn(worker, Arc::new(now), |_| {})?;
//!
//! let click = NewRecord { key: Some(b"ada"), value: Some(b"/cart"), timestamp: now(), headers: &[] };
//! for _ in 0..2 {
//!     log.appender("site")?.append("clicks", None, click, Box::new(|written| drop(written.expect("room"))));
//! }
//! let mut counts = Vec::new();
//! let mut reader = log.reader("example", Isolation::ReadCommitted, Visibility::Written)?;
//! reader.assign(&[(TopicPartition::new("counts", 0), 0)])?;
//! while counts.len() < 2 {
//!     reader.poll(Duration::from_secs(10), 100, &mut |record| counts.push(record.value.map(<[u8]>::to_vec)))?;
//! }
//! assert_eq!(counts[1].as_deref(), Some(&2_i64.to_be_bytes()[..]));
//!
//! handle.close();
//! handle.join()?;
//! # Ok(())
//! # }
//! ```
//!
//! Not here: operators (pure, in `operators`), clients (in `operators/log`),
//! rows (in `state-stores`), anything about orders.

mod admin;
pub mod app;
mod assignment;
mod backoff;
mod calls;
mod catch_up;
mod clock;
mod commit;
mod dead_letters;
mod drops;
mod error;
mod globals;
mod guarantee;
mod lag;
mod leave;
mod level;
mod live;
mod manifest;
mod members;
mod memory_plan;
mod observed;
mod pace;
mod parked;
mod process;
mod purge;
mod queries;
mod recover;
mod restore;
mod restore_rows;
mod restored;
mod scan;
mod settings;
#[cfg(feature = "simulation")]
pub mod simulation;
mod standby;
mod tasks;
mod thread;
mod topics;
mod turn;
mod waiting;
mod worker;

pub use admin::{AdminParts, Describe, serve_admin};
pub use calls::Completion;
pub use clock::Clock;
pub use commit::CommitStage;
pub use dead_letters::{
    BadLetterId, DeadLetter, DeadLetterError, LetterId, Settle, dead_letters, settle_dead_letters,
};
pub use error::WorkerError;
pub use guarantee::ProcessingGuarantee;
pub use lag::{InputLag, LagWatch};
pub use manifest::incarnation;
pub use members::{Announcements, Member, members};
pub use memory_plan::MemoryPlan;
pub use pace::{DroppedRecords, NodePace, TaskPace};
pub use parked::{LetGo, Parked, ParkedError, let_go, parked_keys};
pub use queries::{
    Answer, AnsweredBy, PeerError, Peers, Queries, QueryDoor, QueryError, Render, Row, Stale,
    StandbyLag, StoreListing, StoreQuery, TypedQuery, WindowTimes, render_plain,
};
pub use restore::RestoringStatus;
pub use settings::WorkerSettings;
pub use standby::StandbyStatus;
pub use thread::{StatusView, WorkerHandle, spawn};
pub use topics::{TopicPlan, plan};
pub use waiting::{CallsStatus, ParkingStatus};
pub use worker::{Progress, TaskStatus, Worker, WorkerStatus};
