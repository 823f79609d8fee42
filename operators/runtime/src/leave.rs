//! Closing: commit what is processed, leave the group, answer the last revoke.
//!
//! Invariant: a worker that closes takes up nothing new, whatever waits in its
//! buffers; its successor finds all of that at the committed positions.

use std::time::Duration;

use crate::commit::CommitStage;
use crate::error::WorkerError;
use crate::worker::{Phase, Progress, Then, Worker};

impl Worker {
    /// A running worker was asked to close.
    pub(crate) fn wind_up(&mut self, now: i64) -> Result<Progress, WorkerError> {
        if self.pending.is_none() {
            self.poll(Duration::ZERO)?;
        }
        if let Some(event) = self.pending.take() {
            return self.assignment_event(event, now);
        }
        if self.uncommitted() && self.membership.is_some() {
            self.phase = Phase::Committing(CommitStage::Stage, Then::Run);
            return Ok(Progress::Busy);
        }
        self.leave(now)
    }

    /// In the middle of a restore there is nothing to commit.
    pub(crate) fn leave_at_once(&mut self, now: i64) -> Result<Progress, WorkerError> {
        self.phase = Phase::Running;
        self.leave(now)
    }

    /// Says goodbye to the group; the answer is a last revoke.
    pub(crate) fn leave(&mut self, now: i64) -> Result<Progress, WorkerError> {
        let Some(clients) = &mut self.clients else {
            self.phase = Phase::Closed;
            return Ok(Progress::Stopped);
        };
        if let Some(announcer) = &mut self.announcer {
            announcer.retract(now);
        }
        clients.consumer.unsubscribe().map_err(|e| self.log_failed(e))?;
        if self.membership.is_none() && self.slots.is_empty() {
            self.phase = Phase::Closed;
            return Ok(Progress::Stopped);
        }
        Ok(Progress::Busy)
    }
}
