//! A log, some workers and a clock that only the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
use operators_runtime::{Progress, Worker, WorkerError, WorkerSettings, WorkerStatus};
use state_stores::{Crash, MemoryEngine, StateDir, StateOptions};

use crate::faults::Faults;
use crate::flow::Flow;
use crate::words;

/// One member: its files outlive its process.
struct Member {
    files: Arc<MemoryEngine>,
    /// Of the present process, or the last.
    state: Option<Arc<StateDir>>,
    worker: Option<Worker>,
    /// A process that stood still and was given up by the group.
    zombie: Option<Worker>,
}

pub(crate) struct Cluster {
    seed: u64,
    flow: Flow,
    clock: Arc<AtomicI64>,
    disk: Arc<MemoryEngine>,
    log: Arc<EmbeddedLog>,
    faults: Arc<Faults>,
    members: Vec<Member>,
    appended: Vec<String>,
}

/// Memory for committed rows that are not in the base.
pub(crate) const LAYER_BYTES: usize = 4_096;

const STEPS_MAX: usize = 200_000;

impl Cluster {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        Self::with_faults(seed, members, Faults::random(seed))
    }

    pub(crate) fn with_faults(seed: u64, members: usize, faults: Faults) -> Self {
        Self::with_flow(seed, members, faults, Flow::words())
    }

    pub(crate) fn with_flow(seed: u64, members: usize, faults: Faults, flow: Flow) -> Self {
        let faults = Arc::new(faults);
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let disk = Arc::new(MemoryEngine::with_crashes());
        let log = open(&disk, &clock, &faults, seed);
        let topic = |name: &str, cleanup| TopicSpec {
            name: name.to_owned(),
            partitions: words::PARTITIONS,
            replication: 1,
            cleanup,
        };
        let topics = [
            topic(flow.input, Cleanup::Keep),
            topic(flow.output, Cleanup::Keep),
            topic("dead_letters", Cleanup::Keep),
        ];
        log.admin().unwrap().ensure_topics(&topics).unwrap();
        log.sync().unwrap();
        let members = (0..members)
            .map(|_| Member {
                files: Arc::new(MemoryEngine::with_crashes()),
                state: None,
                worker: None,
                zombie: None,
            })
            .collect();
        Self { seed, flow, clock, disk, log, faults, members, appended: Vec::new() }
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn status(&self, member: usize) -> Option<WorkerStatus> {
        self.members[member].worker.as_ref().map(Worker::status)
    }

    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn appended(&self) -> &[String] {
        &self.appended
    }

    pub(crate) fn runs(&self, member: usize) -> bool {
        self.members[member].worker.is_some()
    }

    pub(crate) fn has_zombie(&self, member: usize) -> bool {
        self.members[member].zombie.is_some()
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn tick(&self) {
        self.log.tick().unwrap();
    }

    /// Appends under keys that say nothing about the words; durable on return.
    pub(crate) fn append_words(&mut self, words: &[&str]) {
        for word in words {
            let key = format!("k{}", self.appended.len());
            self.append(&key, word);
        }
    }

    /// Appends a record; durable on return.
    pub(crate) fn append(&mut self, key: &str, value: &str) {
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp: self.now(),
            headers: &[],
        };
        let (send, receive) = std::sync::mpsc::channel();
        let done = Box::new(move |done| send.send(done).unwrap());
        self.log.appender("test").unwrap().append(self.flow.input, None, record, done);
        self.log.sync().unwrap();
        self.log.tick().unwrap();
        receive.try_recv().expect("acknowledged by the sync").unwrap();
        self.appended.push(value.to_owned());
    }

    pub(crate) fn start(&mut self, member: usize) {
        let log: Arc<dyn Log> = self.log.clone();
        let files = self.members[member].files.clone();
        let mut options = StateOptions::new(log.admin().unwrap().log_id().unwrap());
        options.layer_bytes = LAYER_BYTES;
        options.max_layer_age_ms = 500;
        let state = StateDir::open(files, options).unwrap();
        self.members[member].state = Some(state.clone());
        let mut settings = WorkerSettings::new(format!("member-{member}"));
        settings.max_poll_interval = Duration::from_secs(8);
        settings.poll_records_max = 3;
        settings.process_records_max = 2;
        settings.repartition_purge_interval_ms = 200;
        if self.seed % 2 == 1 {
            // Partitions are paused and resumed all the time.
            settings.buffered_records_max = 2;
        }
        let mut worker = Worker::new((self.flow.topology)(), log, state, settings, 1);
        (self.flow.prepare)(&mut worker, self.log.clone(), self.clock.clone());
        self.members[member].worker = Some(worker);
    }

    /// One step of a member that runs.
    pub(crate) fn try_step(&mut self, member: usize) -> Result<Progress, WorkerError> {
        let now = self.now();
        self.members[member].worker.as_mut().unwrap().step(now)
    }

    /// One step of a member; a member that can't go on is started anew later.
    pub(crate) fn step(&mut self, member: usize) -> Progress {
        if self.members[member].worker.is_none() {
            self.start(member);
        }
        match self.try_step(member) {
            Ok(Progress::Stopped) => {
                self.members[member].worker = None;
                Progress::Stopped
            }
            Ok(progress) => progress,
            Err(WorkerError::FencedTwice { .. }) => {
                // It and its zombie fenced each other: a supervisor starts it again.
                self.members[member].worker = None;
                Progress::Stopped
            }
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    pub(crate) fn step_zombie(&mut self, member: usize) {
        let now = self.now();
        let Some(zombie) = &mut self.members[member].zombie else { return };
        match zombie.step(now) {
            Ok(Progress::Busy | Progress::IdleUntil(_)) => {}
            Ok(Progress::Stopped) | Err(WorkerError::FencedTwice { .. }) => {
                self.members[member].zombie = None;
            }
            Err(error) => panic!("seed {}, a zombie: {error}", self.seed),
        }
    }

    /// kill -9 of a member: nothing is closed, unflushed files are lost.
    pub(crate) fn crash(&mut self, member: usize) {
        // Dropping says no goodbye: the group waits for the end of the session.
        self.members[member].worker = None;
        self.members[member].zombie = None;
        self.members[member].files.crash(Crash::Process);
    }

    /// Its machine burns down.
    pub(crate) fn lose(&mut self, member: usize) {
        self.crash(member);
        self.members[member].files = Arc::new(MemoryEngine::with_crashes());
    }

    /// Bytes of a member's committed layers.
    pub(crate) fn layer_bytes(&self, member: usize) -> usize {
        self.members[member].state.as_ref().map_or(0, |state| state.layer_bytes())
    }

    /// The member stands still; another process of its name starts on a copy of nothing.
    pub(crate) fn freeze(&mut self, member: usize) {
        if let Some(worker) = self.members[member].worker.take() {
            self.members[member].zombie = Some(worker);
            self.members[member].files = Arc::new(MemoryEngine::with_crashes());
        }
    }

    /// Power loss: the log keeps what was synced, members keep what they flushed.
    pub(crate) fn crash_machine(&mut self) {
        self.log.crash();
        for member in 0..self.members.len() {
            if let Some(worker) = self.members[member].worker.take() {
                drop(worker);
            }
            self.members[member].zombie = None;
            self.members[member].files.crash(Crash::Machine);
        }
        self.disk.crash(Crash::Machine);
        self.log = open(&self.disk, &self.clock, &self.faults, self.seed);
    }

    pub(crate) fn close(&mut self, member: usize) {
        if self.members[member].worker.is_none() {
            return;
        }
        for _ in 0..STEPS_MAX {
            self.members[member].worker.as_mut().unwrap().close();
            if self.step(member) == Progress::Stopped {
                return;
            }
            self.pass(1);
            self.tick();
        }
        panic!("seed {}: member {member} does not close", self.seed);
    }

    pub(crate) fn run_until(&mut self, member: usize, reached: impl Fn(&Worker) -> bool) {
        for _ in 0..STEPS_MAX {
            self.step(member);
            if self.members[member].worker.as_ref().is_some_and(&reached) {
                return;
            }
            self.pass(1);
            self.tick();
        }
        panic!("seed {}: member {member} never came there", self.seed);
    }

    /// Runs everybody without faults until all that was appended is counted.
    pub(crate) fn settle(&mut self) {
        let expected = words::expected(&self.appended);
        let settled = self.settle_until(|cluster| cluster.counted() == expected);
        assert!(settled, "seed {}: counted {:?}, expected {expected:?}", self.seed, self.counted());
    }

    /// Runs everybody without faults until `done`, which is asked now and then; false: never.
    pub(crate) fn settle_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        self.faults.end();
        for round in 0..STEPS_MAX {
            for member in 0..self.members.len() {
                self.step(member);
            }
            self.pass(1);
            self.tick();
            if round % 64 == 0 && done(self) {
                return true;
            }
        }
        let doing: Vec<_> = self
            .members
            .iter()
            .filter_map(|member| member.worker.as_ref())
            .map(Worker::status)
            .collect();
        println!("seed {}: never settles: {doing:#?}", self.seed);
        false
    }

    /// How many offsets of a topic lie between start and end.
    pub(crate) fn kept(&self, topic: &str) -> i64 {
        let all: Vec<_> = (0..words::PARTITIONS).map(|n| TopicPartition::new(topic, n)).collect();
        let admin = self.log.admin().unwrap();
        let ends = admin.end_offsets(&all, Isolation::ReadUncommitted).unwrap();
        ends.iter().sum::<i64>() - admin.start_offsets(&all).unwrap().iter().sum::<i64>()
    }

    /// Per word, the committed output in order.
    pub(crate) fn counted(&self) -> BTreeMap<String, Vec<i64>> {
        let mut counts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (word, count) in self.output() {
            counts.entry(word).or_default().push(i64::from_be_bytes(count.try_into().unwrap()));
        }
        counts
    }

    /// The committed output, each partition in order.
    pub(crate) fn output(&self) -> Vec<(String, Vec<u8>)> {
        let mut reader =
            self.log.reader("test", Isolation::ReadCommitted, Visibility::Written).unwrap();
        let all: Vec<(TopicPartition, i64)> = (0..words::PARTITIONS)
            .map(|partition| (TopicPartition::new(self.flow.output, partition), 0))
            .collect();
        reader.assign(&all).unwrap();
        let mut output = Vec::new();
        let mut take = |record: log::record::ConsumedRecord<'_>| {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            output.push((key, record.value.unwrap().to_vec()));
        };
        while reader.poll(Duration::ZERO, 1_000, &mut take).unwrap() > 0 {}
        output
    }
}

fn open(
    disk: &Arc<MemoryEngine>,
    clock: &Arc<AtomicI64>,
    faults: &Arc<Faults>,
    seed: u64,
) -> Arc<EmbeddedLog> {
    let clock = clock.clone();
    let mut options =
        EmbeddedOptions::simulation(Arc::new(move || clock.load(Ordering::SeqCst)), seed);
    options.faults = Some(Arc::new(faults.plan()));
    Arc::new(EmbeddedLog::open(disk.clone(), options).unwrap())
}
