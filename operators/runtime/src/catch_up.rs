//! Tasks whose state is still restored while the worker's others run: whoever takes over a task of somebody else's goes on
//! with its own meanwhile.
//!
//! They are this member's already: their partitions are assigned, and paused. They are handed in once level with the log,
//! by a seek to the committed offsets that their restore began with, which nobody else can have moved.
//!
//! | dies while | left behind | the next owner |
//! |---|---|---|
//! | rows are read | rows and offset in memory only, or in the base with the offset they stand for | restores the rest |
//! | they are handed in | nothing was read or sent for them yet | goes on at the same offsets |
//!
//! Invariant: no record of theirs reaches a task before that: none has a slot, so none has a route, and the seek brings
//! whatever was thrown away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::Admin;
use operators::TaskId;

use crate::backoff::Backoff;
use crate::error::WorkerError;
use crate::restore::{Restore, RestoreError, RestoringStatus};
use crate::restore_rows::FIRST_ROW_WAIT;
use crate::worker::{Phase, Progress, Worker};

/// Of one worker.
pub(crate) struct CatchUp {
    restore: Box<Restore>,
    backoff: Backoff,
    retry_at: i64,
    /// There may be more to read at once.
    is_busy: bool,
}

impl CatchUp {
    fn new(restore: Box<Restore>, backoff: Backoff) -> Self {
        Self { restore, backoff, retry_at: i64::MIN, is_busy: true }
    }

    /// Its tasks.
    pub(crate) fn ids(&self) -> BTreeSet<TaskId> {
        self.restore.ids().collect()
    }

    /// Their inputs, and where to begin to read them.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicPartition, i64)> + '_ {
        self.restore.positions()
    }

    /// How far each task is.
    pub(crate) fn progress(&self) -> Vec<RestoringStatus> {
        self.restore.progress()
    }

    /// When it wants to go on.
    pub(crate) fn next(&self, now: i64) -> i64 {
        if self.is_busy { now } else { self.retry_at.max(now + 1) }
    }

    /// The tasks, as far as they are.
    pub(crate) fn into_restore(self) -> Restore {
        *self.restore
    }
}

impl Worker {
    /// The rows that the tasks being restored lack take a while: those that lack none go on.
    pub(crate) fn take_up_level(&mut self, now: i64) -> Result<Progress, WorkerError> {
        let Phase::Restoring(mut restore, how) = std::mem::replace(&mut self.phase, Phase::Running)
        else {
            return Ok(Progress::Busy);
        };
        let level = restore.level();
        let level = restore.take_level(&level);
        self.catching_up = Some(self.catch_up_with(restore));
        self.own(level, 0);
        self.phase = Phase::TakingUp(how);
        self.take_positions(how, now)
    }

    fn catch_up_with(&self, restore: Box<Restore>) -> CatchUp {
        let name =
            format!("{}/restore", self.settings.transactional_id(self.topology.application_id()));
        let (min, max) = (self.settings.retry_min_ms, self.settings.retry_max_ms);
        CatchUp::new(restore, Backoff::new(&name, min, max))
    }

    /// What isn't level yet is not to be delivered: it would be read in vain.
    pub(crate) fn pause_catching_up(&mut self) -> Result<(), WorkerError> {
        let (Some(catching_up), Some(clients)) = (&self.catching_up, &mut self.clients) else {
            return Ok(());
        };
        let inputs: Vec<TopicPartition> = catching_up.positions().map(|(at, _)| at).collect();
        clients.consumer.pause(&inputs).map_err(|e| self.log_failed(e))
    }

    /// A turn of the restore, as long as a task's, and the end of it.
    pub(crate) fn catch_up(&mut self, now: i64) -> Result<(), WorkerError> {
        let begun = Instant::now();
        loop {
            let fresh = self.catch_up_once(now)?;
            let again = |turn: Duration| fresh > 0 && begun.elapsed() < turn;
            if !self.settings.turn.is_some_and(again) {
                return Ok(());
            }
        }
    }

