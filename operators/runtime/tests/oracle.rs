//! Kafka Streams' vectors through the real worker on the embedded log: fetching, transactions, changelogs, restore and
//! global tables stand between input and output, and nothing of it may show.
//!
//! Each case runs three times: as it is, with the worker closed and another one started between steps, and with every
//! second commit failing, after which the input is processed again.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "../../tests/flows/mod.rs"]
#[allow(dead_code, reason = "what lists cases is for the other oracle")]
mod flows;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flows::Case;
use flows::replay::replay;
use flows::vectors::{Round, Step, written};
use log::embedded::{EmbeddedLog, EmbeddedOptions, Fault, FaultPlan, Operation};
use log::{Cleanup, Isolation, Log, NewRecord, Reader, TopicPartition, TopicSpec, Visibility};
use operators::{Headers, Topology};
use operators_runtime::{Progress, Worker, WorkerSettings};
use serde_json::Value;
use state_stores::{MemoryEngine, StateDir, StateOptions};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Plain,
    Restarts,
    FailedCommits,
}

#[test]
fn kafka_streams_output_is_matched_by_the_worker() {
    let modes = [Mode::Plain, Mode::Restarts, Mode::FailedCommits];
    let outcome = replay(&modes, &[], |case, topology, round, mode| {
        Machine::start(case, topology, round, mode).run(round)
    });
    assert_eq!(outcome, ExitCode::SUCCESS);
}

/// A log, a worker, and a clock that moves only when the vector says so.
struct Machine<'c> {
    case: &'c Case,
    mode: Mode,
    topology: Topology,
    clock: Arc<AtomicI64>,
    log: Arc<EmbeddedLog>,
    files: Arc<MemoryEngine>,
    worker: Option<Worker>,
    outputs: Vec<Box<dyn Reader>>,
}

impl<'c> Machine<'c> {
    fn start(case: &'c Case, topology: &Topology, round: &Round, mode: Mode) -> Self {
        let clock = Arc::new(AtomicI64::new(round.start_wall_ms));
        let now = clock.clone();
        let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
        let mut options = EmbeddedOptions::simulation(now, 1);
        if mode == Mode::FailedCommits {
            options.faults = Some(Arc::new(FaultPlan::deciding(|operation, count| {
                (operation == Operation::Commit && count % 2 == 1).then_some(Fault::Abort)
            })));
        }
        let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
        make_topics(&log, topology);
        let mut machine = Self {
            case,
            mode,
            topology: topology.clone(),
            clock,
            log,
            files: Arc::new(MemoryEngine::new()),
            worker: None,
            outputs: Vec::new(),
        };
        machine.start_worker();
        // After the worker has made its internal topics: one of them may be an output.
        machine.outputs = case.outputs.iter().map(|output| machine.reader(output.0)).collect();
        machine
    }

    fn start_worker(&mut self) {
        let options = StateOptions::new(self.log.admin().unwrap().log_id().unwrap());
        let state = StateDir::open(self.files.clone(), options).unwrap();
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
        // Nothing of the old state is left: all of it comes from the changelogs.
        self.files = Arc::new(MemoryEngine::new());
        self.start_worker();
    }

    fn run(&mut self, round: &Round) -> Vec<Value> {
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
