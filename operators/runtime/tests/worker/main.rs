//! The worker on a log in memory, step by step.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

mod back_pressure;
mod catch_up;
#[path = "../machine/clocked_log.rs"]
mod clocked_log;
mod commits;
mod dead_letters;
mod fenced;
mod figures;
mod full_disk;
mod in_time;
mod named_topics;
mod offsets;
mod partitions;
mod recorder;
mod threads;
#[path = "../../../../state-stores/tests/torn/mod.rs"]
mod torn;
mod waiting;

use std::sync::Arc;

use log::NewRecord;
use operators::Topology;
use operators_runtime::{Progress, Worker, WorkerSettings};
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::clocked_log::{ClockedLog, read_all};

/// A log with a worker's topics and a clock moved by hand.
struct Scene(ClockedLog);

impl Scene {
    /// With these topics of so many partitions, and `dead_letters`.
    fn new(topics: &[(&str, u32)]) -> Self {
        let log = ClockedLog::open(Arc::new(MemoryEngine::new()), 1_700_000_000_000, None);
        log.make_topics(topics.iter().chain(&[("dead_letters", 1)]).copied());
        Self(log)
    }

    /// Appends records whose keys are their values, too.
    fn append(
        &self,
        (topic, partition): (&str, u32),
        timestamp: i64,
        keys: impl Iterator<Item = String>,
    ) {
        for key in keys {
            let key = Some(key.as_bytes());
            let record = NewRecord { key, value: key, timestamp, headers: &[] };
            self.0.append(topic, Some(partition), record);
        }
    }

    /// Values of the committed records of a partition.
    fn values(&self, topic: &str, partition: u32) -> Vec<String> {
        let mut values = Vec::new();
        read_all(self.0.reader(topic, partition).as_mut(), |record| {
            values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
        });
        values
    }

    /// A new worker with no state yet.
    fn worker(&self, topology: Topology) -> Worker {
        let options = StateOptions::new(self.0.log_id());
        let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
        let settings =
            WorkerSettings { poll_records_max: 7, turn: None, ..WorkerSettings::new("here") };
        Worker::new(topology, self.0.log.clone(), state, settings, 1)
    }

    /// Steps a new worker until `done`.
    fn run(&self, topology: Topology, done: impl Fn(&Self) -> bool) -> Worker {
        let mut worker = self.worker(topology);
        self.step(&mut worker, done);
        worker
    }

    /// Steps a worker until it takes records.
    fn step_until_ready(&self, worker: &mut Worker) {
        for _ in 0..10_000 {
            if worker.status().ready {
                return;
            }
            worker.step(self.0.now()).unwrap();
            self.0.pass(1);
            self.0.log.tick().unwrap();
        }
        panic!("the worker never runs: {:?}", worker.status());
    }

    /// Ends a worker in order.
    fn close(&self, mut worker: Worker) {
        worker.close();
        self.0.step_until(&mut worker, |progress| progress == Progress::Stopped);
    }

    /// Steps a worker until `done`.
    fn step(&self, worker: &mut Worker, done: impl Fn(&Self) -> bool) {
        self.0.step_until(worker, |_| done(self));
    }
}
