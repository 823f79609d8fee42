//! What a task has done since its last commit, in numbers: kept by plain additions, taken over by whoever commits.
//!
//! Invariant: nothing depends on them; a task that is rebuilt after an abort begins at nothing, so only what was committed
//! is ever told.

use super::Task;
use crate::context::Dropped;
use crate::observed::Observation;

/// Records taken since the last commit, and their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many.
    pub records: u64,
    /// Time of the oldest (ms since 1970).
    pub oldest_ms: Option<i64>,
    /// What came of those that went no further.
    pub dropped: Dropped,
    sum_ms: i128,
}

impl Figures {
    #[inline]
    pub(super) fn add(&mut self, timestamp: i64) {
        self.records += 1;
        self.sum_ms += i128::from(timestamp);
        self.oldest_ms = Some(self.oldest_ms.map_or(timestamp, |oldest| oldest.min(timestamp)));
    }

    /// The mean of their times (ms since 1970).
    #[must_use]
    pub fn mean_ms(&self) -> Option<i64> {
        let records = i128::from(self.records);
        i64::try_from(self.sum_ms.checked_div(records)?).ok()
    }
}

impl Task {
    /// Hands over what was done since the last commit: the figures, and how many records came to each node, added to
    /// `nodes` in the order of [`Topology::nodes`](crate::Topology::nodes).
    pub fn take_figures(&mut self, nodes: &mut [u64]) -> Figures {
        for (total, passed) in nodes.iter_mut().zip(&mut self.ctx.passed) {
            *total += std::mem::take(passed);
        }
        let dropped = self.ctx.dropped.since(&self.dropped_before);
        self.dropped_before = self.ctx.dropped;
        Figures { dropped, ..std::mem::take(&mut self.figures) }
    }

    /// Hands over what the nodes observed since the last commit.
    pub fn take_observations(&mut self) -> impl Iterator<Item = Observation> + '_ {
        self.ctx.observed.drain(..)
    }

    /// What they observed and nobody has taken.
    pub(crate) fn observed(&self) -> &[Observation] {
        &self.ctx.observed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use state_stores::{MemoryEngine, StateDir, StateOptions};

    use super::*;
    use crate::testing::numbers;
    use crate::{Globals, InputRecord, StreamsBuilder, TaskId};

    #[test]
    fn each_node_counts_what_comes_to_it() {
        let builder = StreamsBuilder::new("test");
        let even = builder.stream(&numbers("in")).filter(|_, n| n % 2 == 0);
        even.merge(&even.map_values(|n| n + 1)).to(&numbers("out"));
        let topology = builder.build().unwrap();
        let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
        let state = dir.task_state(0, &topology.subtopologies()[0].stores).unwrap();
        let id = TaskId { subtopology: 0, partition: 0 };
        let mut task = topology.task(id, state, Arc::new(Globals::new(&topology)));
        for n in 0..5_i64 {
            let (key, value) = (Some(&b"k"[..]), n.to_be_bytes());
            let value = Some(&value[..]);
            task.push(0, InputRecord { offset: n, timestamp: 10 * n, key, value, headers: &[] });
            task.run_once(0).unwrap();
        }
        let mut counts = vec![0; topology.nodes().len()];
        let figures = task.take_figures(&mut counts);
        assert_eq!((figures.records, figures.oldest_ms, figures.mean_ms()), (5, Some(0), Some(20)));
        let kinds = topology.nodes();
        let counted: Vec<_> = kinds.iter().map(|node| node.kind).zip(counts.clone()).collect();
        let expected = [("source", 5), ("filter", 5), ("map-values", 3), ("merge", 6), ("sink", 6)];
        assert_eq!(counted, expected);
        assert_eq!(task.take_figures(&mut counts), Figures::default(), "taken once");
        assert_eq!(counts[0], 5);
        let drawn = topology.mermaid_with_rates(&|place| (place < 2).then_some(2.5));
        assert!(drawn.contains("in<br>2.5/s") && drawn.contains("filter-1<br>2.5/s"), "{drawn}");
    }
}
