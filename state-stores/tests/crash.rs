//! The crashes that matter most, one by one. The model test meets them by chance, these by intent.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod torn;

use std::sync::Arc;

use state_stores::{
    Crash, StateDir, StateOptions, StoreError, StoreIndex, StoreKind, StoreSpec, TaskState,
    WindowStore, keys,
};
use torn::TornEngine;

const STORE: StoreIndex = StoreIndex(0);

fn open(engine: &Arc<TornEngine>, kind: StoreKind) -> (Arc<StateDir>, TaskState) {
    let dir = StateDir::open(Arc::clone(engine) as _, StateOptions::new("log")).unwrap();
    let spec = StoreSpec { name: "a".into(), changelog_topic: "a-changelog".into(), kind };
    let state = dir.task_state(0, &[spec]).unwrap();
    (dir, state)
}

fn put(state: &mut TaskState, key: &[u8], value: Option<&[u8]>, next_offset: i64) {
    state.put(STORE, key, value);
    state.apply(&[(STORE, next_offset)]);
}

/// A write-back whose rows are written and whose offsets are not.
fn write_rows_only(engine: &TornEngine, dir: &StateDir) {
    engine.fail_after(Some(1), 0);
    assert!(matches!(dir.write_back(1), Err(StoreError::Full { .. })));
    engine.fail_after(None, 0);
}

/// The engine put into files, by itself, all it was given; then the process died.
const ALL_IN_FILES: Crash = Crash::AfterPrefix(usize::MAX);

#[test]
fn between_rows_and_offsets_replay_converges() {
    let engine = Arc::new(TornEngine::default());
    let (dir, mut state) = open(&engine, StoreKind::KeyValue);
    put(&mut state, b"k", Some(b"1"), 1);
    put(&mut state, b"gone", Some(b"1"), 2);
    dir.write_back(0).unwrap();
    put(&mut state, b"k", Some(b"2"), 3);
    put(&mut state, b"gone", None, 4);
    write_rows_only(&engine, &dir);
    drop((state, dir));
    engine.behind.crash(ALL_IN_FILES);

    let (_dir, mut state) = open(&engine, StoreKind::KeyValue);
    assert_eq!(
        state.changelog_position(STORE),
        Some(2),
        "the offsets are still those of the first write-back"
    );
    assert_eq!(state.get(STORE, b"k").unwrap().as_deref(), Some(&b"2"[..]), "the rows are newer");
    state.restore(STORE, [(&b"k"[..], Some(&b"2"[..])), (b"gone", None)], 4);
    assert_eq!(state.get(STORE, b"k").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(state.count(STORE).unwrap(), 1);
}

#[test]
fn rows_of_a_first_write_back_without_offsets_are_not_trusted() {
    let engine = Arc::new(TornEngine::default());
    let (dir, mut state) = open(&engine, StoreKind::KeyValue);
    put(&mut state, b"gone", Some(b"1"), 1);
    write_rows_only(&engine, &dir);
    put(&mut state, b"gone", None, 2);
    drop((state, dir));
    engine.behind.crash(ALL_IN_FILES);

    // From its start, the compacted changelog says nothing of the deleted row.
    let (_dir, mut state) = open(&engine, StoreKind::KeyValue);
    assert_eq!(state.changelog_position(STORE), None);
    state.restore(STORE, [], 2);
    assert_eq!(state.get(STORE, b"gone").unwrap(), None);
    assert_eq!(state.count(STORE).unwrap(), 0);
}

#[test]
fn nothing_expires_below_a_stream_time_that_is_not_flushed() {
    let engine = Arc::new(TornEngine::default());
    let kind = StoreKind::Window { retention_ms: 10, duplicates: false };
    let window = |start| {
        let mut key = Vec::new();
        keys::window(b"k", start, None, &mut key);
        key
    };
    let row = [0; 8];
    let (dir, mut state) = open(&engine, kind);
    put(&mut state, &window(0), Some(&row), 1);
    dir.write_back(0).unwrap();
    put(&mut state, &window(100), Some(&row), 2);
    write_rows_only(&engine, &dir);
    drop((state, dir));
    engine.behind.crash(ALL_IN_FILES);

    // The log of the second row is being read again; until then the first one is alive.
    let (dir, mut state) = open(&engine, kind);
    assert_eq!(state.stream_time(STORE), Some(0));
    let (keys, values) =
        (Arc::new(state_stores::RawBytes) as _, Arc::new(state_stores::RawBytes) as _);
    let mut store: WindowStore<[u8], [u8]> = WindowStore::new(STORE, &keys, &values);
    assert!(store.get(&state, b"k", 0).unwrap().is_some());
    state.restore(STORE, [(&window(100)[..], Some(&row[..]))], 2);
    assert!(store.get(&state, b"k", 0).unwrap().is_none());
    dir.write_back(1).unwrap();
    drop((state, dir));
    let (_dir, state) = open(&engine, kind);
    assert_eq!(state.count(STORE).unwrap(), 1, "dropped once its end was durable");
}

#[test]
fn a_failed_write_back_loses_nothing_and_is_repeated() {
    let engine = Arc::new(TornEngine::default());
    let (dir, mut state) = open(&engine, StoreKind::KeyValue);
    put(&mut state, b"a", Some(b"1"), 1);
    put(&mut state, b"b", Some(b"1"), 2);
    write_rows_only(&engine, &dir);
    put(&mut state, b"a", Some(b"2"), 3);
    dir.write_back(2).unwrap();
    drop((state, dir));
    engine.behind.crash(Crash::Machine);
    let (_dir, state) = open(&engine, StoreKind::KeyValue);
    assert_eq!(state.changelog_position(STORE), Some(3));
    assert_eq!(state.get(STORE, b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(state.get(STORE, b"b").unwrap().as_deref(), Some(&b"1"[..]));
}
