//! The real worker on an embedded log, driven by the steps of a vector.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions, Fault, FaultPlan, Operation};
use log::{Cleanup, Isolation, Log, NewRecord, Reader, TopicPartition, TopicSpec, Visibility};
use operators::{Headers, Topology};
use operators_runtime::{Progress, Worker, WorkerSettings};
use serde_json::Value;
use state_stores::{Engine, StateDir, StateOptions};

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
    clock: Arc<AtomicI64>,
    log: Arc<EmbeddedLog>,
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
        let clock = Arc::new(AtomicI64::new(round.start_wall_ms));
        let now = clock.clone();
        let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
        let mut options = EmbeddedOptions::simulation(now, 1);
        if mode == Mode::FailedCommits {
            options.faults = Some(Arc::new(FaultPlan::deciding(|operation, count| {
                (operation == Operation::Commit && count % 2 == 1).then_some(Fault::Abort)
            })));
        }
        let log = Arc::new(EmbeddedLog::open(disks.log(), options).unwrap());
        make_topics(&log, topology);
        let mut machine = Self {
            case,
            mode,
            topology: topology.clone(),
            clock,
            log,
            disks,
            worker: None,
            outputs: Vec::new(),
        };
        machine.start_worker();
        // After the worker has made its internal topics: one of them may be an output.
        machine.outputs = case.outputs.iter().map(|output| machine.reader(output.0)).collect();
        machine
    }

    fn start_worker(&mut self) {
        let (engine, layer_bytes) = self.disks.state();
        let log_id = self.log.admin().unwrap().log_id().unwrap();
        let options = StateOptions { layer_bytes, ..StateOptions::new(log_id) };
        let state = StateDir::open(engine, options).unwrap();
        let settings =
            WorkerSettings { commit_min_interval_ms: 0, ..WorkerSettings::new("oracle") };
        let worker = Worker::new(self.topology.clone(), self.log.clone(), state, settings, 1);
        self.worker = Some(worker);
        self.settle();
    }

    fn reader(&self, topic: &str) -> Box<dyn Reader> {
        let mut reader =
            self.log.reader("oracle", Isolation::ReadCommitted, Visibility::Written).unwrap();
        reader.assign(&[(TopicPartition::new(topic, 0), 0)]).unwrap();
        reader
    }

    /// Until the worker has had nothing to do for a while, at one moment of the clock.
    fn settle(&mut self) {
        let now = self.clock.load(Ordering::SeqCst);
        let mut quiet = 0;
        for _ in 0..10_000 {
            let worker = self.worker.as_mut().unwrap();
            let idle = matches!(worker.step(now).unwrap(), Progress::IdleUntil(_));
            self.log.tick().unwrap();
            quiet = if idle && worker.status().ready { quiet + 1 } else { 0 };
            if quiet == 5 {
                return;
            }
        }
        panic!("{}: {:?}", self.case.name, self.worker.as_ref().unwrap().status());
    }

    fn restart(&mut self) {
        let now = self.clock.load(Ordering::SeqCst);
        let worker = self.worker.as_mut().unwrap();
        worker.close();
        while worker.step(now).unwrap() != Progress::Stopped {
            self.log.tick().unwrap();
        }
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
                Step::AdvanceWallClock(ms) => {
                    self.clock.fetch_add(ms, Ordering::SeqCst);
                }
                Step::Flush => {}
                Step::Pipe { topic, key, value, timestamp, headers } => {
                    self.append(topic, key, value.as_deref(), timestamp, &headers);
                }
            }
            self.settle();
            for (topic, reader) in self.case.outputs.iter().zip(&mut self.outputs) {
                let mut take = |record: log::ConsumedRecord<'_>| {
                    let parts = (record.key, record.value, record.timestamp);
                    actual.push(written(number, *topic, parts, record.headers.iter().copied()));
                };
                while reader.poll(Duration::ZERO, 1_000, &mut take).unwrap() > 0 {}
            }
        }
        actual
    }

    fn append(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &Headers,
    ) {
        let headers: Vec<_> = headers.iter().collect();
        let record = NewRecord { key, value, timestamp, headers: &headers };
        let appender = self.log.appender("oracle").unwrap();
        appender.append(
            topic,
            Some(0),
            record,
            Box::new(|done| {
                done.unwrap();
            }),
        );
        self.log.sync().unwrap();
        self.log.tick().unwrap();
    }
}

/// Everything the topology reads and writes, with one partition.
fn make_topics(log: &EmbeddedLog, topology: &Topology) {
    let internal: BTreeSet<_> =
        topology.internal_topics().into_iter().map(|topic| topic.name).collect();
    let mut names: BTreeSet<String> = BTreeSet::from([operators::DEAD_LETTERS.to_owned()]);
    for part in topology.subtopologies() {
        let all = part.sources.iter().chain(&part.sinks);
        names.extend(all.filter(|name| !internal.contains(*name)).map(ToString::to_string));
    }
    names.extend(topology.global_tables().iter().map(|table| table.topic.to_string()));
    let spec =
        |name: String| TopicSpec { name, partitions: 1, replication: 1, cleanup: Cleanup::Keep };
    log.admin().unwrap().ensure_topics(&names.into_iter().map(spec).collect::<Vec<_>>()).unwrap();
}
