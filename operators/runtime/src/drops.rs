//! What came to a task and went no further, by reason: as metric, and as a warning of what a policy left out.
//!
//! Invariant: only what is committed is counted. A record that is dropped, aborted and dropped again counts once.

use metrics::Counter;
use operators::{Dropped, TaskId, Topology};

/// Between two warnings.
const WARN_EVERY_MS: i64 = 60_000;

/// Of one worker.
pub(crate) struct Drops {
    application: String,
    /// In the order of [`Dropped::reasons`]; there from the start, so that the first one is a change.
    counters: Vec<Counter>,
    /// Skipped since the last warning, and where last.
    untold: Option<(u64, TaskId)>,
    warned_at: Option<i64>,
}

impl Drops {
    pub(crate) fn new(topology: &Topology) -> Self {
        let application = topology.application_id().to_owned();
        let counter = |(reason, _): (&'static str, u64)| {
            let labels = [("application", application.clone()), ("reason", reason.to_owned())];
            metrics::counter!("stream_dropped_records_total", &labels)
        };
        let counters = Dropped::default().reasons().map(counter).into();
        Self { application, counters, untold: None, warned_at: None }
    }

    /// A commit of this task has ended, which dropped so many.
    pub(crate) fn committed(&mut self, task: TaskId, dropped: &Dropped) {
        if *dropped == Dropped::default() {
            return;
        }
        for (counter, (_, records)) in self.counters.iter().zip(dropped.reasons()) {
            counter.increment(records);
        }
        if dropped.skipped > 0 {
            let before = self.untold.map_or(0, |(records, _)| records);
            self.untold = Some((before + dropped.skipped, task));
        }
    }

    /// Whoever chose to skip what fails sees in the log that it happens, once a minute at most.
    pub(crate) fn warn(&mut self, now: i64) {
        if self.warned_at.is_some_and(|at| now - at < WARN_EVERY_MS) {
            return;
        }
        if let Some((records, task)) = self.untold.take() {
            self.warned_at = Some(now);
            tracing::warn!(
                application = self.application,
                %task,
                records,
                "records were skipped: their node failed and its policy is to skip them, or they were parked and were discarded"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use operators::{StreamsBuilder, Topic, Utf8};

    use super::*;

    #[test]
    fn what_was_skipped_is_warned_of_once_a_minute() {
        let builder = StreamsBuilder::new("test");
        let topic = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
        builder.stream(&topic("in")).to(&topic("out"));
        let mut drops = Drops::new(&builder.build().unwrap());
        let task = TaskId { subtopology: 0, partition: 3 };
        let skipped = Dropped { skipped: 2, late: 5, ..Dropped::default() };
        drops.committed(task, &Dropped { late: 5, ..Dropped::default() });
        drops.warn(0);
        assert_eq!((drops.untold, drops.warned_at), (None, None), "late ones are no surprise");
        drops.committed(task, &skipped);
        drops.warn(1_000);
        assert_eq!((drops.untold, drops.warned_at), (None, Some(1_000)));
        drops.committed(task, &skipped);
        drops.committed(task, &skipped);
        drops.warn(60_999);
        assert_eq!(drops.untold, Some((4, task)));
        drops.warn(61_000);
        assert_eq!((drops.untold, drops.warned_at), (None, Some(61_000)));
    }
}
