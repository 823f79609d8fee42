//! The end of a restore, and what is told of restores while they run and then (`docs/metrics.md`).

use metrics::{Counter, Histogram};

use crate::error::WorkerError;
use crate::restore::{Restore, Restoring};
use crate::tasks::names;
use crate::worker::{Phase, Progress, TakeUp, Worker, WorkerStatus};

/// Of one worker.
pub(crate) struct Restored {
    records: Counter,
    seconds: Histogram,
    /// Whether the gauges say that something remains.
    shown: bool,
}

impl Restored {
    pub(crate) fn new(application: &str) -> Self {
        let application = application.to_owned();
        Self {
            records: metrics::counter!("stream_restored_records_total", "application" => application.clone()),
            seconds: metrics::histogram!("stream_restore_seconds", "application" => application),
            shown: false,
        }
    }

    pub(crate) fn read(&self, records: u64) {
        if records > 0 {
            self.records.increment(records);
        }
    }

    /// Tasks are level, so long after their restore began.
    pub(crate) fn ended(&self, took_ms: i64) {
        self.seconds.record(took_ms.max(0) as f64 / 1_000.0);
    }
}

impl Worker {
    /// The tasks of a restore that found nothing to read become this worker's.
    pub(crate) fn take_up(
        &mut self,
        restore: Restore,
        how: TakeUp,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        if !restore.is_empty() {
            self.restored.ended(restore.took_ms(now));
        }
        self.own(restore.finish(), 0);
        self.phase = Phase::TakingUp(how);
        self.take_positions(how, now)
    }

    /// These tasks are level with the log, after so many rows: from now on they run when their records come.
    pub(crate) fn own(&mut self, level: Vec<Restoring>, rows: u64) {
        let new = names(level.iter().map(|task| task.id)).to_string();
        let is_new = !level.is_empty();
        for one in level {
            let slot = self.slot(one);
            self.slots.push(slot);
        }
        self.slots.sort_by_key(|slot| slot.id);
        self.route();
        if is_new {
            tracing::info!(
                application = self.topology.application_id(),
                new,
                tasks = %names(self.slots.iter().map(|slot| slot.id)),
                rows,
                "tasks are level with the log"
            );
        }
    }

    /// Sets the gauges of what the tasks that are being restored in `status` have before them; 0 once they are level.
    pub fn report_restoring(&mut self, status: &WorkerStatus) {
        if status.restoring.is_empty() && !self.restored.shown {
            return;
        }
        self.restored.shown = !status.restoring.is_empty();
        let labels = [
            ("application", status.application.clone()),
            ("thread", self.settings.thread.to_string()),
        ];
        let records: i64 = status.restoring.iter().map(|task| task.total - task.read).sum();
        let remaining_ms = status.restoring.iter().filter_map(|task| task.remaining_ms).max();
        metrics::gauge!("stream_restore_remaining_records", &labels).set(records as f64);
        metrics::gauge!("stream_restore_remaining_seconds", &labels)
            .set(remaining_ms.unwrap_or(0) as f64 / 1_000.0);
    }
}
