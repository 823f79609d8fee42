//! The embedded log: topics, transactions and groups inside one process, over
//! any [`Engine`] (RocksDB or memory). No server, no threads but one, none at
//! all in simulation.
//!
//! | module | what |
//! |---|---|
//! | `keys`, `batch` | what lies in the engine |
//! | `topics`, `partition` | the log's content: numbers, newest records, who waits |
//! | `shared` | the one write path, sync, failure |
//! | `open` | transactions that lie open in the log (simulation) |
//! | `appender`, `producer`, `plain`, `reader`, `consumer`, `admin` | the clients of [`crate::traits`] |
//! | `group`, `assignor` | the coordinator, pure |
//! | `maintenance`, `compaction` | retention and compaction in bounded steps |
//! | `upkeep` | offsets, groups and topics that a person changes |
//! | `committer`, `alarm` | time and waiting |
//! | `faults` | injected failures |
//!
//! # What holds
//!
//! * A transaction is buffered in memory and written in one engine batch at
//!   commit: records, markers, input offsets. Until then it has no offsets;
//!   hence the last stable offset always equals the end, and a crash leaves
//!   nothing to undo. Simulations ask for
//!   [`open_transactions`](EmbeddedOptions::open_transactions) instead, as on Kafka.
//! * Commit and abort take one offset per touched partition for the marker, and
//!   an abort those of its records too, so offsets have the same holes as on
//!   Kafka.
//! * What is visible is in the engine's write-ahead log. `Visibility::Written`
//!   sees it then, which survives `kill -9`; `Visibility::Durable` and the
//!   acknowledgement of an append wait for the sync, which survives power loss.
//! * Offsets are accepted only from the present generation, for partitions the
//!   member owns, checked again when the transaction commits. So nobody waits
//!   for unstable offsets (with open transactions: checked once, and waited for).
//! * Retention and tombstones count from when the log wrote a record.

mod admin;
mod alarm;
mod appender;
mod assignor;
mod batch;
mod committer;
mod compaction;
mod consumer;
mod cursor;
mod doubled;
mod faults;
mod group;
mod keys;
mod maintenance;
mod open;
mod options;
mod outbox;
mod partition;
mod plain;
mod producer;
mod reader;
mod shared;
mod topics;
mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use state_stores::{Durability, Engine, MemoryEngine, WriteBatch};
use uuid::Uuid;

pub use faults::{Fault, FaultPlan, Operation};
pub use options::{Clock, EmbeddedOptions};

use crate::{
    Admin, Appender, GroupConsumer, GroupOptions, Isolation, Log, LogError, Reader, TxnProducer,
    Visibility,
};
use shared::Shared;
use topics::Topics;

/// A log in this process. Dropping it syncs and ends it; clients that are left
/// get [`LogError::Fatal`].
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log that `engine` holds, or begins a new one. The engine needs
    /// a write-ahead log, and nobody else may write to it.
    pub fn open(engine: Arc<dyn Engine>, options: EmbeddedOptions) -> Result<Self, LogError> {
        let identity = identity(engine.as_ref(), options.seed)?;
        // What a killed process left in the system's cache counts as synced from here on.
        engine.sync().map_err(|error| LogError::Fatal(format!("syncing the log: {error}")))?;
        let topics = Topics::open(engine.as_ref(), identity)?;
        let open = open::OpenTransactions::recover(engine.as_ref(), &topics, (options.clock)())?;
        let background = options.background;
        let shared = Arc::new(Shared::new(engine, options, identity.to_string(), topics, open));
        let committer = background.then(|| committer::start(Arc::clone(&shared))).transpose()?;
        Ok(Self { shared, committer })
    }

    /// A log that ends with the process, for tests and examples.
    pub fn in_memory() -> Result<Self, LogError> {
        Self::open(Arc::new(MemoryEngine::new()), EmbeddedOptions::default())
    }

    /// Without a background thread: does what it would do now (sync, ends of
    /// sessions, one step of maintenance). True: call again, more is due.
    pub fn tick(&self) -> Result<bool, LogError> {
        committer::tick(&self.shared)
    }

    /// Ends the log as `kill -9` would: nothing more is written, synced or
    /// acknowledged. Reopen on the same engine to go on; what is lost is up to
    /// the engine.
    pub fn crash(&self) {
        let _ = self.shared.end("the log has crashed");
    }
}

impl Log for EmbeddedLog {
    fn admin(&self) -> Result<Box<dyn Admin>, LogError> {
        Ok(Box::new(admin::LogAdmin { shared: Arc::clone(&self.shared) }))
    }

    fn appender(&self, _client_id: &str) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(appender::PlainAppender { shared: Arc::clone(&self.shared) }))
    }

    fn txn_producer(
        &self,
        _client_id: &str,
        transactional_id: &str,
    ) -> Result<Box<dyn TxnProducer>, LogError> {
        Ok(Box::new(producer::Producer::new(Arc::clone(&self.shared), transactional_id)))
    }

    fn plain_producer(&self, _client_id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        Ok(Box::new(plain::PlainProducer::new(Arc::clone(&self.shared))))
    }

    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError> {
        Ok(Box::new(consumer::Consumer::new(Arc::clone(&self.shared), options.clone())))
    }

    fn reader(
        &self,
        _client_id: &str,
        isolation: Isolation,
        visibility: Visibility,
    ) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(reader::AssignedReader::new(Arc::clone(&self.shared), visibility, isolation)))
    }

    fn sync(&self) -> Result<(), LogError> {
        self.shared.sync()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        if self.shared.alive().is_ok() {
            if let Err(error) = self.shared.sync() {
                tracing::error!(%error, "the last sync of the log failed");
            }
            let _ = self.shared.end("the log was closed");
        }
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
        self.shared.refuse_waiting();
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog")
            .field("identity", &self.shared.identity)
            .field("groups", &self.shared.core.lock().groups)
            .finish_non_exhaustive()
    }
}

/// The log's identity, made on first opening.
fn identity(engine: &dyn Engine, seed: Option<u64>) -> Result<Uuid, LogError> {
    let failed = |error| LogError::Fatal(format!("opening the log: {error}"));
    let damaged =
        || LogError::Fatal("the log's identity is damaged; restore the data folder".to_owned());
    if let Some(found) = engine.get(keys::IDENTITY_KEY).map_err(failed)? {
        let format = engine.get(keys::FORMAT_KEY).map_err(failed)?.unwrap_or_default();
        if format != keys::FORMAT.to_be_bytes() {
            let expected = keys::FORMAT;
            return Err(LogError::Fatal(format!(
                "the log has format {format:?}, this program reads {expected}; use the program that wrote it"
            )));
        }
        return Uuid::try_parse_ascii(&found).map_err(|_| damaged());
    }
    let identity = seed
        .map_or_else(Uuid::new_v4, |seed| Uuid::new_v5(&Uuid::NAMESPACE_OID, &seed.to_be_bytes()));
    let mut batch = WriteBatch::new();
    batch.put(keys::IDENTITY_KEY, identity.to_string().as_bytes());
    batch.put(keys::FORMAT_KEY, &keys::FORMAT.to_be_bytes());
    engine.write(&batch, Durability::Synced).map_err(failed)?;
    Ok(identity)
}
