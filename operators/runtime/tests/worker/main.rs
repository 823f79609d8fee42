//! The worker on a log in memory, step by step.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

mod in_time;
mod offsets;
mod partitions;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
use operators::Topology;
use operators_runtime::{Progress, Worker, WorkerSettings};
use state_stores::{MemoryEngine, StateDir, StateOptions};

/// A log with a worker's topics and a clock moved by hand.
struct Scene {
    log: Arc<EmbeddedLog>,
    clock: Arc<AtomicI64>,
}

impl Scene {
    /// With these topics of so many partitions, and `dead_letters`.
    fn new(topics: &[(&str, u32)]) -> Self {
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let now = clock.clone();
        let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
        let options = EmbeddedOptions::simulation(now, 1);
        let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
        let spec = |(name, partitions): &(&str, u32)| TopicSpec {
            name: (*name).to_owned(),
            partitions: *partitions,
            replication: 1,
            cleanup: Cleanup::Keep,
        };
        let topics: Vec<_> = topics.iter().chain([&("dead_letters", 1)]).map(spec).collect();
        log.admin().unwrap().ensure_topics(&topics).unwrap();
        Self { log, clock }
    }

    /// Appends records whose keys are their values, too.
    fn append(
        &self,
        (topic, partition): (&str, u32),
        timestamp: i64,
        keys: impl Iterator<Item = String>,
    ) {
        let appender = self.log.appender("test").unwrap();
        for key in keys {
            let key = Some(key.as_bytes());
            let record = NewRecord { key, value: key, timestamp, headers: &[] };
            appender.append(topic, Some(partition), record, Box::new(|done| assert!(done.is_ok())));
        }
        self.log.sync().unwrap();
    }

    /// Values of the committed records of a partition.
    fn values(&self, topic: &str, partition: u32) -> Vec<String> {
        let reader = self.log.reader("test", Isolation::ReadCommitted, Visibility::Written);
        let mut reader = reader.unwrap();
        reader.assign(&[(TopicPartition::new(topic, partition), 0)]).unwrap();
        let mut values = Vec::new();
        let mut read = |record: log::ConsumedRecord<'_>| {
            values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
        };
        while reader.poll(Duration::ZERO, 1_000, &mut read).unwrap() > 0 {}
        values
    }

    /// Steps a new worker until `done`.
    fn run(&self, topology: Topology, done: impl Fn(&Self) -> bool) -> Worker {
        let id = self.log.admin().unwrap().log_id().unwrap();
        let state = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new(id)).unwrap();
        let settings = WorkerSettings { poll_records_max: 7, ..WorkerSettings::new("here") };
        let mut worker = Worker::new(topology, self.log.clone(), state, settings, 1);
        self.step(&mut worker, done);
        worker
    }

    /// Ends a worker in order.
    fn close(&self, mut worker: Worker) {
        worker.close();
        while worker.step(self.clock.fetch_add(1, Ordering::SeqCst)).unwrap() != Progress::Stopped {
            self.log.tick().unwrap();
        }
    }

    /// Steps a worker until `done`.
    fn step(&self, worker: &mut Worker, done: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            worker.step(self.clock.fetch_add(1, Ordering::SeqCst)).unwrap();
            self.log.tick().unwrap();
            if done(self) {
                return;
            }
        }
        panic!("the worker came to no end");
    }
}
