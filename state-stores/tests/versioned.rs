//! Versioned and list stores against naive maps, over commits, aborts, write-backs, restores and reopening.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use state_stores::{
    Direction, I64Be, ListStore, MemoryEngine, Put, RawBytes, Serde, StateDir, StateOptions,
    StoreIndex, StoreKind, StoreSpec, TaskState, VersionedKeyValueStore,
};

const RETENTION: i64 = 10;
const VERSIONS: StoreIndex = StoreIndex(0);
const LISTS: StoreIndex = StoreIndex(1);

fn specs() -> Vec<StoreSpec> {
    let spec = |name: &str, kind| StoreSpec {
        name: name.into(),
        changelog_topic: format!("{name}-log").into(),
        kind,
    };
    vec![
        spec("versions", StoreKind::Versioned { history_retention_ms: RETENTION }),
        spec("lists", StoreKind::KeyValue),
    ]
}

fn serdes() -> (Serde<[u8]>, Serde<i64>) {
    (Arc::new(RawBytes), Arc::new(I64Be))
}

fn versions() -> VersionedKeyValueStore<[u8], i64> {
    let (keys, values) = serdes();
    VersionedKeyValueStore::new(VERSIONS, &keys, &values)
}

fn lists() -> ListStore<[u8], i64> {
    let (keys, values) = serdes();
    ListStore::new(LISTS, &keys, &values)
}

/// One key begins the other, and both hold bytes of the layout's end mark.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xFF]), 0..3)
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: Vec<u8>, back: i64, value: Option<i64> },
    Commit,
    Abort,
    RolledBack { key: Vec<u8>, ahead: i64 },
    WriteBack,
    Reopen,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (key(), -4..14i64, prop::option::weighted(0.7, any::<i64>()))
            .prop_map(|(key, back, value)| Step::Put { key, back, value }),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => (key(), 0..30i64).prop_map(|(key, ahead)| Step::RolledBack { key, ahead }),
        1 => Just(Step::WriteBack),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restore),
    ]
}

/// All versions ever, and the stream time.
#[derive(Debug, Default, Clone)]
struct Naive {
    versions: BTreeMap<Vec<u8>, BTreeMap<i64, Option<i64>>>,
    lists: BTreeMap<Vec<u8>, Vec<i64>>,
    time: Option<i64>,
}

impl Naive {
    fn put(&mut self, key: &[u8], timestamp: i64, value: Option<i64>) -> Put {
        if self.time.is_some_and(|time| timestamp < time - RETENTION) {
            return Put::Refused;
        }
        self.time = self.time.max(Some(timestamp));
        let versions = self.versions.entry(key.to_vec()).or_default();
        versions.insert(timestamp, value);
        versions.range(timestamp + 1..).next().map_or(Put::Latest, |(next, _)| Put::Until(*next))
    }

    fn list(&mut self, key: &[u8], value: Option<i64>) {
        match value {
            Some(value) => self.lists.entry(key.to_vec()).or_default().push(value),
            None => drop(self.lists.remove(key)),
        }
    }

    fn latest(&self, key: &[u8]) -> Option<(i64, i64)> {
        let (since, value) = self.versions.get(key)?.last_key_value()?;
        Some(((*value)?, *since))
    }

    fn as_of(&self, key: &[u8], time: i64) -> Option<(i64, i64)> {
        if time < self.time? - RETENTION {
            return self.latest(key).filter(|(_, since)| *since <= time);
        }
        let (since, value) = self.versions.get(key)?.range(..=time).next_back()?;
        Some(((*value)?, *since))
    }
}

/// Store, key, row.
type Changes = [BTreeMap<Vec<u8>, Option<Vec<u8>>>; 2];

struct World {
    engine: Arc<MemoryEngine>,
    dir: Arc<StateDir>,
    state: TaskState,
    changelogs: Changes,
    naive: Naive,
    committed: Naive,
}

