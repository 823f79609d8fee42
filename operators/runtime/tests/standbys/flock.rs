//! Members that count words, and what each of them holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use log::NewRecord;
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Progress, Worker, WorkerSettings};
use state_stores::{Direction, MemoryEngine, StateDir, StateOptions};

use crate::clocked_log::{ClockedLog, read_all};

pub(crate) const PARTITIONS: u32 = 6;
pub(crate) const CHANGELOG: &str = "words-counts-changelog";
const NOON: i64 = 1_700_000_000_000;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("words");
    let words = builder.stream(&Topic::<str, str>::new("in", Utf8, Utf8));
    let counts = words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    counts.to_stream().to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

pub(crate) struct Bird {
    pub(crate) name: &'static str,
    pub(crate) worker: Worker,
    state: Arc<StateDir>,
}

impl Bird {
    /// Partitions of the tasks it owns.
    pub(crate) fn owns(&self) -> BTreeSet<u32> {
        self.worker.status().tasks.iter().map(|task| partition(&task.id)).collect()
    }

    /// Partitions of its standbys.
    pub(crate) fn keeps(&self) -> BTreeSet<u32> {
        self.worker.status().standbys.iter().map(|standby| partition(&standby.id)).collect()
    }

    /// What its folder holds of a partition.
    pub(crate) fn rows(&self, partition: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        let Some(store) = self.state.committed("counts", partition) else { return rows };
        let mut take = |key: &[u8], value: &[u8]| {
            rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(&[], None, Direction::Forward, &mut take).unwrap();
        rows
    }
}

fn partition(id: &str) -> u32 {
    id.strip_prefix("0_").unwrap().parse().unwrap()
}

pub(crate) struct Flock {
    pub(crate) log: ClockedLog,
    pub(crate) birds: Vec<Bird>,
    replicas: u32,
    /// Of who joins from now on.
    pub(crate) warmup_max_ms: i64,
    said: BTreeMap<String, i64>,
}

impl Flock {
    pub(crate) fn of(names: &[&'static str], replicas: u32) -> Self {
        let log = ClockedLog::with(Arc::new(MemoryEngine::new()), NOON, None, true);
        log.make_topics([("in", PARTITIONS), ("out", PARTITIONS), ("dead_letters", 1)]);
        let (birds, said, warmup_max_ms) = (Vec::new(), BTreeMap::new(), 600_000);
        let mut flock = Self { log, birds, replicas, warmup_max_ms, said };
        names.iter().for_each(|name| flock.join(name));
        flock.settle();
        flock
    }

    /// A member more, with an empty folder.
    pub(crate) fn join(&mut self, name: &'static str) {
        let options = StateOptions::new(self.log.log_id());
        let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
        let settings = WorkerSettings {
            num_standby_replicas: self.replicas,
            standby_interval_ms: 50,
            warmup_max_ms: self.warmup_max_ms,
            acceptable_recovery_lag: 5,
            poll_records_max: 50,
            session_timeout: Duration::from_secs(2),
            ..WorkerSettings::new(name)
        };
        let log = self.log.log.clone();
        let worker = Worker::new(topology(), log, Arc::clone(&state), settings, 1);
        self.birds.push(Bird { name, worker, state });
    }

    pub(crate) fn bird(&mut self, name: &str) -> &mut Bird {
        self.birds.iter_mut().find(|bird| bird.name == name).unwrap()
    }

    /// kill -9: the group and the others find out by the clock.
    pub(crate) fn kill(&mut self, name: &str) {
        self.birds.retain(|bird| bird.name != name);
    }

    pub(crate) fn close(&mut self, name: &str) {
        let place = self.birds.iter().position(|bird| bird.name == name).unwrap();
        self.log.close(&mut self.birds.remove(place).worker);
    }

    /// Each word once.
    pub(crate) fn say(&mut self, words: impl IntoIterator<Item = String>) {
        for word in words {
            let record = NewRecord {
                key: Some(word.as_bytes()),
                value: Some(b"said"),
                timestamp: NOON,
                headers: &[],
            };
            self.log.append("in", None, record);
            *self.said.entry(word).or_default() += 1;
        }
    }

    /// One round of steps; whether all members rest.
    pub(crate) fn round(&mut self) -> bool {
        let now = self.log.now();
        let rests = self.birds.iter_mut().fold(true, |rests, bird| {
            let progress = bird.worker.step(now).unwrap();
            rests && matches!(progress, Progress::IdleUntil(_)) && bird.worker.status().ready
        });
        self.log.pass(1);
        self.log.log.tick().unwrap();
        rests
    }

    /// Until all have rested for longer than anything here takes that goes by the clock.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..60_000 {
            quiet = if self.round() { quiet + 1 } else { 0 };
            if quiet > 300 && self.is_level() {
                return;
            }
        }
        let statuses: Vec<_> = self.birds.iter().map(|bird| bird.worker.status()).collect();
        panic!("they never rest: {statuses:#?}");
    }

    /// For a while, whether or not the copies are level.
    pub(crate) fn rest(&mut self) {
        for _ in 0..500 {
            self.round();
        }
    }

    fn is_level(&self) -> bool {
        let mut standbys = self.birds.iter().flat_map(|bird| bird.worker.status().standbys);
        standbys.all(|standby| standby.lag == Some(0))
    }

    /// Each word was counted 1, 2, …, n.
    pub(crate) fn check_counts(&self) {
        let mut counted: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            read_all(self.log.reader("out", partition).as_mut(), |record| {
                let word = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                counted.entry(word).or_default().push(count);
            });
        }
        let said = self.said.iter().map(|(word, times)| (word.clone(), (1..=*times).collect()));
        assert_eq!(counted, said.collect());
    }
}

/// So many different words.
pub(crate) fn words(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("word-{number}"))
}
