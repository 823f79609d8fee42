//! What a task's nodes share: state, outputs, timers, the clock it was given.

use std::sync::Arc;

use state_stores::TaskState;
use state_stores::keys::Sequence;

use crate::globals::Globals;
use crate::observed::Observation;
use crate::outputs::{Mark, Outputs};
use crate::timers::Timers;
use crate::topology::TaskId;

/// Records that were dropped, by reason, since the task was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// No key (or no value) where the operator needs one.
    pub incomplete: u64,
    /// Later than window end plus grace.
    pub late: u64,
    /// Seen before, within the interval of a deduplication.
    pub duplicates: u64,
    /// A node failed and its policy is [`crate::ErrorPolicy::Skip`].
    pub skipped: u64,
    /// Sent to `dead_letters`.
    pub dead_letters: u64,
}

impl Dropped {
    /// What was dropped after `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            incomplete: self.incomplete - before.incomplete,
            late: self.late - before.late,
            duplicates: self.duplicates - before.duplicates,
            skipped: self.skipped - before.skipped,
            dead_letters: self.dead_letters - before.dead_letters,
        }
    }

    /// Each reason's name, as metrics have it, and number.
    #[must_use]
    pub fn reasons(&self) -> [(&'static str, u64); 5] {
        [
            ("incomplete", self.incomplete),
            ("late", self.late),
            ("duplicate", self.duplicates),
            ("skipped", self.skipped),
            ("dead_letter", self.dead_letters),
        ]
    }
}

/// Where the record at work was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Which of the task's sources.
    pub(crate) source: usize,
    pub(crate) offset: i64,
}

/// How many calls of one node are pending, those of the open transaction included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRows {
    rows: i64,
    /// How that changed since the savepoint.
    change: i64,
    most: i64,
}

impl PendingRows {
    pub(crate) fn new(most: usize) -> Self {
        Self { rows: 0, change: 0, most: i64::try_from(most).unwrap_or(i64::MAX) }
    }

    pub(crate) fn add(&mut self, rows: i64) {
        self.rows += rows;
        self.change += rows;
    }

    pub(crate) fn set(&mut self, rows: usize) {
        self.rows = i64::try_from(rows).unwrap_or(i64::MAX);
    }

    pub(crate) fn full(&self) -> bool {
        self.rows >= self.most
    }
}

pub(crate) struct TaskContext {
    pub(crate) id: TaskId,
    /// The topics of the task's sources.
    pub(crate) topics: Vec<Arc<str>>,
    /// How many partitions each of them has, if that is known.
    pub(crate) partitions: Option<u32>,
    /// What stands for each of them in rows.
    pub(crate) topic_marks: Vec<u16>,
    pub(crate) state: TaskState,
    pub(crate) outputs: Outputs,
    pub(crate) timers: Timers,
    /// Pending calls by node.
    pub(crate) pending: Vec<PendingRows>,
    pub(crate) globals: Arc<Globals>,
    /// Global tables that reached the ends read after the record at work was held.
    pub(crate) settled: Vec<usize>,
    pub(crate) now_ms: i64,
    /// The highest timestamp of all records the task has taken; durable where a node asked for it.
    pub(crate) stream_time: Option<i64>,
    /// None: a timer or a punctuation is at work.
    pub(crate) origin: Option<Origin>,
    /// How many sequences were given out for the record at work.
    pub(crate) derived: u32,
    /// How many records came to gates since the savepoint.
    pub(crate) arrivals: u32,
    /// Those of them that are to be parked, and why: they failed when the record at work was tried before.
    pub(crate) to_park: Vec<(u32, Arc<str>)>,
    pub(crate) dropped: Dropped,
    /// Since the last commit.
    pub(crate) observed: Vec<Observation>,
    /// How many records came to each node of the graph since the last commit.
    pub(crate) passed: Vec<u64>,
}

/// Everything a record's effects can be cut back to.
pub(crate) struct Savepoint {
    state: state_stores::Savepoint,
    outputs: Mark,
    stream_time: Option<i64>,
    dropped: Dropped,
    observed: usize,
}

impl TaskContext {
    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.timers.savepoint();
        self.pending.iter_mut().for_each(|pending| pending.change = 0);
        self.derived = 0;
        self.arrivals = 0;
        Savepoint {
            state: self.state.savepoint(),
            outputs: self.outputs.mark(),
            stream_time: self.stream_time,
            dropped: self.dropped,
            observed: self.observed.len(),
        }
    }

    pub(crate) fn rollback(&mut self, to: Savepoint) {
        self.state.rollback_to(to.state);
        self.outputs.cut(to.outputs);
        self.timers.rollback();
        for pending in &mut self.pending {
            pending.rows -= std::mem::take(&mut pending.change);
        }
        self.stream_time = to.stream_time;
        self.dropped = to.dropped;
        self.observed.truncate(to.observed);
    }

    /// Tells rows apart that have one key and time: derived from where the record at work was read, so that a replay
    /// gives the same. `None`: it was read nowhere.
    pub(crate) fn sequence(&mut self) -> Option<Sequence> {
        let Origin { source, offset } = self.origin?;
        let index = self.derived;
        self.derived += 1;
        Some(Sequence { source: self.topic_marks[source], offset, index })
    }

    /// A record came to the node at this place of the graph. One that fails and is tried again comes again.
    #[inline]
    pub(crate) fn pass(&mut self, place: usize) {
        if let Some(count) = self.passed.get_mut(place) {
            *count += 1;
        }
    }

    /// Numbers a record that came to a gate. What is tried again gives the same numbers.
    pub(crate) fn arrive(&mut self) -> u32 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Why the gate parks this arrival, if it does.
    pub(crate) fn parks(&self, arrival: u32) -> Option<Arc<str>> {
        let parked = self.to_park.iter().find(|(number, _)| *number == arrival);
        parked.map(|(_, cause)| Arc::clone(cause))
    }

    /// Counts a record that an operator can't use for lack of key or value.
    pub(crate) fn drop_incomplete(&mut self) {
        self.dropped.incomplete += 1;
    }

    /// Counts a record that came after its window was closed.
    pub(crate) fn drop_late(&mut self) {
        self.dropped.late += 1;
    }

    /// Sets a durable timer of the `queue`-th timer store.
    pub(crate) fn set_timer(&mut self, queue: usize, due: i64, key: &[u8]) {
        self.timers.set(&mut self.state, queue, due, key);
    }

    /// Removes a durable timer; none there is fine.
    pub(crate) fn cancel_timer(&mut self, queue: usize, due: i64, key: &[u8]) {
        self.timers.cancel(&mut self.state, queue, due, key);
    }
}
