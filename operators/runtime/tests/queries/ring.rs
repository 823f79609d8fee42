//! Members of one application on one log, and the way queries go between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use log::NewRecord;
use operators_runtime::{
    Answer, Member, PeerError, Peers, Progress, Queries, QueryError, StoreQuery, Worker,
    WorkerSettings, render_plain,
};
use state_stores::partition::partition_for_key;
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::clocked_log::ClockedLog;
use crate::{NOON, topology};

pub(crate) const PARTITIONS: u32 = 4;

/// Queries by address, and which were passed on.
#[derive(Default)]
pub(crate) struct Wires {
    doors: Mutex<BTreeMap<String, Arc<Queries>>>,
    pub(crate) passed_on: Mutex<Vec<StoreQuery>>,
}

impl Wires {
    /// Who is asked there from now on.
    pub(crate) fn lead(&self, address: &str, to: &Arc<Queries>) {
        self.doors.lock().unwrap().insert(address.to_owned(), Arc::clone(to));
    }

    pub(crate) fn cut(&self, address: &str) {
        self.doors.lock().unwrap().remove(address);
    }
}

struct InProcess(Arc<Wires>);

impl Peers for InProcess {
    fn ask(&self, member: &Member, store: &str, query: &StoreQuery) -> Result<Answer, PeerError> {
        assert_eq!(member.application, "words");
        self.0.passed_on.lock().unwrap().push(query.clone());
        let door = self.0.doors.lock().unwrap().get(&member.address).cloned();
        let door = door.ok_or_else(|| PeerError::Silent("connection refused".to_owned()))?;
        door.ask(store, query).map_err(PeerError::Said)
    }
}

pub(crate) struct Ring {
    pub(crate) log: ClockedLog,
    pub(crate) wires: Arc<Wires>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) queries: Vec<Arc<Queries>>,
    replicas: u32,
    steps: u32,
}

impl Ring {
    /// A log and a member of each of these names, settled.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self::with_standbys(names, 0)
    }

    /// Each task with so many standbys, where there are members for them.
    pub(crate) fn with_standbys(names: &[&str], replicas: u32) -> Self {
        let log = ClockedLog::with(Arc::new(MemoryEngine::new()), NOON, None, replicas > 0);
        log.make_topics([("words", PARTITIONS), ("dead_letters", 1)]);
        let (workers, queries) = (Vec::new(), Vec::new());
        let mut ring = Self { log, wires: Arc::default(), workers, queries, replicas, steps: 0 };
        for name in names {
            ring.join(name);
        }
        ring
    }

    /// A member more, with an empty state folder.
    pub(crate) fn join(&mut self, name: &str) {
        self.join_unsettled(name);
        self.settle();
    }

    pub(crate) fn join_unsettled(&mut self, name: &str) {
        self.join_at(name, format!("{name}:9100"));
    }

    /// A member more that tells this address.
    pub(crate) fn join_at(&mut self, name: &str, address: String) {
        let options = StateOptions::new(self.log.log_id());
        let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
        let advertised = Some(address);
        let settings = WorkerSettings {
            advertised: advertised.clone(),
            num_standby_replicas: self.replicas,
            standby_interval_ms: 20,
            ..WorkerSettings::new(name)
        };
        let worker = Worker::new(topology(), self.log.log.clone(), state, settings, 1);
        let peers = Arc::new(InProcess(Arc::clone(&self.wires)));
        let queries = Arc::new(worker.queries(peers, Arc::new(render_plain)));
        self.wires.doors.lock().unwrap().extend(advertised.map(|at| (at, Arc::clone(&queries))));
        self.workers.push(worker);
        self.queries.push(queries);
    }

    /// Steps the first member, a millisecond.
    pub(crate) fn step(&mut self) {
        self.step_one(0);
    }

    /// Steps one member, a millisecond.
    pub(crate) fn step_one(&mut self, member: usize) {
        self.steps += 1;
        assert!(self.steps < 100_000, "never: {:?}", self.workers[member].status());
        self.workers[member].step(self.log.now()).unwrap();
        self.log.pass(1);
        self.log.log.tick().unwrap();
    }

    /// Steps all members, a millisecond each round, until each has its tasks and nothing to do.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..20_000 {
            let now = self.log.now();
            let idle = self.workers.iter_mut().fold(true, |idle, worker| {
                let progress = worker.step(now).unwrap();
                idle && matches!(progress, Progress::IdleUntil(_)) && worker.status().ready
            });
            self.log.pass(1);
            self.log.log.tick().unwrap();
            quiet = if idle { quiet + 1 } else { 0 };
            if quiet == 200 {
                return;
            }
        }
        let statuses: Vec<_> = self.workers.iter().map(Worker::status).collect();
        panic!("the members never rest: {statuses:?}");
    }

    /// Appends words, each at this time.
    pub(crate) fn append(&self, timestamp: i64, words: &[&str]) {
        for word in words {
            let (key, value) = (Some(word.as_bytes()), Some(&b"said"[..]));
            let record = NewRecord { key, value, timestamp, headers: &[] };
            self.log.append("words", None, record);
        }
    }

    /// Which member owns the partition of the word.
    pub(crate) fn owner_of(&self, word: &str) -> usize {
        let id = format!("0_{}", partition_of(word));
        let owns = |worker: &Worker| worker.status().tasks.iter().any(|task| task.id == id);
        self.workers.iter().position(owns).unwrap()
    }

    /// Asks a member for the count of a word.
    pub(crate) fn count(&self, member: usize, word: &str) -> Result<Option<i64>, QueryError> {
        let answer = self.queries[member].ask("counts", &of_key(word))?;
        assert!(answer.rows.len() <= 1 && !answer.more);
        Ok(answer.rows.first().map(|row| row.value.as_i64().unwrap()))
    }
}

pub(crate) fn of_key(key: &str) -> StoreQuery {
    StoreQuery { key: Some(key.to_owned()), ..StoreQuery::default() }
}

pub(crate) fn partition_of(word: &str) -> u32 {
    partition_for_key(word.as_bytes(), PARTITIONS)
}
