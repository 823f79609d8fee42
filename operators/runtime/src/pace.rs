//! How much a task does: records per second, in total and through each node, and how long they take to be committed.
//!
//! Invariant: only what is committed is told. Counting is the task's (plain additions); taking over is done once per
//! commit, rates are made when somebody may look, ten times a second at most.

use metrics::{Counter, Histogram};
use operators::{Dropped, Figures, NodeInfo, TaskId, Topology};
use serde::{Deserialize, Serialize};

/// A rate is that of the last five to ten seconds.
const MARK_EVERY_MS: i64 = 5_000;

/// What a task has done since it was taken up, and does now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskPace {
    /// Records taken from its inputs and committed.
    pub records: u64,
    /// Of late.
    pub per_second: f64,
    /// Of the last commit: from the mean time of its records to the commit.
    pub latency_ms: Option<i64>,
    /// Of the last commit: from the time of its oldest record to the commit.
    pub latency_max_ms: Option<i64>,
    /// Of those records and what they led to, what went no further.
    #[serde(default)]
    pub dropped: DroppedRecords,
    /// By the node's place in [`Topology::nodes`]: those of its sub-topology.
    pub nodes: Vec<NodePace>,
}

/// Records that a task dropped, by reason: [`operators::Dropped`], as it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedRecords {
    /// No key (or no value) where the operator needs one.
    pub incomplete: u64,
    /// Too late for what would have taken them.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
    /// A node failed and its policy is to skip.
    pub skipped: u64,
    /// Put on `dead_letters`.
    pub dead_letter: u64,
}

impl DroppedRecords {
    fn add(&mut self, dropped: &Dropped) {
        let Dropped { incomplete, late, duplicates, skipped, dead_letters } = dropped;
        self.incomplete += incomplete;
        self.late += late;
        self.duplicate += duplicates;
        self.skipped += skipped;
        self.dead_letter += dead_letters;
    }
}

/// What came to a node in one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodePace {
    /// Its place in [`Topology::nodes`].
    pub place: usize,
    /// Records.
    pub records: u64,
    /// Of late.
    pub per_second: f64,
}

/// Totals at a moment.
#[derive(Clone, Debug, Default)]
struct Mark {
    at: i64,
    records: u64,
    nodes: Vec<u64>,
}

/// Keeps the figures of one task.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Places of the nodes of the task's sub-topology.
    places: Vec<usize>,
    now: Mark,
    /// The newer one last.
    marks: [Mark; 2],
    last: Option<(i64, i64)>,
    dropped: DroppedRecords,
    counter: Counter,
    latency: Histogram,
}

impl Pace {
    pub(crate) fn new(topology: &Topology, id: TaskId) -> Self {
        let nodes = topology.nodes();
        let own = |(place, node): (usize, &NodeInfo)| {
            (node.subtopology == id.subtopology).then_some(place)
        };
        let application = topology.application_id().to_owned();
        let labels = [("application", application), ("task", id.to_string())];
        let mark = Mark { at: i64::MIN, records: 0, nodes: vec![0; nodes.len()] };
        Self {
            places: nodes.iter().enumerate().filter_map(own).collect(),
            marks: [mark.clone(), mark.clone()],
            now: mark,
            last: None,
            dropped: DroppedRecords::default(),
            counter: metrics::counter!("stream_task_records_total", &labels),
            latency: metrics::histogram!("stream_commit_latency_seconds", &labels),
        }
    }

    /// A commit has ended: `take` adds what the task has counted. What was dropped is handed on.
    pub(crate) fn committed(
        &mut self,
        now: i64,
        totals: &NodeTotals,
        take: impl FnOnce(&mut [u64]) -> Figures,
    ) -> Dropped {
        let mut fresh = vec![0; self.now.nodes.len()];
        let figures = take(&mut fresh);
        self.now.records += figures.records;
        for (place, fresh) in fresh.into_iter().enumerate().filter(|(_, fresh)| *fresh > 0) {
            self.now.nodes[place] += fresh;
            totals.add(place, fresh);
        }
        self.counter.increment(figures.records);
        if let Some((mean, oldest)) = figures.mean_ms().zip(figures.oldest_ms) {
            self.last = Some(((now - mean).max(0), (now - oldest).max(0)));
            self.latency.record((now - oldest).max(0) as f64 / 1_000.0);
        }
        self.dropped.add(&figures.dropped);
        figures.dropped
    }

    /// What is told at `now`, in ms of the worker's clock.
    pub(crate) fn look(&mut self, now: i64) -> TaskPace {
        self.now.at = now;
        if self.marks[0].at == i64::MIN {
            self.marks = [self.now.clone(), self.now.clone()];
        }
        if now - self.marks[1].at >= MARK_EVERY_MS {
            self.marks.swap(0, 1);
            self.marks[1].clone_from(&self.now);
        }
        let since = &self.marks[0];
        let seconds = (now - since.at).max(1) as f64 / 1_000.0;
        let rate = |total: u64, before: u64| total.saturating_sub(before) as f64 / seconds;
        let node = |place: &usize| {
            let (records, before) = (self.now.nodes[*place], since.nodes[*place]);
            NodePace { place: *place, records, per_second: rate(records, before) }
        };
        TaskPace {
            records: self.now.records,
            per_second: rate(self.now.records, since.records),
            latency_ms: self.last.map(|(mean, _)| mean),
            latency_max_ms: self.last.map(|(_, max)| max),
            dropped: self.dropped,
            nodes: self.places.iter().map(node).collect(),
        }
    }
}

/// The metrics of a worker's nodes, over its tasks.
pub(crate) struct NodeTotals {
    nodes: Vec<Counter>,
}

impl NodeTotals {
    pub(crate) fn new(topology: &Topology) -> Self {
        let application = topology.application_id().to_owned();
        let counter = |node: NodeInfo| {
            let labels = [("application", application.clone()), ("node", node.name.to_string())];
            metrics::counter!("stream_node_records_total", &labels)
        };
        let nodes = topology.nodes().into_iter().map(counter).collect();
        Self { nodes }
    }

    fn add(&self, place: usize, records: u64) {
        if let Some(counter) = self.nodes.get(place) {
            counter.increment(records);
        }
    }
}

#[cfg(test)]
mod tests {
    use operators::{I64Be, StreamsBuilder, Topic, Utf8};

    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let builder = StreamsBuilder::new("test");
        let topic = |name: &str| Topic::<str, i64>::new(name, Utf8, I64Be);
        builder.stream(&topic("in")).to(&topic("out"));
        let topology = builder.build().unwrap();
        let totals = NodeTotals::new(&topology);
        let mut pace = Pace::new(&topology, TaskId { subtopology: 0, partition: 0 });
        // Figures come from tasks alone; the nodes' counts are enough here.
        let commit = |pace: &mut Pace, now, records| {
            pace.committed(now, &totals, |nodes| {
                nodes.iter_mut().for_each(|node| *node += records);
                Figures::default()
            })
        };
        assert_eq!(pace.look(0).nodes[1].per_second, 0.0);
        for second in 1..=20 {
            commit(&mut pace, second * 1_000, 100);
            let told = pace.look(second * 1_000);
            assert_eq!(told.nodes[1].records, 100 * second as u64);
            assert_eq!(told.nodes[1].per_second, 100.0, "{second}");
        }
        assert!(pace.look(24_000).nodes[1].per_second < 100.0);
        pace.look(25_000);
        pace.look(30_000);
        let idle = pace.look(35_000);
        assert_eq!((idle.nodes[1].per_second, idle.nodes[1].records), (0.0, 2_000));
    }
}
