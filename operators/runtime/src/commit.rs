//! The commit, one phase per step: stage → offsets → flush → end → apply.
//!
//! | dies after | log | next owner finds |
//! |---|---|---|
//! | stage, offsets, flush | transaction open, then aborted by the successor's init or its time-out | old offsets, old changelog: processes the input again |
//! | end | committed | new offsets; changelog tail gives the state |
//! | apply | committed | the same |
//!
//! At least once has the same phases without a transaction (`guarantee`):
//!
//! | dies after | log | next owner |
//! |---|---|---|
//! | stage, offsets | outputs, perhaps rows; old offsets | processes the input again, on whatever rows are there |
//! | flush | outputs and rows, old offsets | the same, on all of them |
//! | end, apply | all of it | goes on |
//!
//! Invariant: offsets go into the transaction before the flush, so that a
//! former owner's transaction is always found as unstable offsets by the next.

use std::time::{Duration, Instant};

use log::error::LogError;
use log::record::{Header, NewRecord, TopicPartition};
use operators::FailedAt;
use state_stores::{StoreError, StoreIndex};

use crate::error::WorkerError;
use crate::guarantee::ProcessingGuarantee;
use crate::worker::{Phase, Progress, Slot, Then, Worker};

enum WriteBackError {
    Log(LogError),
    State(StoreError),
}

impl From<StoreError> for WriteBackError {
    fn from(error: StoreError) -> Self {
        Self::State(error)
    }
}

/// Which phase the next step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStage {
    /// Overlays become changelog records.
    Stage,
    /// Input positions go into the transaction.
    Offsets,
    /// Everything is acknowledged.
    Flush,
    /// The transaction ends.
    End,
    /// Overlays move into the committed layer.
    Apply,
}

impl Worker {
    /// `Ok` when a commit must start now; otherwise when one will.
    ///
    /// Positions alone are in no hurry: whoever reads our topics sees nothing of such a commit, and after a crash the same
    /// input leads to nothing again.
    pub(crate) fn commit_due(&self, drained: bool, now: i64) -> Result<(), Option<i64>> {
        let Some(since) = self.dirty_since else { return Err(None) };
        let earliest = self.commit_not_before;
        let latest = since + self.settings.commit_interval_ms;
        let staged: usize = self.slots.iter().map(|slot| slot.task.staged_bytes()).sum();
        let awaited = drained && (self.in_transaction || staged > 0);
        let due = now >= latest
            || staged >= self.settings.staged_bytes_max
            || (awaited && now >= earliest);
        if due { Ok(()) } else { Err(Some(if awaited { earliest } else { latest })) }
    }

    /// When the transaction that has ended is over for the log, too. Kafka answers before it has written the markers, and
    /// refuses the next transaction's first record until then (`CONCURRENT_TRANSACTIONS`): librdkafka tries that again after
    /// 20 ms, whatever its settings are. Waiting for about as long as the markers take costs less. Not with a backlog:
    /// there is enough to do meanwhile.
    fn settling(&self, now: i64) -> i64 {
        if !self.drained || self.settings.guarantee == ProcessingGuarantee::AtLeastOnce {
            return now;
        }
        // What the record before the answer took says how busy it is.
        let markers_ms = 2 + (now - self.commit_ending);
        now + markers_ms.min(self.settings.commit_min_interval_ms)
    }

    pub(crate) fn commit_step(
        &mut self,
        stage: CommitStage,
        then: Then,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        match stage {
            CommitStage::Stage => self.commit_began = now,
            CommitStage::End => self.commit_ending = now,
            _ => {}
        }
        let started = Instant::now();
        let done = match stage {
            CommitStage::Stage => match self.deliver_outputs().map(|()| self.stage(now)) {
                // A row too large for its changelog can't be kept, so its task can't go on.
                Ok(Err((slot, LogError::Refused(reason)))) => {
                    let at = FailedAt::Elsewhere(reason.clone());
                    return self.task_failed(slot, at, &reason, now);
                }
                delivered => delivered.and_then(|staged| staged.map_err(|(_, error)| error)),
            },
            CommitStage::Offsets => self.send_offsets(),
            CommitStage::Flush => self.producer(|producer| producer.flush()),
            CommitStage::End => self.producer(|producer| producer.commit()),
            CommitStage::Apply => {
                self.apply(now)?;
                self.measured(stage, started);
                return Ok(Progress::Busy);
            }
        };
        self.measured(stage, started);
        match done {
            Ok(()) => {
                let next = match stage {
                    CommitStage::Stage => CommitStage::Offsets,
                    CommitStage::Offsets => CommitStage::Flush,
                    CommitStage::Flush => CommitStage::End,
                    CommitStage::End | CommitStage::Apply => CommitStage::Apply,
                };
                if stage == CommitStage::End {
                    self.in_transaction = false;
                }
                self.phase = Phase::Committing(next, then);
                Ok(Progress::Busy)
            }
            Err(LogError::Retriable(reason)) => {
                tracing::debug!(
                    application = self.topology.application_id(),
                    ?stage,
                    reason,
                    "commit phase will be tried again"
                );
                Ok(self.later(now))
            }
            Err(error) => self.transaction_failed(error, now),
        }
    }

