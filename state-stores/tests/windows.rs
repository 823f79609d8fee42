//! Window and session stores against naive lists, over commits, write-backs and reopening; and what is kept on disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use state_stores::keys::Sequence;
use state_stores::{
    Direction, I64Be, MemoryEngine, RawBytes, Serde, Session, SessionStore, StateDir, StateOptions,
    StoreIndex, StoreKind, StoreSpec, TaskState, WindowStore,
};

const RETENTION: i64 = 10;
const WINDOWS: StoreIndex = StoreIndex(0);
const SESSIONS: StoreIndex = StoreIndex(1);
const DUPLICATES: StoreIndex = StoreIndex(2);

fn specs() -> Vec<StoreSpec> {
    let spec = |name: &str, kind| StoreSpec {
        name: name.into(),
        changelog_topic: format!("{name}-log").into(),
        kind,
    };
    vec![
        spec("windows", StoreKind::Window { retention_ms: RETENTION, duplicates: false }),
        spec("sessions", StoreKind::Session { retention_ms: RETENTION }),
        spec("duplicates", StoreKind::Window { retention_ms: RETENTION, duplicates: true }),
    ]
}

fn serdes() -> (Serde<[u8]>, Serde<i64>) {
    (Arc::new(RawBytes), Arc::new(I64Be))
}

fn open(engine: &Arc<MemoryEngine>) -> (Arc<StateDir>, TaskState) {
    let dir = StateDir::open(Arc::clone(engine) as _, StateOptions::new("log")).unwrap();
    let state = dir.task_state(0, &specs()).unwrap();
    (dir, state)
}

fn commit(state: &mut TaskState) {
    let next: Vec<_> = (0..3).map(|store| (StoreIndex(store), 1)).collect();
    state.apply(&next);
}

/// One key begins the other, and both hold bytes of the layout's end mark.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xFF]), 0..3)
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: Vec<u8>, start: i64, length: i64, value: Option<i64> },
    Commit,
    WriteBack,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), -5..40i64, 0..8i64, prop::option::weighted(0.8, any::<i64>()))
            .prop_map(|(key, start, length, value)| Step::Put { key, start, length, value }),
        2 => Just(Step::Commit),
        1 => Just(Step::WriteBack),
        1 => Just(Step::Reopen),
    ]
}

/// Rows by key, visible time and the other bound; and the stream time.
#[derive(Debug, Default, Clone)]
struct Naive {
    rows: BTreeMap<(Vec<u8>, i64, i64), i64>,
    stream_time: Option<i64>,
}

impl Naive {
    fn put(&mut self, key: &[u8], time: i64, other: i64, value: Option<i64>) -> bool {
        let stream_time = self.stream_time.unwrap_or(time).max(time);
        let accepted = time > stream_time - RETENTION;
        if accepted {
            self.stream_time = Some(stream_time);
            let row = (key.to_vec(), time, other);
            match value {
                Some(value) => self.rows.insert(row, value),
                None => self.rows.remove(&row),
            };
        }
        accepted
    }

    fn visible(&self, filter: impl Fn(&[u8], i64, i64) -> bool) -> Vec<(Vec<u8>, i64, i64, i64)> {
        let alive = |time: i64| self.stream_time.is_some_and(|now| time > now - RETENTION);
        let rows = self
            .rows
            .iter()
            .filter(|((key, time, other), _)| alive(*time) && filter(key, *time, *other));
        rows.map(|((key, time, other), value)| (key.clone(), *time, *other, *value)).collect()
    }
}

fn sorted<T>(mut rows: Vec<T>, direction: Direction) -> Vec<T> {
    if direction == Direction::Reverse {
        rows.reverse();
    }
    rows
}

fn check_windows(state: &TaskState, naive: &Naive, key: &[u8]) {
    let (keys, values) = serdes();
    let mut store = WindowStore::new(WINDOWS, &keys, &values);
    for direction in [Direction::Forward, Direction::Reverse] {
        for (from, to) in [(i64::MIN, i64::MAX), (3, 20), (7, 7), (9, 2)] {
            let mut rows = Vec::new();
            let visit = |start, value: &i64, timestamp| {
                rows.push((key.to_vec(), start, timestamp, *value));
                ControlFlow::Continue(())
            };
            store.fetch(state, key, from..=to, direction, visit).unwrap();
            let expected = naive.visible(|k, start, _| k == key && from <= start && start <= to);
            assert_eq!(rows, sorted(expected, direction));
        }
        let mut rows = Vec::new();
        let visit = |key: &[u8], start, value: &i64, timestamp| {
            rows.push((key.to_vec(), start, timestamp, *value));
            ControlFlow::Continue(())
        };
        store.range(state, (Some(key), None), 5..=30, direction, visit).unwrap();
        let expected = naive.visible(|k, start, _| k >= key && (5..=30).contains(&start));
        assert_eq!(rows, sorted(expected, direction));
    }
    for start in -5..40 {
        let expected =
            naive.visible(|k, s, _| k == key && s == start).first().map(|row| (row.3, row.2));
        assert_eq!(store.get(state, key, start).unwrap(), expected);
    }
}