impl World {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let dir = StateDir::open(Arc::clone(&engine) as _, StateOptions::new("log")).unwrap();
        let state = dir.task_state(0, &specs()).unwrap();
        let (changelogs, naive) = (Default::default(), Naive::default());
        Self { engine, dir, state, changelogs, committed: naive.clone(), naive }
    }

    fn commit(&mut self) {
        self.state.dirty(&mut |store, key, value| {
            self.changelogs[store.0].insert(key.to_vec(), value.map(<[u8]>::to_vec));
        });
        self.state.apply(&[(VERSIONS, 1), (LISTS, 1)]);
        self.committed = self.naive.clone();
    }

    fn open(&mut self, engine: Arc<MemoryEngine>) {
        self.engine = engine;
        self.dir = StateDir::open(Arc::clone(&self.engine) as _, StateOptions::new("log")).unwrap();
        self.state = self.dir.task_state(0, &specs()).unwrap();
    }

    fn step(&mut self, now: i64, step: Step) {
        match step {
            Step::Put { key, back, value } => {
                let timestamp = self.naive.time.unwrap_or(20) - back;
                let expected = self.naive.put(&key, timestamp, value);
                let put = versions().put(&mut self.state, &key, timestamp, value.as_ref());
                assert_eq!(put.unwrap(), expected);
                self.naive.list(&key, value);
                match &value {
                    Some(value) => lists().append(&mut self.state, &key, value).unwrap(),
                    None => drop(lists().delete(&mut self.state, &key).unwrap()),
                }
            }
            Step::Commit => self.commit(),
            Step::Abort => {
                self.state.discard();
                self.naive = self.committed.clone();
            }
            Step::RolledBack { key, ahead } => {
                let before = self.state.savepoint();
                let timestamp = self.naive.time.unwrap_or(20) + ahead;
                versions().put(&mut self.state, &key, timestamp, Some(&1)).unwrap();
                versions().put(&mut self.state, &key, timestamp, None).unwrap();
                self.state.rollback_to(before);
            }
            Step::WriteBack => self.dir.write_back(now).unwrap(),
            Step::Reopen => {
                self.commit();
                self.dir.write_back(now).unwrap();
                self.open(Arc::clone(&self.engine));
            }
            Step::Restore => {
                self.commit();
                self.open(Arc::new(MemoryEngine::new()));
                for (store, rows) in self.changelogs.iter().enumerate() {
                    // Compacted: the deletions are gone.
                    let rows = rows
                        .iter()
                        .filter_map(|(key, row)| Some((&key[..], Some(row.as_deref()?))));
                    self.state.restore(StoreIndex(store), rows, 1);
                }
            }
        }
    }

    fn check(&self, key: &[u8]) {
        let now = self.naive.time.unwrap_or(20);
        assert_eq!(self.state.stream_time(VERSIONS), self.naive.time);
        assert_eq!(versions().get(&self.state, key).unwrap(), self.naive.latest(key));
        for time in (now - 2 * RETENTION..now + 3).chain([i64::MIN, i64::MAX]) {
            let found = versions().get_as_of(&self.state, key, time).unwrap();
            assert_eq!(found, self.naive.as_of(key, time), "as of {time}");
        }
        let (mut list, expected) = (Vec::new(), self.naive.lists.get(key));
        lists().get(&self.state, key, |value| list.push(*value)).unwrap();
        assert_eq!(list, expected.cloned().unwrap_or_default());
        let mut all = Vec::new();
        let visit = |key: &[u8], value: &i64| {
            all.push((key.to_vec(), *value));
            ControlFlow::Continue(())
        };
        lists().range(&self.state, (Some(key), None), Direction::Forward, visit).unwrap();
        let after = self.naive.lists.range(key.to_vec()..);
        let expected: Vec<_> =
            after.flat_map(|(key, list)| list.iter().map(|value| (key.clone(), *value))).collect();
        assert_eq!(all, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn stores_answer_as_naive_maps(steps in prop::collection::vec(step(), 1..60), probe in key()) {
        let mut world = World::new();
        for (now, step) in (0i64..).zip(steps) {
            let touched = match &step {
                Step::Put { key, .. } | Step::RolledBack { key, .. } => key.clone(),
                _ => probe.clone(),
            };
            world.step(now, step);
            world.check(&probe);
            world.check(&touched);
        }
    }
}

#[test]
fn only_the_newest_of_each_key_outlives_the_history() {
    let mut world = World::new();
    for time in 0..8 {
        versions().put(&mut world.state, b"idle", time, Some(&time)).unwrap();
        versions().put(&mut world.state, b"gone", time, Some(&time)).unwrap();
    }
    versions().put(&mut world.state, b"gone", 8, None).unwrap();
    versions().put(&mut world.state, b"busy", 1000, Some(&1)).unwrap();
    world.step(0, Step::Reopen);
    assert_eq!(world.state.count(VERSIONS).unwrap(), 2, "history and deletions were swept");
    assert_eq!(versions().get(&world.state, b"idle").unwrap(), Some((7, 7)));
    assert_eq!(versions().get(&world.state, b"gone").unwrap(), None);
    // A key that goes on takes its expired history from the changelog too.
    for time in 1001..1100 {
        versions().put(&mut world.state, b"busy", time, Some(&time)).unwrap();
        world.commit();
    }
    let kept = world.changelogs[0].values().filter(|row| row.is_some());
    assert!(kept.count() <= 2 + 2 * 8 + RETENTION as usize + 1);
}

#[test]
fn a_damaged_row_names_the_store() {
    let mut world = World::new();
    versions().put(&mut world.state, b"k", 5, Some(&1)).unwrap();
    versions().put(&mut world.state, b"k", 9, Some(&2)).unwrap();
    let mut history = None;
    let visit = &mut |key: &[u8], _: &[u8]| {
        history = Some(key.to_vec());
        ControlFlow::Continue(())
    };
    world.state.scan(VERSIONS, &[1], None, Direction::Forward, visit).unwrap();
    world.state.put(VERSIONS, &history.unwrap(), Some(b"12345678x"));
    let error = versions().get_as_of(&world.state, b"k", 7).unwrap_err();
    assert_eq!(error.to_string(), "store `versions`: versioned: neither a value nor a deletion");
    world.state.put(LISTS, b"k", Some(&[0, 0, 0, 9, 1]));
    let error = lists().get(&world.state, b"k", |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "store `lists`: list: a value is cut off");
}
