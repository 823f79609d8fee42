//! What all clients of one embedded log share: the engine, the topics and the
//! one write path.
//!
//! Invariants: offsets are given, and the engine written, under one lock (`core`)
//! in one batch; only afterwards is anything visible. So whoever acts on what it
//! read can rely on that being in the engine's write-ahead log before its own
//! writes. After a failed engine write or a crash nothing is accepted any more
//! (`ended`): fail closed, once, visibly.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use state_stores::{Durability, Engine, WriteBatch};

use super::alarm::Alarm;
use super::batch::Builder;
use super::faults::{Fault, Operation};
use super::group::Groups;
use super::keys::Bounds;
use super::maintenance::Maintenance;
use super::open::OpenTransactions;
use super::options::EmbeddedOptions;
use super::partition::{Mark, Partition, TailBudget};
use super::topics::Topics;
use crate::{Appended, Isolation, LogError, Visibility};

/// A write batch larger than this isn't kept for the next write.
const KEPT_BATCH: usize = 4 * 1024 * 1024;

/// Called once with the answer to an append.
pub(super) type Done = Box<dyn FnOnce(Appended) + Send>;

/// Who waits for a sync.
pub(super) struct Acknowledgement {
    pub(super) done: Done,
    pub(super) at: (u32, i64),
}

/// What changes under the write lock.
#[derive(Default)]
pub(super) struct Core {
    /// Newest holder of each transactional id.
    pub(super) epochs: BTreeMap<String, u64>,
    pub(super) groups: Groups,
    pub(super) open: OpenTransactions,
    pub(super) acknowledgements: Vec<Acknowledgement>,
    unsynced: BTreeMap<(u32, u32), Arc<Partition>>,
    batch: WriteBatch,
}

pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) options: EmbeddedOptions,
    pub(super) identity: String,
    pub(super) topics: Topics,
    pub(super) core: Mutex<Core>,
    pub(super) alarm: Alarm,
    pub(super) maintenance: Mutex<Maintenance>,
    pub(super) budget: TailBudget,
    /// One sync at a time.
    syncing: Mutex<()>,
    ended: OnceLock<String>,
}

/// What one partition gets in one write.
pub(super) struct Write {
    pub(super) partition: Arc<Partition>,
    pub(super) batches: Vec<Builder>,
    /// Offsets used up behind the records: 1 for a marker, more for what was
    /// aborted.
    pub(super) holes: i64,
    pub(super) mark: Mark,
}

