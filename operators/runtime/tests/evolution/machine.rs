//! A log, the files of one instance, and one worker at a time on both. The clock stands still unless a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
use operators::Topology;
use operators_runtime::{Progress, Worker, WorkerError, WorkerSettings};
use state_stores::{Crash, MemoryEngine, StateDir, StateOptions};

pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct Machine {
    clock: Arc<AtomicI64>,
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) files: Arc<MemoryEngine>,
    state: Option<Arc<StateDir>>,
    worker: Option<Worker>,
    pub(crate) accepted: Option<String>,
}

impl Machine {
    /// With these topics, and `dead_letters`.
    pub(crate) fn new(topics: &[&str]) -> Self {
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let now = Arc::clone(&clock);
        let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
        let options = EmbeddedOptions::simulation(now, 1);
        let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
        let spec = |name: &&str| TopicSpec {
            name: (*name).to_owned(),
            partitions: PARTITIONS,
            replication: 1,
            cleanup: Cleanup::Keep,
        };
        let specs: Vec<TopicSpec> = topics.iter().chain(&["dead_letters"]).map(spec).collect();
        log.admin().unwrap().ensure_topics(&specs).unwrap();
        Self { clock, log, files: empty(), state: None, worker: None, accepted: None }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&mut self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
        self.settle().unwrap();
    }

    /// Starts the application and lets it do all there is to do.
    pub(crate) fn start(&mut self, topology: &Topology) -> Result<(), WorkerError> {
        let options = StateOptions::new(self.log.admin().unwrap().log_id().unwrap());
        let state = StateDir::open(self.files.clone(), options).unwrap();
        let settings = WorkerSettings {
            commit_min_interval_ms: 0,
            accepted_changes: self.accepted.iter().cloned().collect(),
            ..WorkerSettings::new("here")
        };
        let worker = Worker::new(topology.clone(), self.log.clone(), state.clone(), settings, 1);
        (self.state, self.worker) = (Some(state), Some(worker));
        self.settle()
    }

    /// Until the worker has had nothing to do for a while.
    pub(crate) fn settle(&mut self) -> Result<(), WorkerError> {
        let (now, mut quiet) = (self.now(), 0);
        for _ in 0..10_000 {
            let worker = self.worker.as_mut().unwrap();
            let idle = matches!(worker.step(now)?, Progress::IdleUntil(_));
            self.log.tick().unwrap();
            quiet = if idle && worker.status().ready { quiet + 1 } else { 0 };
            if quiet == 5 {
                return Ok(());
            }
        }
        panic!("{:?}", self.worker.as_ref().unwrap().status());
    }

    /// Ends the worker as it should be; all of its state is in its files.
    pub(crate) fn stop(&mut self) {
        let now = self.now();
        let mut worker = self.worker.take().unwrap();
        worker.close();
        while worker.step(now).unwrap() != Progress::Stopped {
            self.log.tick().unwrap();
        }
        self.log.sync().unwrap();
        self.state.take().unwrap().write_back(now).unwrap();
    }

    /// kill -9: what the files hadn't on disk is gone.
    pub(crate) fn crash(&mut self) {
        (self.worker, self.state) = (None, None);
        self.files.crash(Crash::Process);
        // The group finds out that the member is dead.
        self.clock.fetch_add(60_000, Ordering::SeqCst);
        self.log.tick().unwrap();
    }

    /// Another instance, or the machine after its disk was replaced.
    pub(crate) fn new_disk(&mut self) {
        self.files = empty();
    }

    pub(crate) fn append(&self, topic: &str, key: &str, number: i64, timestamp: i64) {
        let (key, value) = (key.as_bytes(), number.to_be_bytes());
        let record = NewRecord { key: Some(key), value: Some(&value), timestamp, headers: &[] };
        let done = Box::new(|written: log::Appended| assert!(written.is_ok()));
        self.log.appender("test").unwrap().append(topic, None, record, done);
        self.log.sync().unwrap();
        self.log.tick().unwrap();
    }

    /// Everything in a topic, by partition: key, value and timestamp.
    pub(crate) fn read(&self, topic: &str, partitions: u32) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
        let mut reader =
            self.log.reader("test", Isolation::ReadCommitted, Visibility::Written).unwrap();
        let mut seen = Vec::new();
        for partition in 0..partitions {
            reader.assign(&[(TopicPartition::new(topic, partition), 0)]).unwrap();
            let mut take = |record: log::ConsumedRecord<'_>| {
                let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                seen.push((bytes(record.key), bytes(record.value), record.timestamp));
            };
            while reader.poll(Duration::ZERO, 1_000, &mut take).unwrap() > 0 {}
        }
        seen
    }
}

fn empty() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::with_crashes())
}