    /// A bounded piece of the restore; how many rows that brought.
    fn catch_up_once(&mut self, now: i64) -> Result<u64, WorkerError> {
        // Alone it has the thread for itself.
        let alone = self.slots.is_empty();
        let share = self.settings.poll_records_max;
        let poll = if alone { (share * 10, FIRST_ROW_WAIT) } else { (share, Duration::ZERO) };
        let (Some(catching_up), Some(clients)) = (&mut self.catching_up, &self.clients) else {
            return Ok(0);
        };
        let restore = &mut catching_up.restore;
        // The log may take long to answer, and a transaction ends by the clock.
        if now < catching_up.retry_at || (self.in_transaction && restore.is_asking()) {
            catching_up.is_busy = false;
            return Ok(0);
        }
        let admin = clients.admin.as_ref();
        let stepped = restore.step(self.log.as_ref(), admin, &self.group, poll, now);
        let fresh = restore.fresh_rows();
        catching_up.is_busy = fresh > 0;
        self.restored_rows += fresh;
        self.restored.read(fresh);
        match stepped {
            Ok(_) => {}
            Err(RestoreError::Log(error @ LogError::OffsetOutOfRange { .. })) => {
                // Retention has cut the changelog after its start was read.
                restore.again();
                tracing::warn!(application = self.topology.application_id(), %error, "restoring anew");
            }
            Err(RestoreError::Log(error)) => {
                self.catch_up_later(error, now)?;
                return Ok(0);
            }
            Err(RestoreError::Store(error)) => return Err(self.state_failed(error)),
        }
        self.write_back(now)?;
        self.hand_in(now)?;
        Ok(fresh)
    }

    /// Tasks that are level by now are read from where they go on, and are this worker's like its others.
    fn hand_in(&mut self, now: i64) -> Result<(), WorkerError> {
        let (Some(catching_up), Some(clients)) = (&mut self.catching_up, &mut self.clients) else {
            return Ok(());
        };
        let level = catching_up.restore.level();
        if level.is_empty() {
            return Ok(());
        }
        let positions: Vec<_> = catching_up.restore.positions_of(&level).collect();
        if let Err(error) = clients.consumer.seek(&positions) {
            // The group may have gone on without this member, or be about to: its next event says so. What was deleted
            // meanwhile can't be read any more, which nobody says of a partition that is paused.
            if let Some((at, position)) = first_deleted(clients.admin.as_ref(), positions) {
                return Err(self.log_failed(LogError::OffsetOutOfRange { at, position }));
            }
            return self.catch_up_later(error, now);
        }
        catching_up.backoff.succeeded();
        let rows = catching_up.restore.rows();
        let level = catching_up.restore.take_level(&level);
        if catching_up.restore.is_empty() {
            self.restored.ended(catching_up.restore.took_ms(now));
            self.catching_up = None;
        }
        self.own(level, rows);
        self.publisher.tell(&self.slots, self.membership.is_some());
        self.announce(now);
        Ok(())
    }

    fn catch_up_later(&mut self, error: LogError, now: i64) -> Result<(), WorkerError> {
        if matches!(error, LogError::Fatal(_) | LogError::Fenced(_)) {
            return Err(self.log_failed(error));
        }
        let application = self.topology.application_id();
        tracing::warn!(application, %error, "restoring failed; trying again");
        if let Some(catching_up) = &mut self.catching_up {
            catching_up.retry_at = now + catching_up.backoff.failed(now);
            catching_up.is_busy = false;
        }
        Ok(())
    }

    /// These partitions are somebody else's.
    pub(crate) fn catch_up_without(&mut self, gone: &BTreeSet<TopicPartition>) {
        let Some(catching_up) = &mut self.catching_up else { return };
        catching_up.restore.drop_those(&|task| task.inputs.iter().any(|(at, _)| gone.contains(at)));
        if catching_up.restore.is_empty() {
            self.catching_up = None;
        }
    }
}

/// The first of these positions that is below what the log still has; none where it can't be asked.
fn first_deleted(
    admin: &dyn Admin,
    positions: Vec<(TopicPartition, i64)>,
) -> Option<(TopicPartition, i64)> {
    let partitions: Vec<TopicPartition> = positions.iter().map(|(at, _)| at.clone()).collect();
    let starts = admin.start_offsets(&partitions).ok()?;
    let mut both = positions.into_iter().zip(starts);
    both.find_map(|(position, start)| (position.1 < start).then_some(position))
}
