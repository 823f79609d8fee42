//! Runs all tasks of a topology on one partition, as a worker does, without a log.
//!
//! Every [`RECORDS`] records are one transaction: they are pushed, processed, their outputs taken, and at its end the
//! changelog rows are copied out and the state is applied; committed layers are written back when that is due. What a
//! real log costs is not in it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use operators::{Globals, InputRecord, Ran, Task, TaskId, Topology};
use state_stores::{Engine, StateDir, StateOptions, StoreIndex};

/// Records per transaction.
pub(crate) const RECORDS: usize = 1_000;

/// An input record: which of the inputs it belongs to, and what it is.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) input: usize,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: i64,
}

/// Makes the line of a number: 0, 1, 2, …
pub(crate) type Fill = fn(i64, &mut Line);

struct Running {
    task: Task,
    /// Per source: the next offset.
    ends: Vec<i64>,
    /// Per store: the next changelog offset.
    changelogs: Vec<(StoreIndex, i64)>,
}

impl Running {
    fn push(&mut self, source: usize, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let offset = self.ends[source];
        self.ends[source] += 1;
        self.task.push(source, InputRecord { offset, timestamp, key, value, headers: &[] });
    }
}

/// A place that records go to.
type Place = (usize, usize);

/// Where bytes lie; `None` is null.
type Span = Option<Range<usize>>;

/// Records between two tasks, in memory that is reused.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    records: Vec<(Place, i64, Span, Span)>,
}

impl Wire {
    fn add(&mut self, bytes: Option<&[u8]>) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes?);
        Some(start..self.bytes.len())
    }
}

/// The tasks of one topology and what feeds them.
pub(crate) struct Worker {
    dir: Arc<StateDir>,
    tasks: Vec<Running>,
    /// Topics that tasks read.
    routes: HashMap<Arc<str>, Place>,
    inputs: Vec<Place>,
    fill: Fill,
    line: Line,
    number: i64,
    wire: Wire,
    /// Bytes of changelog rows and outputs of the last transaction.
    log: Vec<u8>,
    /// Records that left the topology.
    pub(crate) sent: u64,
    begun: Instant,
}

impl Worker {
    /// `inputs`: the topics that lines belong to.
    pub(crate) fn new(
        topology: &Topology,
        engine: Arc<dyn Engine>,
        (inputs, fill): (&[&str], Fill),
    ) -> Self {
        let dir = StateDir::open(engine, StateOptions::new("bench")).expect("the engine opens");
        let globals = Arc::new(Globals::new(topology));
        let (mut tasks, mut routes) = (Vec::new(), HashMap::new());
        for (number, sub) in topology.subtopologies().iter().enumerate() {
            let state = dir.task_state(0, &sub.stores).expect("the stores are free");
            let id = TaskId { subtopology: sub.id, partition: 0 };
            let task = topology.task(id, state, Arc::clone(&globals));
            for (source, topic) in sub.sources.iter().enumerate() {
                routes.insert(Arc::clone(topic), (number, source));
            }
            let ends = vec![0; sub.sources.len()];
            let changelogs = (0..sub.stores.len()).map(|store| (StoreIndex(store), 0)).collect();
            tasks.push(Running { task, ends, changelogs });
        }
        Self {
            dir,
            tasks,
            inputs: inputs.iter().map(|topic| routes[*topic]).collect(),
            routes,
            fill,
            line: Line::default(),
            number: 0,
            wire: Wire::default(),
            log: Vec::new(),
            sent: 0,
            begun: Instant::now(),
        }
    }

    /// Takes [`RECORDS`] more lines from input to commit.
    pub(crate) fn transaction(&mut self) {
        self.log.clear();
        for _ in 0..RECORDS {
            (self.fill)(self.number, &mut self.line);
            self.number += 1;
            let Line { input, key, value, timestamp } = &self.line;
            let (task, source) = self.inputs[*input];
            self.tasks[task].push(source, *timestamp, Some(key), Some(value));
        }
        while (0..self.tasks.len()).any(|task| self.run(task)) {}
        self.commit();
        if self.dir.write_back_due(self.now_ms()) {
            self.write_back();
        }
    }

    fn now_ms(&self) -> i64 {
        self.begun.elapsed().as_millis() as i64
    }

    fn write_back(&self) {
        self.dir.write_back(self.now_ms()).expect("the engine takes the rows");
    }

    /// Brings all committed rows to the engine, and none stays in memory.
    pub(crate) fn settle(&self) {
        self.write_back();
        // What the first one wrote stays readable in memory until the next.
        self.write_back();
    }

    /// Runs one task until it is idle; false when it had nothing to do.
    fn run(&mut self, number: usize) -> bool {
        let Running { task, ends, .. } = &mut self.tasks[number];
        let (routes, wire, log, sent) =
            (&self.routes, &mut self.wire, &mut self.log, &mut self.sent);
        let mut busy = false;
        loop {
            match task.run_once(0).expect("the flow doesn't fail") {
                Ran::Record | Ran::Timer => busy = true,
                Ran::NeedsEnds => task.observe_ends(ends, 0),
                Ran::NeedsLevel => task.observe_level(ends),
                Ran::NeedsGlobals(_)
                | Ran::NeedsTopic(_)
                | Ran::Held
                | Ran::WaitsForCalls
                | Ran::Idle => break,
            }
            task.outputs().drain(|record| match routes.get(record.topic) {
                Some(place) => {
                    let (key, value) = (wire.add(record.key), wire.add(record.value));
                    wire.records.push((*place, record.timestamp, key, value));
                }
                None => {
                    *sent += 1;
                    log.extend_from_slice(record.key.unwrap_or_default());
                    log.extend_from_slice(record.value.unwrap_or_default());
                }
            });
        }
        for ((task, source), timestamp, key, value) in self.wire.records.drain(..) {
            let bytes = |span: Span| span.map(|range| &self.wire.bytes[range]);
            self.tasks[task].push(source, timestamp, bytes(key), bytes(value));
        }
        self.wire.bytes.clear();
        busy
    }

    fn commit(&mut self) {
        for Running { task, changelogs, .. } in &mut self.tasks {
            let log = &mut self.log;
            task.state().dirty(&mut |store, key, value| {
                changelogs[store.0].1 += 1;
                log.extend_from_slice(key);
                log.extend_from_slice(value.unwrap_or_default());
            });
            task.committed(changelogs);
        }
    }
}