impl Shared {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        options: EmbeddedOptions,
        identity: String,
        topics: Topics,
        open: OpenTransactions,
    ) -> Self {
        Self {
            engine,
            identity,
            topics,
            core: Mutex::new(Core { open, ..Core::default() }),
            alarm: Alarm::new(),
            maintenance: Mutex::new(Maintenance::new((options.clock)())),
            budget: TailBudget::new(options.tail_bytes),
            syncing: Mutex::new(()),
            ended: OnceLock::new(),
            options,
        }
    }

    pub(super) fn now(&self) -> i64 {
        (self.options.clock)()
    }

    /// An error once the log has failed, crashed or was closed.
    pub(super) fn alive(&self) -> Result<(), LogError> {
        match self.ended.get() {
            None => Ok(()),
            Some(why) => Err(LogError::Fatal(why.clone())),
        }
    }

    /// Ends the log for good and lets every waiting poll find out.
    pub(super) fn end(&self, why: &str) -> LogError {
        let why = self.ended.get_or_init(|| why.to_owned());
        self.alarm.stop();
        for topic in self.topics.all() {
            topic.partitions.iter().for_each(|partition| partition.notify_all());
        }
        LogError::Fatal(why.clone())
    }

    /// Begins an operation: refuses when the log has ended or a fault says so.
    /// The fault that comes afterwards is for [`finish`](Self::finish).
    pub(super) fn begin(&self, operation: Operation) -> Result<Option<Fault>, LogError> {
        self.alive()?;
        let Some(fault) = self.options.faults.as_ref().and_then(|plan| plan.next(operation)) else {
            return Ok(None);
        };
        let what = || format!("injected fault at {operation:?}");
        match fault {
            Fault::Retriable => Err(LogError::Retriable(what())),
            Fault::Abort => Err(LogError::Abort(what())),
            Fault::Fenced => Err(LogError::Fenced(what())),
            Fault::Refused => Err(LogError::Refused(what())),
            Fault::UnknownNotDone => Err(LogError::Unknown(what())),
            Fault::CrashBefore => Err(self.end("the log crashed (injected fault)")),
            Fault::UnknownDone
            | Fault::AnswerLost
            | Fault::CrashAfter
            | Fault::Unaware
            | Fault::Twice
            | Fault::Torn
            | Fault::Early
            | Fault::Late => Ok(Some(fault)),
        }
    }

    /// Ends an operation that was done.
    pub(super) fn finish(&self, fault: Option<Fault>) -> Result<(), LogError> {
        match fault {
            Some(Fault::CrashAfter) => Err(self.end("the log crashed (injected fault)")),
            Some(Fault::AnswerLost) => {
                Err(LogError::Retriable("injected fault: the answer was lost".to_owned()))
            }
            Some(Fault::Torn) => {
                Err(LogError::Abort("injected fault: a delivery failed".to_owned()))
            }
            Some(Fault::Unaware | Fault::Twice | Fault::Early | Fault::Late) => Ok(()),
            Some(_) => Err(LogError::Unknown("injected fault after the operation".to_owned())),
            None => Ok(()),
        }
    }

    /// Writes records, markers and whatever `extra` adds in one engine batch,
    /// then shows them. Gives, per write, the offset of its first record.
    pub(super) fn write(
        &self,
        core: &mut Core,
        writes: Vec<Write>,
        extra: impl FnOnce(&mut WriteBatch),
    ) -> Result<Vec<i64>, LogError> {
        let now = self.now();
        let batch = &mut core.batch;
        batch.clear();
        let mut firsts = Vec::with_capacity(writes.len());
        let mut shown = Vec::with_capacity(writes.len());
        for write in writes {
            let partition = write.partition;
            let mut bounds = partition.bounds();
            firsts.push(bounds.next);
            let mut batches = Vec::with_capacity(write.batches.len());
            for builder in write.batches {
                let records = i64::from(builder.records());
                let built = builder.finish(bounds.next, now);
                batch.put(&partition.row(built.base), &built.bytes);
                bounds.next += records;
                batches.push(built);
            }
            bounds.next += write.holes;
            batch.put(&partition.bounds_key(), &bounds.encode());
            shown.push((partition, batches, bounds.next, write.mark));
        }
        extra(batch);
        if let Err(error) = self.engine.write(batch, Durability::Wal) {
            return Err(self.end(&format!("the log could not be written and has stopped: {error}")));
        }
        if batch.byte_len() > KEPT_BATCH {
            *batch = WriteBatch::new();
        }
        let mut urgent = false;
        for (partition, batches, next, mark) in shown {
            urgent |= partition.wants_sync();
            core.unsynced
                .entry((partition.topic, partition.at.partition))
                .or_insert_with(|| Arc::clone(&partition));
            partition.publish(batches, next, &mark, &self.budget);
        }
        self.alarm.written(urgent);
        Ok(firsts)
    }

    /// Tells everybody who waits for a sync that it will not come.
    pub(super) fn refuse_waiting(&self) {
        let waiting = std::mem::take(&mut self.core.lock().acknowledgements);
        let why =
            self.alive().err().unwrap_or_else(|| LogError::Fatal("the log was closed".to_owned()));
        for waiting in waiting {
            (waiting.done)(Err(why.clone()));
        }
    }

    /// Changes the numbers of a partition that maintenance has worked on.
    /// `change` sees them as they are now and may add to the batch.
    pub(super) fn clean(
        &self,
        partition: &Partition,
        change: impl FnOnce(&mut Bounds, &mut WriteBatch),
    ) -> Result<(), LogError> {
        let core = &mut *self.core.lock();
        let mut bounds = partition.bounds();
        core.batch.clear();
        change(&mut bounds, &mut core.batch);
        core.batch.put(&partition.bounds_key(), &bounds.encode());
        if let Err(error) = self.engine.write(&core.batch, Durability::Wal) {
            return Err(self.end(&format!("the log could not be written and has stopped: {error}")));
        }
        partition.cleaned(bounds, &self.budget);
        self.alarm.written(false);
        Ok(())
    }

    /// Syncs the engine, then shows and acknowledges what that made durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let one = self.syncing.lock();
        let fault = self.begin(Operation::Sync)?;
        if !self.alarm.is_dirty() {
            // Another sync has just covered it.
            return self.finish(fault);
        }
        self.alarm.syncing();
        let (unsynced, acknowledgements) = {
            let core = &mut *self.core.lock();
            let unsynced: Vec<_> = std::mem::take(&mut core.unsynced)
                .into_values()
                .map(|partition| (stable(&partition), partition))
                .collect();
            (unsynced, std::mem::take(&mut core.acknowledgements))
        };
        let synced = self.engine.sync().map_err(|error| {
            self.end(&format!("the log could not be synced and has stopped: {error}"))
        });
        if synced.is_ok() {
            unsynced.iter().for_each(|(stable, partition)| partition.synced(*stable));
        }
        drop(one);
        for waiting in acknowledgements {
            (waiting.done)(synced.clone().map(|()| waiting.at));
        }
        synced.and_then(|()| self.finish(fault))
    }
}

fn stable(partition: &Partition) -> i64 {
    partition.visible(Visibility::Written, Isolation::ReadCommitted)
}
