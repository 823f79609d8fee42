//! What a worker does about failures: abort and replay, restore again, or stop.
//!
//! Invariant: only a successful abort of a transaction lets tasks keep their committed state
//! without looking at the changelogs (`ARCHITECTURE.md`, *Invariants*). Everything
//! else, and all of it without transactions (`guarantee`), goes through a tail restore, normally of zero records.

use log::error::LogError;
use log::record::TopicPartition;
use operators::FailedAt;
use state_stores::StoreError;

use crate::catch_up::CatchUp;
use crate::error::WorkerError;
use crate::level::Waits;
use crate::restore::Restore;
use crate::tasks::names;
use crate::worker::{Phase, Progress, Slot, TakeUp, Worker};

impl Slot {
    /// After a commit: forgets the failures that it left behind. A call outlives many commits before it is tried again.
    pub(crate) fn forget_failures(&mut self) {
        let Self { task, inputs, committed, failed_once, .. } = self;
        failed_once.retain(|failed| match failed {
            FailedAt::Record { topic, offset } => {
                let mut inputs = inputs.iter().zip(&*committed);
                inputs.any(|(input, next)| *input.topic == **topic && next <= offset)
            }
            FailedAt::Call { node, id } => task.has_call(node, id),
            FailedAt::Timer { .. } | FailedAt::Elsewhere(_) => false,
        });
    }
}

impl Worker {
    pub(crate) fn log_failed(&self, source: LogError) -> WorkerError {
        WorkerError::Log { application: self.topology.application_id().to_owned(), source }
    }

    pub(crate) fn state_failed(&self, source: StoreError) -> WorkerError {
        WorkerError::State { application: self.topology.application_id().to_owned(), source }
    }

    /// Something failed: no step is done until it is tried again.
    pub(crate) fn later(&mut self, now: i64) -> Progress {
        match self.backoff.failed(now) {
            0 => Progress::Busy,
            wait => {
                self.retry_at = now + wait;
                Progress::IdleUntil(self.retry_at)
            }
        }
    }

    /// A failure outside transactions: wait and repeat the step, or stop.
    pub(crate) fn log_trouble(
        &mut self,
        error: LogError,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        match error {
            LogError::Fatal(_) | LogError::OffsetOutOfRange { .. } => Err(self.log_failed(error)),
            error => {
                tracing::warn!(application = self.topology.application_id(), %error, "trying again");
                Ok(self.later(now))
            }
        }
    }

    /// Tasks with a part in the open transaction.
    fn at_work(&self) -> impl std::fmt::Display {
        names(self.slots.iter().filter(|slot| slot.task.uncommitted()).map(|slot| slot.id))
    }

    /// A failure inside a transaction.
    pub(crate) fn transaction_failed(
        &mut self,
        error: LogError,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        let application = self.topology.application_id().to_owned();
        match error {
            LogError::Fatal(_) | LogError::OffsetOutOfRange { .. } => Err(self.log_failed(error)),
            LogError::Refused(reason) => {
                tracing::warn!(
                    application,
                    tasks = %self.at_work(),
                    reason,
                    "a record was refused; its transaction is tried again record by record"
                );
                self.one_by_one = true;
                self.replay(now)?;
                Ok(Progress::Busy)
            }
            LogError::Abort(reason) | LogError::Retriable(reason) => {
                tracing::warn!(
                    application,
                    tasks = %self.at_work(),
                    reason,
                    "transaction aborted; its input is processed again"
                );
                self.replay(now)?;
                Ok(self.later(now))
            }
            LogError::Unknown(reason) => {
                tracing::warn!(
                    application,
                    reason,
                    "outcome of the commit unknown; reading it from the log"
                );
                self.restart_from_log(now)?;
                Ok(self.later(now))
            }
            LogError::Fenced(reason) => {
                let within_ms = self.settings.fenced_twice_ms;
                if self.fenced_at.is_some_and(|at| now - at < within_ms) {
                    let transactional_id = self.settings.transactional_id(&application);
                    return Err(WorkerError::FencedTwice { transactional_id, within_ms });
                }
                tracing::warn!(application, reason, "fenced; starting again from the log");
                self.fenced_at = Some(now);
                self.restart_from_log(now)?;
                Ok(self.later(now))
            }
        }
    }

    /// Something failed in an operator whose policy is to fail. Once: abort and
    /// replay. The same again: the task stands still with the coordinates.
    pub(crate) fn task_failed(
        &mut self,
        number: usize,
        at: FailedAt,
        message: &str,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        let application = self.topology.application_id().to_owned();
        let again = self.slots.get(number).is_some_and(|slot| slot.failed_once.contains(&at));
        let id = self.slots.get(number).map(|slot| slot.id);
        let task = id.map(tracing::field::display);
        tracing::error!(application, task, message, again, "processing failed");
        if let Some(slot) = self.slots.get_mut(number) {
            if again {
                slot.stopped = Some(message.to_owned());
            } else {
                slot.failed_once.push(at);
            }
        }
        self.replay(now)?;
        Ok(Progress::Busy)
    }