fn check_sessions(state: &TaskState, naive: &Naive, key: &[u8]) {
    let (keys, values) = serdes();
    let mut store = SessionStore::new(SESSIONS, &keys, &values);
    for direction in [Direction::Forward, Direction::Reverse] {
        for (earliest_end, latest_start) in [(i64::MIN, i64::MAX), (5, 25), (10, 10), (20, 10)] {
            let mut rows = Vec::new();
            let visit = |session: Session, value: &i64| {
                rows.push((key.to_vec(), session.end, session.start, *value));
                ControlFlow::Continue(())
            };
            store.find(state, key, earliest_end..=latest_start, direction, visit).unwrap();
            let expected = naive
                .visible(|k, end, start| k == key && end >= earliest_end && start <= latest_start);
            assert_eq!(rows, sorted(expected, direction));
        }
        let mut rows = Vec::new();
        let visit = |key: &[u8], session: Session, value: &i64| {
            rows.push((key.to_vec(), session.end, session.start, *value));
            ControlFlow::Continue(())
        };
        store.range(state, (None, Some(key)), direction, visit).unwrap();
        assert_eq!(rows, sorted(naive.visible(|k, _, _| k < key), direction));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn stores_answer_as_naive_lists(steps in prop::collection::vec(step(), 1..60), probe in key()) {
        let engine = Arc::new(MemoryEngine::new());
        let (mut dir, mut state) = open(&engine);
        let (keys, values) = serdes();
        let mut windows = WindowStore::new(WINDOWS, &keys, &values);
        let mut sessions = SessionStore::new(SESSIONS, &keys, &values);
        let (mut naive_windows, mut naive_sessions) = (Naive::default(), Naive::default());
        for (now, step) in (0i64..).zip(steps) {
            match step {
                Step::Put { key, start, length, value } => {
                    let row = value.as_ref().map(|value| (value, start + length));
                    // The naive list tells a window's rows apart by timestamp too: one per start.
                    naive_windows.rows.retain(|(k, s, _), _| !(*k == key && *s == start));
                    prop_assert_eq!(
                        windows.put(&mut state, &key, start, row).unwrap(),
                        naive_windows.put(&key, start, start + length, value)
                    );
                    let session = Session { start, end: start + length };
                    prop_assert_eq!(
                        sessions.put(&mut state, &key, session, value.as_ref()).unwrap(),
                        naive_sessions.put(&key, session.end, session.start, value)
                    );
                }
                Step::Commit => commit(&mut state),
                Step::WriteBack => dir.write_back(now).unwrap(),
                Step::Reopen => {
                    commit(&mut state);
                    dir.write_back(now).unwrap();
                    drop(state);
                    (dir, state) = open(&engine);
                    // Nothing is kept that can't be seen.
                    prop_assert_eq!(state.count(WINDOWS).unwrap(), naive_windows.visible(|_, _, _| true).len());
                    prop_assert_eq!(state.count(SESSIONS).unwrap(), naive_sessions.visible(|_, _, _| true).len());
                }
            }
            check_windows(&state, &naive_windows, &probe);
            check_sessions(&state, &naive_sessions, &probe);
        }
    }
}

#[test]
fn duplicates_lie_side_by_side_and_replay_onto_themselves() {
    let (_dir, mut state) = open(&Arc::new(MemoryEngine::new()));
    let (keys, values) = serdes();
    let mut store = WindowStore::new(DUPLICATES, &keys, &values);
    let put = |store: &mut WindowStore<[u8], i64>, state: &mut TaskState, offset, value: i64| {
        let sequence = Sequence { source: 1, offset, index: 0 };
        store.put_duplicate(state, b"k", 5, sequence, Some((&value, 5))).unwrap()
    };
    for (offset, value) in [(8, 80), (7, 70), (8, 80)] {
        assert!(put(&mut store, &mut state, offset, value));
    }
    let mut seen = Vec::new();
    let visit = |start, value: &i64, _| {
        seen.push((start, *value));
        ControlFlow::Continue(())
    };
    store.fetch(&state, b"k", 0..=9, Direction::Forward, visit).unwrap();
    assert_eq!(seen, [(5, 70), (5, 80)]);
    let mut keys_seen = Vec::new();
    let visit = |key: &[u8], start, value: &i64, _| {
        keys_seen.push((key.to_vec(), start, *value));
        ControlFlow::Continue(())
    };
    store.range(&state, (None, None), 0..=9, Direction::Reverse, visit).unwrap();
    assert_eq!(keys_seen, [(b"k".to_vec(), 5, 80), (b"k".to_vec(), 5, 70)]);
}

#[test]
fn a_rolled_back_record_does_not_expire_anything() {
    let (_dir, mut state) = open(&Arc::new(MemoryEngine::new()));
    let (keys, values) = serdes();
    let mut store = WindowStore::new(WINDOWS, &keys, &values);
    store.put(&mut state, b"k", 0, Some((&1, 0))).unwrap();
    let before = state.savepoint();
    store.put(&mut state, b"k", 1000, Some((&2, 0))).unwrap();
    assert_eq!(store.get(&state, b"k", 0).unwrap(), None);
    state.rollback_to(before);
    assert_eq!(store.get(&state, b"k", 0).unwrap(), Some((1, 0)));
    assert_eq!(state.stream_time(WINDOWS), Some(0));
    // Nor does an aborted transaction.
    commit(&mut state);
    store.put(&mut state, b"k", 1000, Some((&2, 0))).unwrap();
    state.discard();
    assert_eq!(store.get(&state, b"k", 0).unwrap(), Some((1, 0)));
}

#[test]
fn a_row_that_is_no_value_names_the_store() {
    let (_dir, mut state) = open(&Arc::new(MemoryEngine::new()));
    let (keys, values) = serdes();
    let mut full = Vec::new();
    state_stores::keys::window(b"k", 1, None, &mut full);
    state.put(WINDOWS, &full, Some(b"short"));
    let mut store = WindowStore::new(WINDOWS, &keys, &values);
    let error = store.get(&state, b"k", 1).unwrap_err();
    assert_eq!(error.to_string(), "store `windows`: timestamped: 5 bytes, less than a timestamp");
    assert!(
        store
            .fetch(&state, b"k", 0..=2, Direction::Forward, |_, _, _| ControlFlow::Continue(()))
            .is_err()
    );
}