    /// How long a phase took on the wall; nothing is decided by it.
    fn measured(&self, stage: CommitStage, started: Instant) {
        let application = self.topology.application_id().to_owned();
        let phase = match stage {
            CommitStage::Stage => "stage",
            CommitStage::Offsets => "offsets",
            CommitStage::Flush => "flush",
            CommitStage::End => "end",
            CommitStage::Apply => "apply",
        };
        metrics::histogram!("stream_commit_phase_seconds", "application" => application, "phase" => phase)
            .record(started.elapsed().as_secs_f64());
    }

    fn producer(
        &mut self,
        call: impl FnOnce(&mut dyn log::traits::TxnProducer) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        match &mut self.clients {
            Some(clients) => call(clients.producer.as_mut()),
            None => Err(LogError::Fatal("worker has no producer".to_owned())),
        }
    }

    /// The error comes with the number of the slot whose row it was.
    fn stage(&mut self, now: i64) -> Result<(), (usize, LogError)> {
        self.begin().map_err(|error| (0, error))?;
        let Some(clients) = &mut self.clients else { return Ok(()) };
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let changelogs = &slot.changelogs;
            let producer = clients.producer.as_mut();
            let mut result = Ok(());
            slot.task.state().dirty(&mut |store: StoreIndex, key, value| {
                if let (Ok(()), Some(at)) = (&result, changelogs.get(store.0)) {
                    let record = NewRecord {
                        key: Some(key),
                        value,
                        timestamp: now,
                        headers: &[] as &[Header<'_>],
                    };
                    result = producer.send(&at.topic, at.partition, record);
                }
            });
            if self.one_by_one {
                result = result.and_then(|()| producer.flush());
            }
            result.map_err(|error| (number, error))?;
        }
        Ok(())
    }

    fn send_offsets(&mut self) -> Result<(), LogError> {
        let mut offsets: Vec<(TopicPartition, i64)> = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.task.uncommitted()) {
            for ((at, committed), position) in
                slot.inputs.iter().zip(&slot.committed).zip(slot.task.positions())
            {
                offsets.push((at.clone(), position.unwrap_or(*committed).max(*committed)));
            }
        }
        let Some(membership) = &self.membership else {
            return Err(LogError::Abort("not a member of the group".to_owned()));
        };
        if membership.generation < 0 || membership.member.is_empty() {
            return Err(LogError::Abort("left the group".to_owned()));
        }
        match &mut self.clients {
            Some(clients) => clients.producer.send_offsets(&offsets, membership),
            None => Ok(()),
        }
    }

    fn apply(&mut self, now: i64) -> Result<(), WorkerError> {
        let Some(clients) = &self.clients else { return Ok(()) };
        let mut records = 0_u64;
        for slot in self.slots.iter_mut().filter(|slot| slot.task.uncommitted()) {
            let next: Vec<(StoreIndex, i64)> = slot
                .changelogs
                .iter()
                .enumerate()
                .filter_map(|(store, at)| {
                    clients.producer.acknowledged(at).map(|next| (StoreIndex(store), next))
                })
                .collect();
            for (committed, position) in slot.committed.iter_mut().zip(slot.task.positions()) {
                let position = position.unwrap_or(*committed).max(*committed);
                records += u64::try_from(position - *committed).unwrap_or(0);
                *committed = position;
            }
            slot.task.committed(&next);
            let Slot { pace, task, .. } = slot;
            let dropped = pace.committed(now, &self.totals, |nodes| task.take_figures(nodes));
            self.drops.committed(slot.id, &dropped);
            self.observed.committed(slot.task.take_observations());
            self.publisher.committed(slot.id, &slot.committed);
            slot.forget_failures();
        }
        metrics::counter!("stream_commits_total", "application" => self.topology.application_id().to_owned()).increment(1);
        metrics::counter!("stream_records_total", "application" => self.topology.application_id().to_owned()).increment(records);
        self.dirty_since = None;
        self.one_by_one = false;
        self.backoff.succeeded();
        self.settled_at = self.settling(now);
        // A commit takes long where the log is busy, with those of other applications, too: half of the time is free of ours.
        self.commit_not_before = (self.commit_began + self.settings.commit_min_interval_ms)
            .max(now + (now - self.commit_began));
        self.write_back(now)?;
        self.purge(now);
        let then = match &self.phase {
            Phase::Committing(_, then) => *then,
            _ => Then::Run,
        };
        self.phase = Phase::Running;
        if then == Then::Revoke {
            self.finish_revoke()?;
        }
        Ok(())
    }

    /// Writes the committed layer to the base when it is full or old. The log
    /// is synced first: the base must never hold a transaction the log lost.
    pub(crate) fn write_back(&mut self, now: i64) -> Result<(), WorkerError> {
        self.state_dir.make_room();
        if !self.state_dir.write_back_due(now) {
            return Ok(());
        }
        let log = self.log.clone();
        let written =
            self.state_dir.write_back_after(now, || log.sync().map_err(WriteBackError::Log));
        written.map_err(|error| match error {
            WriteBackError::Log(error) => self.log_failed(error),
            WriteBackError::State(error) => self.state_failed(error),
        })
    }

    /// Opens a transaction if none is open.
    pub(crate) fn begin(&mut self) -> Result<(), LogError> {
        if !self.in_transaction {
            self.producer(|producer| producer.begin())?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Longest wait of an idle worker, so that closing is noticed.
    pub(crate) const IDLE: Duration = Duration::from_millis(100);
}
