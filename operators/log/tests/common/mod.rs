//! A log in simulation: a clock moved by hand, crashes, and shorthands.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use operators_log::embedded::{EmbeddedLog, EmbeddedOptions};
use operators_log::{
    Cleanup, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log, LogError, NewRecord,
    Polled, TopicPartition, TopicSpec, TxnProducer, Visibility,
};
use state_stores::{Crash, Engine, MemoryEngine};

/// A log that does nothing by itself.
pub(crate) struct Simulated {
    pub(crate) engine: Arc<MemoryEngine>,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) options: EmbeddedOptions,
    pub(crate) log: EmbeddedLog,
}

impl Simulated {
    pub(crate) fn new(change: impl FnOnce(&mut EmbeddedOptions)) -> Self {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let time = Arc::clone(&clock);
        let mut options =
            EmbeddedOptions::simulation(Arc::new(move || time.load(Ordering::Relaxed)), 7);
        change(&mut options);
        let engine = Arc::new(MemoryEngine::with_crashes());
        let log = open(&engine, &options);
        Self { engine, clock, options, log }
    }

    pub(crate) fn topic(&self, name: &str, partitions: u32, cleanup: Cleanup) {
        let spec = TopicSpec { name: name.into(), partitions, replication: 1, cleanup };
        self.log.admin().unwrap().ensure_topics(&[spec]).unwrap();
    }

    pub(crate) fn producer(&self) -> Box<dyn TxnProducer> {
        let mut producer = self.log.txn_producer("p", "txn").unwrap();
        producer.init().unwrap();
        producer
    }

    pub(crate) fn consumer(&self, client_id: &str) -> Box<dyn GroupConsumer> {
        let options = GroupOptions {
            group: "group".into(),
            client_id: client_id.into(),
            session_timeout: Duration::from_secs(6),
            max_poll_interval: Duration::from_secs(60),
            instance_id: None,
        };
        self.log.group_consumer(&options).unwrap()
    }

    /// Commits one transaction of (partition, key, value).
    pub(crate) fn commit(&self, topic: &str, records: &[(u32, &str, Option<&str>)]) {
        let mut producer = self.producer();
        producer.begin().unwrap();
        for (partition, key, value) in records {
            producer.send(topic, *partition, record(key, *value)).unwrap();
        }
        producer.commit().unwrap();
    }

    /// Everything a reader sees, as (offset, key, value).
    pub(crate) fn read(
        &self,
        topic: &str,
        partition: u32,
        visibility: Visibility,
    ) -> Vec<(i64, String, Option<String>)> {
        let at = TopicPartition::new(topic, partition);
        let mut reader = self.log.reader("r", Isolation::ReadCommitted, visibility).unwrap();
        let start = self.log.admin().unwrap().start_offsets(std::slice::from_ref(&at)).unwrap()[0];
        reader.assign(&[(at, start)]).unwrap();
        let mut found = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while reader
            .poll(Duration::ZERO, 3, &mut |record| {
                found.push((
                    record.offset,
                    record.key.map(text).unwrap_or_default(),
                    record.value.map(text),
                ));
            })
            .unwrap()
            > 0
        {}
        found
    }

    pub(crate) fn values(&self, topic: &str, visibility: Visibility) -> Vec<String> {
        self.read(topic, 0, visibility).into_iter().filter_map(|(_, _, value)| value).collect()
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// Ticks until nothing is due.
    pub(crate) fn settle(&self) {
        while self.log.tick().unwrap() {}
    }

    /// The log as it is after a crash.
    pub(crate) fn crash(&mut self, how: Crash) {
        self.log.crash();
        self.engine.crash(how);
        self.log = open(&self.engine, &self.options);
    }
}

fn open(engine: &Arc<MemoryEngine>, options: &EmbeddedOptions) -> EmbeddedLog {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    EmbeddedLog::open(engine, options.clone()).unwrap()
}

pub(crate) fn record<'a>(key: &'a str, value: Option<&'a str>) -> NewRecord<'a> {
    NewRecord {
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        timestamp: 5,
        headers: &[],
    }
}

pub(crate) fn event(consumer: &mut dyn GroupConsumer) -> Polled {
    consumer.poll(Duration::ZERO, 10, &mut |_| {}).unwrap()
}

/// Polls once, which must bring an assignment, and takes it from the start.
pub(crate) fn take(consumer: &mut dyn GroupConsumer) -> (Vec<TopicPartition>, GroupMetadata) {
    let Polled::Assign(owned) = event(consumer) else { panic!("an assignment is due") };
    let offsets: Vec<_> = owned.iter().map(|at| (at.clone(), 0)).collect();
    let metadata = consumer.ack_assign(&offsets).unwrap();
    (owned, metadata)
}

pub(crate) fn is_fatal(error: &LogError) -> bool {
    matches!(error, LogError::Fatal(_))
}
