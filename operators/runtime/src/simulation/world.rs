//! What lies outside the workers: the log, its disk, and a clock that only the simulation moves.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
use state_stores::{Crash, Direction, Engine, MemoryEngine};

use super::faults::Faults;

/// A committed record: its key and its value, empty where there is none.
pub type Committed = (Vec<u8>, Vec<u8>);

/// The world of one run.
pub struct World {
    seed: u64,
    clock: Arc<AtomicI64>,
    /// How far the clock that was ahead most ever was.
    ahead_most: i64,
    disk: Arc<MemoryEngine>,
    log: Arc<EmbeddedLog>,
    faults: Faults,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).field("now", &self.now()).finish()
    }
}

impl World {
    /// A log with these topics, made durable.
    pub(super) fn new(seed: u64, faults: Faults, topics: &[TopicSpec]) -> Self {
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let disk = Arc::new(MemoryEngine::with_crashes());
        let log = open(&disk, &clock, &faults, seed);
        log.admin().unwrap().ensure_topics(topics).unwrap();
        log.sync().unwrap();
        Self { seed, clock, ahead_most: 0, disk, log, faults }
    }

    /// The faults of its calls.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The log as it is now; another one after a loss of power.
    #[must_use]
    pub fn log(&self) -> &Arc<EmbeddedLog> {
        &self.log
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// What the clock shows that is furthest ahead, or a little more: no member has seen a later time.
    #[must_use]
    pub fn latest(&self) -> i64 {
        self.now() + self.ahead_most
    }

    pub(super) fn went_ahead(&mut self, ms: i64) {
        self.ahead_most = self.ahead_most.max(ms);
    }

    /// Moves the clock.
    pub fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// Lets the log do what is due.
    pub fn tick(&self) {
        self.log.tick().unwrap();
    }

    /// Appends a record from outside; durable on return.
    pub fn append(&self, topic: &str, key: &[u8], value: &[u8]) {
        self.append_at(self.now(), topic, key, value);
    }

    /// The same, with a timestamp of its own.
    pub fn append_at(&self, timestamp: i64, topic: &str, key: &[u8], value: &[u8]) {
        let record = NewRecord { key: Some(key), value: Some(value), timestamp, headers: &[] };
        let (send, receive) = std::sync::mpsc::channel();
        let done = Box::new(move |done| send.send(done).unwrap());
        self.faults.without(|| {
            self.log.appender("outside").unwrap().append(topic, None, record, done);
            self.log.sync().unwrap();
        });
        receive.try_recv().expect("acknowledged by the sync").unwrap();
    }

    /// What is committed in a topic, each partition in order.
    #[must_use]
    pub fn committed(&self, topic: &str) -> Vec<Committed> {
        self.read(self.partitions(topic).into_iter().map(|at| (at, 0)).collect()).1
    }

    /// What lies in a partition below an offset, committed or not.
    #[must_use]
    pub fn written(&self, at: TopicPartition, below: i64) -> Vec<Committed> {
        let (_, found) = self.read_as(Isolation::ReadUncommitted, vec![(at, 0)], below);
        found
    }

    /// The partitions of a topic; none where it isn't there.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Vec<TopicPartition> {
        let found = self.faults.without(|| self.log.admin().unwrap().describe(&[topic]).unwrap());
        let count = found[0].as_ref().map_or(0, |topic| topic.partitions);
        (0..count).map(|part| TopicPartition::new(topic, part)).collect()
    }

    /// What is committed from these offsets on, and where each partition was read to.
    #[must_use]
    pub fn read(
        &self,
        from: Vec<(TopicPartition, i64)>,
    ) -> (Vec<(TopicPartition, i64)>, Vec<Committed>) {
        self.read_as(Isolation::ReadCommitted, from, i64::MAX)
    }

    fn read_as(
        &self,
        isolation: Isolation,
        mut from: Vec<(TopicPartition, i64)>,
        below: i64,
    ) -> (Vec<(TopicPartition, i64)>, Vec<Committed>) {
        let mut found = Vec::new();
        self.faults.without(|| {
            let mut reader = self.log.reader("outside", isolation, Visibility::Written).unwrap();
            reader.assign(&from).unwrap();
            let mut take = |record: log::record::ConsumedRecord<'_>| {
                let part = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                if record.offset < below {
                    found.push((part(record.key), part(record.value)));
                }
            };
            while reader.poll(Duration::ZERO, 1_000, &mut take).unwrap() > 0 {}
            for (at, next) in &mut from {
                *next = reader.position(at).unwrap_or(*next);
            }
        });
        (from, found)
    }

    /// How many offsets of a topic lie between start and end.
    #[must_use]
    pub fn kept(&self, topic: &str) -> i64 {
        let (admin, all) = (self.log.admin().unwrap(), self.partitions(topic));
        let ends = admin.end_offsets(&all, Isolation::ReadUncommitted).unwrap();
        ends.iter().sum::<i64>() - admin.start_offsets(&all).unwrap().iter().sum::<i64>()
    }

    /// A number for all that lies on the log's disk: the same for the same contents.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            (key, value).hash(&mut hasher);
            ControlFlow::Continue(())
        };
        self.disk.scan(&[], None, Direction::Forward, &mut visit).unwrap();
        hasher.finish()
    }

    /// Opens what a loss of power would leave, as often as it is called, at the moment of the call.
    pub fn survivors(&self) -> impl Fn() -> EmbeddedLog + use<> {
        let (disk, clock, seed) = (self.disk.clone(), self.clock.clone(), self.seed);
        move || {
            let left = Arc::new(disk.after(Crash::Machine));
            let log = EmbeddedLog::open(left, options(&clock, seed)).unwrap();
            // Writes the markers that are late.
            log.tick().unwrap();
            log
        }
    }

    /// Power loss: the log keeps what was synced.
    pub(super) fn lose_power(&mut self) {
        self.log.crash();
        self.disk.crash(Crash::Machine);
        self.log = open(&self.disk, &self.clock, &self.faults, self.seed);
    }
}

fn open(
    disk: &Arc<MemoryEngine>,
    clock: &Arc<AtomicI64>,
    faults: &Faults,
    seed: u64,
) -> Arc<EmbeddedLog> {
    let faults = Some(Arc::new(faults.plan()));
    let options = EmbeddedOptions { faults, ..options(clock, seed) };
    Arc::new(EmbeddedLog::open(disk.clone(), options).unwrap())
}

fn options(clock: &Arc<AtomicI64>, seed: u64) -> EmbeddedOptions {
    let clock = clock.clone();
    let now = Arc::new(move || clock.load(Ordering::SeqCst));
    EmbeddedOptions { open_transactions: true, ..EmbeddedOptions::simulation(now, seed) }
}
