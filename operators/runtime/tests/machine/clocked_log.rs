//! An embedded log whose clock only the test moves, and what every test does with a worker on it.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions, FaultPlan};
use log::{Cleanup, Isolation, Log, NewRecord, Reader, TopicPartition, TopicSpec, Visibility};
use operators_runtime::{Progress, Worker, WorkerError};
use state_stores::Engine;

pub(crate) struct ClockedLog {
    clock: Arc<AtomicI64>,
    pub(crate) log: Arc<EmbeddedLog>,
}

impl ClockedLog {
    /// A log on this engine, at `now_ms`.
    pub(crate) fn open(engine: Arc<dyn Engine>, now_ms: i64, faults: Option<FaultPlan>) -> Self {
        Self::with(engine, now_ms, faults, false)
    }

    /// As [`Self::open`]; transactions may lie open in the log, as on Kafka.
    pub(crate) fn with(
        engine: Arc<dyn Engine>,
        now_ms: i64,
        faults: Option<FaultPlan>,
        open_transactions: bool,
    ) -> Self {
        let clock = Arc::new(AtomicI64::new(now_ms));
        let now = Arc::clone(&clock);
        let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
        let faults = faults.map(Arc::new);
        let simulated = EmbeddedOptions::simulation(now, 1);
        let options = EmbeddedOptions { faults, open_transactions, ..simulated };
        Self { clock, log: Arc::new(EmbeddedLog::open(engine, options).unwrap()) }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn make_topics<N: Into<String>>(&self, topics: impl IntoIterator<Item = (N, u32)>) {
        let spec = |(name, partitions): (N, u32)| TopicSpec {
            name: name.into(),
            partitions,
            replication: 1,
            cleanup: Cleanup::Keep,
        };
        let specs: Vec<TopicSpec> = topics.into_iter().map(spec).collect();
        self.log.admin().unwrap().ensure_topics(&specs).unwrap();
    }

    pub(crate) fn log_id(&self) -> String {
        self.log.admin().unwrap().log_id().unwrap()
    }

    /// Appends a record, where its key belongs unless the partition is given; durable on return.
    pub(crate) fn append(&self, topic: &str, partition: Option<u32>, record: NewRecord<'_>) {
        let done = Box::new(|written: log::Appended| assert!(written.is_ok(), "{written:?}"));
        self.log.appender("test").unwrap().append(topic, partition, record, done);
        self.log.sync().unwrap();
        self.log.tick().unwrap();
    }

    /// Reads what is committed in a partition, from its start.
    pub(crate) fn reader(&self, topic: &str, partition: u32) -> Box<dyn Reader> {
        let reader = self.log.reader("test", Isolation::ReadCommitted, Visibility::Written);
        let mut reader = reader.unwrap();
        reader.assign(&[(TopicPartition::new(topic, partition), 0)]).unwrap();
        reader
    }

    /// Until the worker has had nothing to do for a while, at one moment of the clock.
    pub(crate) fn settle(&self, worker: &mut Worker) -> Result<(), WorkerError> {
        let (now, mut quiet) = (self.now(), 0);
        for _ in 0..10_000 {
            let idle = matches!(worker.step(now)?, Progress::IdleUntil(_));
            self.log.tick().unwrap();
            quiet = if idle && worker.status().ready { quiet + 1 } else { 0 };
            if quiet == 5 {
                return Ok(());
            }
        }
        panic!("the worker never rests: {:?}", worker.status());
    }

    /// Steps the worker, a millisecond each, until `done`.
    pub(crate) fn step_until(&self, worker: &mut Worker, mut done: impl FnMut(Progress) -> bool) {
        for _ in 0..10_000 {
            let progress = worker.step(self.now()).unwrap();
            self.pass(1);
            self.log.tick().unwrap();
            if done(progress) {
                return;
            }
        }
        panic!("the worker came to no end: {:?}", worker.status());
    }

    /// Ends a worker in order, at one moment of the clock.
    pub(crate) fn close(&self, worker: &mut Worker) {
        worker.close();
        while worker.step(self.now()).unwrap() != Progress::Stopped {
            self.log.tick().unwrap();
        }
    }
}

/// Everything that a reader hasn't read yet.
pub(crate) fn read_all(reader: &mut dyn Reader, mut take: impl FnMut(log::ConsumedRecord<'_>)) {
    while reader.poll(Duration::ZERO, 1_000, &mut take).unwrap() > 0 {}
}
