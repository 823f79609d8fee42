//! A task's state against a plain map: random transactions, savepoints, write-backs that fail, tasks that move, and
//! crashes at any point, after each of which replaying the changelog's tail must give the map again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod torn;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use state_stores::{
    Crash, Direction, Savepoint, StateDir, StateOptions, StoreError, StoreIndex, StoreKind,
    StoreSpec, TaskState, keys,
};
use torn::TornEngine;

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A changelog record: full store key, and value or tombstone.
type Change = (Vec<u8>, Option<Vec<u8>>);

const RETENTION: i64 = 6;
const STORES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    Put {
        store: usize,
        key: u8,
        time: i64,
        value: Option<u8>,
    },
    Savepoint,
    Rollback,
    Apply,
    Discard,
    /// The engine fails after `writes` batches, with `quarters` of the next one done.
    WriteBack {
        writes: Option<usize>,
        quarters: usize,
        crash: bool,
    },
    SyncFails,
    Reopen,
    Crash {
        prefix: usize,
    },
    Rebuild {
        store: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0..STORES, 0..6u8, -3..12i64, prop::option::weighted(0.7, any::<u8>()));
    prop_oneof![
        12 => put.prop_map(|(store, key, time, value)| Step::Put { store, key, time, value }),
        3 => Just(Step::Savepoint),
        2 => Just(Step::Rollback),
        4 => Just(Step::Apply),
        1 => Just(Step::Discard),
        3 => (prop::option::of(0..4usize), 0..5usize, any::<bool>())
            .prop_map(|(writes, quarters, crash)| Step::WriteBack { writes, quarters, crash }),
        1 => Just(Step::SyncFails),
        1 => Just(Step::Reopen),
        1 => (0..5usize).prop_map(|prefix| Step::Crash { prefix }),
        1 => (0..STORES).prop_map(|store| Step::Rebuild { store }),
    ]
}

fn specs() -> Vec<StoreSpec> {
    let kinds =
        [StoreKind::KeyValue, StoreKind::Window { retention_ms: RETENTION, duplicates: false }];
    let spec = |(index, kind)| StoreSpec {
        name: format!("store-{index}").into(),
        changelog_topic: format!("store-{index}-changelog").into(),
        kind,
    };
    kinds.into_iter().enumerate().map(spec).collect()
}

/// The system under test, and what it should hold.
struct World {
    engine: Arc<TornEngine>,
    dir: Arc<StateDir>,
    state: Option<TaskState>,
    /// All that the log committed, per store; an offset is a place in it.
    changelogs: [Vec<Change>; STORES],
    open: [Map; STORES],
    saved: Option<(Savepoint, [Map; STORES])>,
    now: i64,
}

fn open_dir(engine: &Arc<TornEngine>) -> Arc<StateDir> {
    StateDir::open(Arc::clone(engine) as _, StateOptions::new("log")).unwrap()
}

impl World {
    fn new() -> Self {
        let engine = Arc::new(TornEngine::default());
        let dir = open_dir(&engine);
        let state = Some(dir.task_state(3, &specs()).unwrap());
        let (changelogs, open) = Default::default();
        Self { engine, dir, state, changelogs, open, saved: None, now: 0 }
    }

    fn state(&mut self) -> &mut TaskState {
        self.state.as_mut().unwrap()
    }

