//! The standbys' share of a worker's time, and what is told of them.

use crate::catch_up::CatchUp;
use crate::error::WorkerError;
use crate::standby::{Around, Standbys};
use crate::worker::{Worker, WorkerStatus};

impl Worker {
    /// Lets the standbys look round when it is time. Not within a transaction: the log may take long to answer, and a
    /// transaction ends by the clock.
    pub(crate) fn look_round(&mut self, now: i64) -> Result<(), WorkerError> {
        if self.in_transaction {
            return Ok(());
        }
        let Some((standbys, around)) = self.standbys_and_around() else { return Ok(()) };
        let looked = standbys.look_round(&around, now);
        looked.map_err(|e| self.state_failed(e))
    }

    /// Lets the standbys follow: a batch of the size of a task's turn, or of a poll where nothing else is to be done. True
    /// if they have more to read.
    pub(crate) fn follow(&mut self, is_idle: bool, now: i64) -> Result<bool, WorkerError> {
        let busy_max = self.settings.process_records_max;
        let max = if is_idle { self.settings.poll_records_max } else { busy_max };
        let Some((standbys, around)) = self.standbys_and_around() else { return Ok(false) };
        let followed = standbys.step(&around, max, now);
        let more = followed.map_err(|e| self.state_failed(e))?;
        self.write_back(now)?;
        Ok(more)
    }

    pub(super) fn standbys_and_around(&mut self) -> Option<(&mut Standbys, Around<'_>)> {
        let (Some(standbys), Some(clients)) = (&mut self.standbys, &self.clients) else {
            return None;
        };
        let restoring = self.catching_up.as_ref().map(CatchUp::ids).unwrap_or_default();
        let around = Around {
            topology: &self.topology,
            log: self.log.as_ref(),
            admin: clients.admin.as_ref(),
            state_dir: &self.state_dir,
            tasks: &clients.plan.tasks,
            owned: self.slots.iter().map(|slot| slot.id).chain(restoring.iter().copied()).collect(),
            restoring,
            delete_retention_ms: self.settings.delete_retention_ms,
        };
        Some((standbys, around))
    }

    /// Tells the others that this member is there, in whatever phase, where standbys are placed by it.
    pub(crate) fn stand(&mut self, now: i64) {
        if let (Some(standbys), Some(announcer)) = (&mut self.standbys, &mut self.announcer)
            && !self.closing
            && let Some((standbys, is_warming)) = standbys.standing(now)
        {
            announcer.stand(standbys, is_warming, now);
        }
    }

    /// A task takes its state over from a standby.
    pub(crate) fn count_takeover(&mut self) {
        self.takeovers += 1;
        let application = self.topology.application_id().to_owned();
        metrics::counter!("stream_standby_takeovers_total", "application" => application)
            .increment(1);
    }

    /// Sets the gauges of the standbys in `status`.
    pub(crate) fn report_standbys(&self, status: &WorkerStatus) {
        if self.standbys.is_none() {
            return;
        }
        let labels = [
            ("application", status.application.clone()),
            ("thread", self.settings.thread.to_string()),
        ];
        let lag: u64 = status.standbys.iter().filter_map(|standby| standby.lag).sum();
        metrics::gauge!("stream_standby_tasks", &labels).set(status.standbys.len() as f64);
        metrics::gauge!("stream_standby_lag_records", &labels).set(lag as f64);
    }
}
