//! The real worker on an embedded log, driven by the steps of a vector.

mod clocked_log;

use std::collections::BTreeSet;
use std::sync::Arc;

use log::embedded::{Fault, FaultPlan, Operation};
use log::{NewRecord, Reader};
use operators::Topology;
use operators_runtime::{Worker, WorkerSettings};
use serde_json::Value;
use state_stores::{Engine, StateDir, StateOptions};

use self::clocked_log::{ClockedLog, read_all};
use crate::flows::Case;
use crate::flows::vectors::{Round, Step, written};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Plain,
    /// The worker is closed and another one started between steps.
    Restarts,
    /// Every second commit fails, and the input is processed again.
    FailedCommits,
}

/// Where a machine keeps its log and its state.
pub(crate) trait Disks {
    /// For the log; asked once.
    fn log(&self) -> Arc<dyn Engine>;

    /// For the state of a worker that starts, with the size at which its layer is written back: what the worker before
    /// it left, or nothing.
    fn state(&self) -> (Arc<dyn Engine>, usize);
}

/// A log, a worker, and a clock that moves only when the vector says so.
pub(crate) struct Machine<'c> {
    case: &'c Case,
    mode: Mode,
    topology: Topology,
    log: ClockedLog,
    disks: &'c dyn Disks,
    worker: Option<Worker>,
    outputs: Vec<Box<dyn Reader>>,
}

impl<'c> Machine<'c> {
    pub(crate) fn start(
        case: &'c Case,
        topology: &Topology,
        round: &Round,
        mode: Mode,
        disks: &'c dyn Disks,
    ) -> Self {
        let faults = (mode == Mode::FailedCommits).then(|| {
            FaultPlan::deciding(|operation, count| {
                (operation == Operation::Commit && count % 2 == 1).then_some(Fault::Abort)
            })
        });
        let log = ClockedLog::open(disks.log(), round.start_wall_ms, faults);
        log.make_topics(topics(topology).into_iter().map(|name| (name, 1)));
        let mut machine = Self {
            case,
            mode,
            topology: topology.clone(),
            log,
            disks,
            worker: None,
            outputs: Vec::new(),
        };
        machine.start_worker();
        // After the worker has made its internal topics: one of them may be an output.
        machine.outputs =
            case.outputs.iter().map(|output| machine.log.reader(output.0, 0)).collect();
        machine
    }

    fn start_worker(&mut self) {
        let (engine, layer_bytes) = self.disks.state();
        let options = StateOptions { layer_bytes, ..StateOptions::new(self.log.log_id()) };
        let state = StateDir::open(engine, options).unwrap();
        // What is processed must be committed before the next input, also where nothing came of it: input that is
        // processed again meets what has arrived meanwhile.
        let settings = WorkerSettings {
            commit_min_interval_ms: 0,
            commit_interval_ms: 0,
            ..WorkerSettings::new("oracle")
        };
        let log = self.log.log.clone();
        self.worker = Some(Worker::new(self.topology.clone(), log, state, settings, 1));
        self.settle();
    }

    fn settle(&mut self) {
        self.log.settle(self.worker.as_mut().unwrap()).unwrap();
    }

    fn restart(&mut self) {
        self.log.close(self.worker.as_mut().unwrap());
        self.worker = None;
        self.start_worker();
    }

    /// Feeds the round; gives what came out.
    pub(crate) fn run(&mut self, round: &Round) -> Vec<Value> {
        let mut actual = Vec::new();
        for (number, input) in round.input.iter().enumerate() {
            if self.mode == Mode::Restarts && round.restarts_before(number) {
                self.restart();
            }
            match Step::of(input) {
                Step::AdvanceWallClock(ms) => self.log.pass(ms),
                Step::Flush => {}
                Step::Pipe { topic, key, value, timestamp, headers } => {
                    let headers: Vec<_> = headers.iter().collect();
                    let value = value.as_deref();
                    let record = NewRecord { key, value, timestamp, headers: &headers };
                    self.log.append(topic, Some(0), record);
                }
            }
            self.settle();
            for (topic, reader) in self.case.outputs.iter().zip(&mut self.outputs) {
                read_all(reader.as_mut(), |record| {
                    let parts = (record.key, record.value, record.timestamp);
                    actual.push(written(number, *topic, parts, record.headers.iter().copied()));
                });
            }
        }
        actual
    }
}

/// Everything the topology reads and writes but what the worker makes.
fn topics(topology: &Topology) -> BTreeSet<String> {
    let internal: BTreeSet<_> =
        topology.internal_topics().into_iter().map(|topic| topic.name).collect();
    let mut names: BTreeSet<String> = BTreeSet::from([operators::DEAD_LETTERS.to_owned()]);
    for part in topology.subtopologies() {
        let all = part.sources.iter().chain(&part.sinks);
        names.extend(all.filter(|name| !internal.contains(*name)).map(ToString::to_string));
    }
    names.extend(topology.global_tables().iter().map(|table| table.topic.to_string()));
    names
}
