//! A log, the files of one instance, and one worker at a time on both. The clock stands still unless a test moves it.

use std::sync::{Arc, Mutex};

use log::embedded::EmbeddedLog;
use log::{Log, NewRecord};
use operators::Topology;
use operators_runtime::{Worker, WorkerError, WorkerSettings, WorkerStatus, incarnation};
use state_stores::{Crash, MemoryEngine, StateDir, StateOptions};

use crate::clocked_log::{ClockedLog, read_all};
use crate::hazy::Answers;
use crate::interrupted::{Interrupted, Meanwhile};

pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct Machine {
    clocked: ClockedLog,
    pub(crate) files: Arc<MemoryEngine>,
    state: Option<Arc<StateDir>>,
    worker: Option<Worker>,
    pub(crate) accepted: Option<String>,
    /// Happens when the next worker has looked at the manifest and hasn't joined the group.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// What the next worker is told of the manifest's topic.
    pub(crate) answers: Answers,
}

impl Machine {
    /// With these topics, and `dead_letters`.
    pub(crate) fn new(topics: &[&str]) -> Self {
        let clocked = ClockedLog::open(Arc::new(MemoryEngine::new()), 1_700_000_000_000, None);
        clocked.make_topics(topics.iter().chain(&["dead_letters"]).map(|name| (*name, PARTITIONS)));
        Self {
            clocked,
            files: empty(),
            state: None,
            worker: None,
            accepted: None,
            meanwhile: None,
            answers: Answers::default(),
        }
    }

    pub(crate) fn log(&self) -> &EmbeddedLog {
        &self.clocked.log
    }

    pub(crate) fn shared_log(&self) -> Arc<dyn Log> {
        self.clocked.log.clone()
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        self.worker.as_ref().unwrap().status()
    }

    pub(crate) fn pass(&mut self, ms: i64) {
        self.clocked.pass(ms);
        self.settle().unwrap();
    }

    /// Starts the application and lets it do all there is to do.
    pub(crate) fn start(&mut self, topology: &Topology) -> Result<(), WorkerError> {
        let admin = self.clocked.log.admin().unwrap();
        let incarnation = incarnation(admin.as_ref(), topology.application_id(), 1).unwrap();
        let options = StateOptions { incarnation, ..StateOptions::new(self.clocked.log_id()) };
        let state = StateDir::open(self.files.clone(), options).unwrap();
        let settings = WorkerSettings {
            commit_min_interval_ms: 0,
            accepted_changes: self.accepted.iter().cloned().collect(),
            ..WorkerSettings::new("here")
        };
        let meanwhile = Mutex::new(self.meanwhile.take());
        let (log, answers) = (self.clocked.log.clone(), self.answers.clone());
        let log = Arc::new(Interrupted { log, meanwhile, answers });
        let worker = Worker::new(topology.clone(), log, state.clone(), settings, 1);
        (self.state, self.worker) = (Some(state), Some(worker));
        self.settle()
    }

    /// Until the worker has had nothing to do for a while.
    pub(crate) fn settle(&mut self) -> Result<(), WorkerError> {
        self.clocked.settle(self.worker.as_mut().unwrap())
    }

    /// Ends the worker as it should be; all of its state is in its files.
    pub(crate) fn stop(&mut self) {
        self.clocked.close(&mut self.worker.take().unwrap());
        self.log().sync().unwrap();
        self.state.take().unwrap().write_back(self.clocked.now()).unwrap();
    }

    /// kill -9: what the files hadn't on disk is gone.
    pub(crate) fn crash(&mut self) {
        (self.worker, self.state) = (None, None);
        self.files.crash(Crash::Process);
        // The group finds out that the member is dead.
        self.clocked.pass(60_000);
        self.log().tick().unwrap();
    }

    /// Another instance, or the machine after its disk was replaced.
    pub(crate) fn new_disk(&mut self) {
        self.files = empty();
    }

    pub(crate) fn append(&self, topic: &str, key: &str, number: i64, timestamp: i64) {
        let (key, value) = (key.as_bytes(), number.to_be_bytes());
        let record = NewRecord { key: Some(key), value: Some(&value), timestamp, headers: &[] };
        self.clocked.append(topic, None, record);
    }

    /// Everything in a topic, by partition: key, value and timestamp.
    pub(crate) fn read(&self, topic: &str, partitions: u32) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
        let mut seen = Vec::new();
        for partition in 0..partitions {
            read_all(self.clocked.reader(topic, partition).as_mut(), |record| {
                let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                seen.push((bytes(record.key), bytes(record.value), record.timestamp));
            });
        }
        seen
    }
}

fn empty() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::with_crashes())
}