    fn step(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Put { store, key, time, value } => self.put(store, key, time, value),
            Step::Savepoint => {
                let savepoint = self.state().savepoint();
                self.saved = Some((savepoint, self.open.clone()));
            }
            Step::Rollback => {
                if let Some((savepoint, open)) = self.saved.take() {
                    self.state().rollback_to(savepoint);
                    self.open = open;
                }
            }
            Step::Apply => self.apply(),
            Step::Discard => {
                self.state().discard();
                self.forget_transaction();
            }
            Step::WriteBack { writes, quarters, crash } => {
                self.engine.fail_after(writes, quarters);
                let result = self.dir.write_back(self.now);
                assert!(result.is_ok() || writes.is_some(), "{result:?}");
                self.engine.fail_after(None, 0);
                if crash {
                    self.crash(usize::MAX);
                }
            }
            Step::SyncFails => {
                let fail = || Err(StoreError::NoWal { place: "test".to_owned() });
                assert!(self.dir.write_back_after(self.now, fail).is_err());
            }
            Step::Reopen => {
                self.state = None;
                self.forget_transaction();
                self.state = Some(self.dir.task_state(3, &specs()).unwrap());
                self.restore();
            }
            Step::Crash { prefix } => self.crash(prefix),
            Step::Rebuild { store } => {
                self.state().rebuild(StoreIndex(store)).unwrap();
                self.forget_transaction();
                assert_eq!(self.state().changelog_position(StoreIndex(store)), None);
                assert_eq!(self.state().count(StoreIndex(store)).unwrap(), 0);
                self.restore();
            }
        }
    }

    fn put(&mut self, store: usize, key: u8, time: i64, value: Option<u8>) {
        // Bytes that matter to the order, one key a prefix of another.
        let key: &[u8] = [&b""[..], b"\0", b"a", b"a\0", b"a\xff", b"\xff\xff"][usize::from(key)];
        let mut full = key.to_vec();
        if store == 1 {
            full.clear();
            keys::window(key, time, None, &mut full);
        }
        let value = value.map(|byte| vec![byte; usize::from(byte % 3)]);
        self.state().put(StoreIndex(store), &full, value.as_deref());
        self.open[store].insert(full, value);
    }

    fn apply(&mut self) {
        let mut dirty: [Map; STORES] = Default::default();
        self.state().dirty(&mut |store, key, value| {
            assert!(
                dirty[store.0].insert(key.to_vec(), value.map(<[u8]>::to_vec)).is_none(),
                "one record a key"
            );
        });
        assert_eq!(dirty, self.open);
        let mut next = Vec::new();
        for (store, rows) in self.open.iter().enumerate() {
            self.changelogs[store].extend(rows.clone());
            next.push((StoreIndex(store), offset(&self.changelogs[store])));
        }
        self.state().apply(&next);
        self.forget_transaction();
    }

    fn forget_transaction(&mut self) {
        self.open = Default::default();
        self.saved = None;
    }

    fn crash(&mut self, prefix: usize) {
        self.state = None;
        self.forget_transaction();
        self.engine.memory.crash(Crash::AfterPrefix(prefix));
        self.dir = open_dir(&self.engine);
        assert_eq!(self.dir.replaced_log(), None);
        self.state = Some(self.dir.task_state(3, &specs()).unwrap());
        self.restore();
    }

    /// As the runtime does: from the state's position to the changelog's end.
    fn restore(&mut self) {
        for store in 0..STORES {
            let index = StoreIndex(store);
            let changelog = &self.changelogs[store];
            let state = self.state.as_mut().unwrap();
            let end = offset(changelog);
            match state.changelog_position(index) {
                Some(position) => {
                    let tail = &changelog[usize::try_from(position).unwrap()..];
                    state.restore(
                        index,
                        tail.iter().map(|(key, value)| (&key[..], value.as_deref())),
                        end,
                    );
                }
                None => {
                    // Read from the start, a compacted changelog has lost its tombstones.
                    let mut rows: Map = changelog.iter().cloned().collect();
                    rows.retain(|_, value| value.is_some() || store == 1);
                    state.restore(
                        index,
                        rows.iter().map(|(key, value)| (&key[..], value.as_deref())),
                        end,
                    );
                }
            }
        }
    }

    fn check(&mut self) {
        for store in 0..STORES {
            let index = StoreIndex(store);
            let mut rows: Map = self.changelogs[store].iter().cloned().collect();
            rows.extend(self.open[store].clone());
            let state = self.state.as_ref().unwrap();
            let kind = state.spec(index).kind;
            let time = rows.keys().filter_map(|key| kind.row_time(key)).max();
            assert_eq!(state.stream_time(index), time);
            let horizon = state.horizon(index);
            let visible =
                |key: &[u8]| horizon.is_none_or(|horizon| kind.row_time(key) > Some(horizon));
            rows.retain(|key, value| value.is_some() && visible(key));
            let expected: Vec<_> =
                rows.into_iter().map(|(key, value)| (key, value.unwrap())).collect();
            for (key, value) in &expected {
                assert_eq!(state.get(index, key).unwrap().as_ref(), Some(value));
            }
            assert_eq!(state.get(index, b"nobody").unwrap(), None);
            for (from, to) in [(&b""[..], None), (b"a", Some(&b"a\xff"[..])), (b"\0", Some(b"a\0"))]
            {
                let within = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
                let mut expected: Vec<_> =
                    expected.iter().filter(|(key, _)| within(key)).cloned().collect();
                assert_eq!(scan(state, index, from, to, Direction::Forward, &visible), expected);
                expected.reverse();
                assert_eq!(scan(state, index, from, to, Direction::Reverse, &visible), expected);
            }
        }
        if self.open.iter().all(BTreeMap::is_empty) {
            assert_eq!(self.state().dirty_bytes(), 0);
        }
    }
}

fn offset(changelog: &[Change]) -> i64 {
    i64::try_from(changelog.len()).unwrap()
}

fn scan(
    state: &TaskState,
    store: StoreIndex,
    from: &[u8],
    to: Option<&[u8]>,
    direction: Direction,
    visible: &dyn Fn(&[u8]) -> bool,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        if visible(key) {
            rows.push((key.to_vec(), value.to_vec()));
        }
        ControlFlow::Continue(())
    };
    state.scan(store, from, to, direction, visit).unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn state_is_what_the_changelog_says(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}