    /// Aborts the open transaction; tasks start again at their committed
    /// positions, on their committed state.
    pub(crate) fn abort_and_replay(&mut self, now: i64) -> Result<(), WorkerError> {
        if self.in_transaction {
            let aborted = match &mut self.clients {
                Some(clients) => clients.producer.abort(),
                None => Ok(()),
            };
            self.in_transaction = false;
            if let Err(error) = aborted {
                tracing::warn!(application = self.topology.application_id(), %error, "abort failed; starting again from the log");
                return self.restart_from_log(now);
            }
        }
        self.dirty_since = None;
        self.phase = Phase::TakingUp(TakeUp::Seek);
        let globals = self.globals();
        let slots = std::mem::take(&mut self.slots);
        for slot in slots {
            let mut state = slot.task.into_state();
            state.discard();
            let mut task = self.topology.task(slot.id, state, globals.clone());
            self.set_partitions(&mut task);
            task.resume_calls(self.calls.of(slot.id));
            for (source, offset) in slot.committed.iter().enumerate() {
                task.set_position(source, *offset);
            }
            let paused = vec![false; slot.inputs.len()];
            let (waits, held_for) = (Waits::default(), None);
            self.slots.push(Slot { task, paused, waits, held_for, ..slot });
        }
        if self.revoking.is_some() {
            return self.finish_revoke();
        }
        Ok(())
    }

    /// Drops what is uncommitted without trusting anything but the log: new
    /// producer, stable offsets, tail of the changelogs.
    pub(crate) fn restart_from_log(&mut self, _now: i64) -> Result<(), WorkerError> {
        self.quiet();
        self.dirty_since = None;
        self.in_transaction = false;
        let mut tasks = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            slot.task.into_state().discard();
            tasks.push((slot.id, slot.inputs));
        }
        let behind = self.catching_up.take().map(CatchUp::into_restore).map(Restore::finish);
        for task in behind.into_iter().flatten() {
            tasks.push((task.id, task.inputs.into_iter().map(|(at, _)| at).collect()));
        }
        self.publisher.tell(&self.slots, false);
        self.routes.clear();
        self.phase = Phase::Replacing(tasks);
        if self.revoking.is_some() {
            return self.finish_revoke();
        }
        Ok(())
    }

    /// A record this member wanted to read is gone. If the group has committed a later
    /// offset, somebody else owns the partition and had it purged: this member was put out
    /// of the group and hasn't heard of it: its tasks are over, and a seek there would come to nothing, for librdkafka
    /// doesn't read the partition any more. Otherwise records were lost that nobody has
    /// processed.
    pub(crate) fn judge_position(
        &mut self,
        at: TopicPartition,
        position: i64,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        let Some(clients) = &self.clients else { return Ok(Progress::Busy) };
        if !self.slots.iter().any(|slot| slot.inputs.contains(&at)) {
            return Ok(Progress::Busy);
        }
        match clients.admin.committed_offsets(&self.group, std::slice::from_ref(&at)) {
            Ok(committed) if committed.iter().flatten().all(|next| *next <= position) => {
                Err(self.log_failed(LogError::OffsetOutOfRange { at, position }))
            }
            // Judged again once the log answers.
            Err(error) => {
                self.out_of_range = Some((at, position));
                self.log_trouble(error, now)
            }
            Ok(_) => {
                tracing::warn!(
                    application = self.topology.application_id(),
                    %at,
                    position,
                    "the record to read next is gone, its successor in the group has committed it; waiting for the group's next event"
                );
                self.abandon();
                self.route();
                Ok(Progress::Busy)
            }
        }
    }

    /// Makes the new producer, then restores the tasks.
    pub(crate) fn replace(&mut self, now: i64) -> Result<Progress, WorkerError> {
        if let Err(error) = self.replace_producer() {
            return self.or_again(Err(error), now);
        }
        let Phase::Replacing(tasks) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return Ok(Progress::Busy);
        };
        let mut restoring = Vec::new();
        for (id, inputs) in tasks {
            match self.restoring(id, inputs)? {
                Some(task) => restoring.push(task),
                // It was free when this thread was given it, so another one has been given it since.
                None => tracing::info!(
                    application = self.topology.application_id(),
                    task = %id,
                    "another thread has taken the task over"
                ),
            }
        }
        self.phase = self.restoring_phase(restoring, TakeUp::Seek);
        Ok(Progress::Busy)
    }

    /// For starts, of the worker or of its producer: what can be mended is tried again from
    /// the beginning, with a new producer that ends what this one left open.
    pub(crate) fn or_again(
        &mut self,
        done: Result<Progress, WorkerError>,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        match done {
            Err(WorkerError::Log {
                source:
                    LogError::Retriable(reason)
                    | LogError::Abort(reason)
                    | LogError::Fenced(reason)
                    | LogError::Unknown(reason),
                ..
            }) => {
                tracing::warn!(
                    application = self.topology.application_id(),
                    reason,
                    "the start failed; trying again"
                );
                Ok(self.later(now))
            }
            done => done,
        }
    }

    /// The assignment was lost: somebody else may own it already. Nothing of
    /// the open transaction may become visible.
    pub(crate) fn abandon(&mut self) {
        self.dirty_since = None;
        for slot in std::mem::take(&mut self.slots) {
            slot.task.into_state().discard();
        }
        self.catching_up = None;
        self.publisher.tell(&self.slots, false);
        if !std::mem::take(&mut self.in_transaction) {
            return;
        }
        let aborted = match &mut self.clients {
            Some(clients) => clients.producer.abort(),
            None => Ok(()),
        };
        if aborted.is_err() {
            self.phase = Phase::Replacing(Vec::new());
        }
    }

    /// A new producer ends or fences whatever the old one left open.
    fn replace_producer(&mut self) -> Result<(), WorkerError> {
        let producer = self.open_producer().map_err(|e| self.log_failed(e))?;
        if let Some(clients) = &mut self.clients {
            clients.producer = producer;
        }
        Ok(())
    }
}
