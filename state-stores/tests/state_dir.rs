//! The state folder: who may open what, when it writes, and what it refuses or rebuilds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{
    ChangelogRange, Crash, Direction, Durability, Engine, MemoryEngine, Rebuild, StateDir,
    StateOptions, StoreError, StoreIndex, StoreKind, StoreSpec, TaskState, WriteBatch,
};

const STORE: StoreIndex = StoreIndex(0);

fn spec(name: &str) -> StoreSpec {
    StoreSpec {
        name: name.into(),
        changelog_topic: format!("{name}-changelog").into(),
        kind: StoreKind::KeyValue,
    }
}

fn options() -> StateOptions {
    StateOptions { layer_bytes: 10_000, max_layer_age_ms: 60, ..StateOptions::new("log-1") }
}

fn open(engine: &Arc<MemoryEngine>) -> Arc<StateDir> {
    StateDir::open(Arc::clone(engine) as _, options()).unwrap()
}

fn put(state: &mut TaskState, key: &[u8], value: &[u8], next_offset: i64) {
    state.put(STORE, key, Some(value));
    state.apply(&[(STORE, next_offset)]);
}

#[test]
fn a_store_has_one_owner_at_a_time() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"k", b"v", 7);
    let error = dir.task_state(0, &[spec("b"), spec("a")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "store `a` of partition 0 is open already; drop its `TaskState` first"
    );
    // The refused task took nothing with it, and other partitions are free.
    assert!(dir.task_state(0, &[spec("b")]).is_ok() && dir.task_state(1, &[spec("a")]).is_ok());
    drop(state);
    let state = dir.task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.get(STORE, b"k").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(state.store("a"), Some(STORE));
    assert_eq!(state.store("other"), None);
}

#[test]
fn contradicting_specs_are_refused() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let error = dir.task_state(0, &[spec("a"), spec("a")]).unwrap_err();
    assert_eq!(error.to_string(), "store `a`: named twice in one task");
    drop(dir.task_state(0, &[spec("a")]).unwrap());
    let other = StoreSpec { kind: StoreKind::Session { retention_ms: 1 }, ..spec("a") };
    assert!(matches!(dir.task_state(0, &[other]), Err(StoreError::Spec { .. })));
}

#[test]
fn stores_and_partitions_are_apart() {
    let engine = Arc::new(MemoryEngine::new());
    for _ in 0..2 {
        let dir = open(&engine);
        for partition in [0, 1, u32::MAX] {
            let mut state = dir.task_state(partition, &[spec("a"), spec("b")]).unwrap();
            for (index, name) in [(0, b"a"), (1, b"b")] {
                state.put(StoreIndex(index), b"name", Some(name));
                state.put(StoreIndex(index), b"\xff\xff", Some(&partition.to_be_bytes()));
            }
            state.apply(&[(StoreIndex(0), 1), (StoreIndex(1), 1)]);
            dir.write_back(0).unwrap();
        }
        let dir = open(&engine);
        for partition in [0, 1, u32::MAX] {
            let state = dir.task_state(partition, &[spec("b"), spec("a")]).unwrap();
            assert_eq!(state.get(StoreIndex(0), b"name").unwrap().as_deref(), Some(&b"b"[..]));
            assert_eq!(state.get(StoreIndex(1), b"name").unwrap().as_deref(), Some(&b"a"[..]));
            let last = state.get(StoreIndex(1), b"\xff\xff").unwrap();
            assert_eq!(last.as_deref(), Some(&partition.to_be_bytes()[..]));
            assert_eq!(state.count(StoreIndex(0)).unwrap(), 2);
        }
    }
}

#[test]
fn write_back_is_due_when_full_or_old() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    assert!(!dir.write_back_due(0));
    put(&mut state, b"k", b"v", 1);
    assert!(!dir.write_back_due(59));
    assert!(dir.write_back_due(60), "old");
    dir.write_back(60).unwrap();
    assert!(!dir.write_back_due(60));
    put(&mut state, b"k", &[0; 6_000], 2);
    assert!(dir.write_back_due(61), "full");
    dir.write_back(61).unwrap();
    assert!(!dir.write_back_due(61 + 599) && dir.write_back_due(61 + 600), "quiet");
    assert!(dir.layer_bytes() > 6_000, "what was written is kept for reading");
    dir.write_back(1_000).unwrap();
    assert_eq!(dir.layer_bytes(), 0);
}

#[test]
fn the_layer_is_taken_aside_before_the_log_is_synced() {
    let engine = Arc::new(MemoryEngine::with_crashes());
    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"before", b"", 1);
    // While the log is being synced, another transaction commits; the log does not hold it durably yet.
    let sync = || {
        put(&mut state, b"meanwhile", b"", 2);
        Ok::<_, StoreError>(())
    };
    dir.write_back_after(0, sync).unwrap();
    assert_eq!(state.count(STORE).unwrap(), 2);
    drop((state, dir));
    engine.crash(Crash::Machine);
    let state = open(&engine).task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.changelog_position(STORE), Some(1));
    assert_eq!(state.get(STORE, b"before").unwrap(), Some(vec![]));
    assert_eq!(state.get(STORE, b"meanwhile").unwrap(), None);
}

#[test]
fn nothing_reaches_the_base_before_the_log_is_synced() {
    let engine = Arc::new(MemoryEngine::with_crashes());
    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"k", b"old", 1);
    let base = contents(&engine);
    let sync = || {
        assert_eq!(contents(&engine), base, "before the log is synced");
        Ok::<_, StoreError>(())
    };
    dir.write_back_after(0, sync).unwrap();
    let base = contents(&engine);
    put(&mut state, b"k", b"new", 2);
    let fails = || Err(StoreError::NoWal { place: "test".to_owned() });
    dir.write_back_after(1, fails).expect_err("the log could not be synced");
    assert_eq!(contents(&engine), base, "after the sync failed");
    drop((state, dir));
    engine.crash(Crash::Process);
    let state = open(&engine).task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.changelog_position(STORE), Some(1));
    assert_eq!(state.get(STORE, b"k").unwrap().as_deref(), Some(&b"old"[..]));
}

fn contents(engine: &MemoryEngine) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    engine.scan(&[], None, Direction::Forward, &mut visit).unwrap();
    rows
}

#[test]
fn state_of_another_log_is_removed_and_reported() {
    let engine = Arc::new(MemoryEngine::new());
    let dir = open(&engine);
    assert_eq!(dir.replaced_log(), None);
    put(&mut dir.task_state(0, &[spec("a")]).unwrap(), b"k", b"v", 9);
    dir.write_back(0).unwrap();
    let other = StateDir::open(Arc::clone(&engine) as _, StateOptions::new("log-2")).unwrap();
    assert_eq!(other.replaced_log(), Some("log-1"));
    let state = other.task_state(0, &[spec("a")]).unwrap();
    assert_eq!((state.changelog_position(STORE), state.count(STORE).unwrap()), (None, 0));
}

#[test]
fn state_from_before_a_reset_is_removed_and_a_first_word_of_it_is_believed() {
    let engine = Arc::new(MemoryEngine::new());
    let open = |incarnation: Option<&str>| {
        let incarnation = incarnation.map(str::to_owned);
        let options = StateOptions { incarnation, ..StateOptions::new("log-1") };
        StateDir::open(Arc::clone(&engine) as _, options).unwrap()
    };
    let position =
        |dir: Arc<StateDir>| dir.task_state(0, &[spec("a")]).unwrap().changelog_position(STORE);
    let dir = open(None);
    put(&mut dir.task_state(0, &[spec("a")]).unwrap(), b"k", b"v", 9);
    dir.write_back(0).unwrap();
    for life in [Some("first"), None, Some("first")] {
        assert_eq!(position(open(life)), Some(9), "{life:?}");
    }
    let reset = open(Some("second"));
    assert_eq!((reset.replaced_log(), reset.manifest().unwrap()), (None, None));
    assert_eq!(position(reset), None);
}

#[test]
fn the_base_tells_how_much_of_each_store_it_holds() {
    let engine = Arc::new(MemoryEngine::new());
    let dir = open(&engine);
    put(&mut dir.task_state(0, &[spec("a")]).unwrap(), b"k", b"v", 9);
    assert_eq!(dir.extents()[0].extent.rows, Some(0), "it is in memory yet");
    dir.write_back(0).unwrap();
    let [extent] = dir.extents().try_into().unwrap();
    assert_eq!((&*extent.store, extent.partition, extent.extent.rows), ("a", 0, Some(1)));
    assert!(extent.extent.bytes > 0);
}

#[test]
fn a_manifest_outlives_a_crash_but_not_its_log() {
    let engine = Arc::new(MemoryEngine::with_crashes());
    let dir = open(&engine);
    assert_eq!(dir.manifest().unwrap(), None);
    dir.keep_manifest(b"first").unwrap();
    dir.keep_manifest(b"second").unwrap();
    drop(dir);
    engine.crash(Crash::Machine);
    assert_eq!(open(&engine).manifest().unwrap().as_deref(), Some(&b"second"[..]));
    let other = StateDir::open(Arc::clone(&engine) as _, StateOptions::new("log-2")).unwrap();
    assert_eq!(other.manifest().unwrap(), None);
}

#[test]
fn state_of_another_changelog_is_removed() {
    let engine = Arc::new(MemoryEngine::new());
    let dir = open(&engine);
    put(&mut dir.task_state(0, &[spec("a")]).unwrap(), b"k", b"v", 9);
    dir.write_back(0).unwrap();
    let renamed = StoreSpec { changelog_topic: "other".into(), ..spec("a") };
    let state = open(&engine).task_state(0, &[renamed]).unwrap();
    assert_eq!((state.changelog_position(STORE), state.count(STORE).unwrap()), (None, 0));
}

#[test]
fn an_unknown_format_is_refused_with_the_remedy() {
    let engine = Arc::new(MemoryEngine::new());
    drop(open(&engine));
    let mut batch = WriteBatch::new();
    batch.put(b"\0format", &9u32.to_be_bytes());
    engine.write(&batch, Durability::None).unwrap();
    let error = StateDir::open(engine, options()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 9, expected: 2 }));
    assert!(error.to_string().contains("remove the state folder"));
}

#[test]
fn a_base_of_the_first_format_goes_on_without_its_rows_of_times() {
    let engine = Arc::new(MemoryEngine::new());
    let dir = open(&engine);
    put(&mut dir.task_state(0, &[spec("a")]).unwrap(), b"k", b"v", 9);
    dir.write_back(0).unwrap();
    drop(dir);
    let rows = engine.len();
    let mut batch = WriteBatch::new();
    batch.put(b"\0format", &1u32.to_be_bytes());
    batch.put(b"\x03 the time of a row", b"");
    engine.write(&batch, Durability::None).unwrap();
    for _ in 0..2 {
        let state = open(&engine).task_state(0, &[spec("a")]).unwrap();
        assert_eq!((state.changelog_position(STORE), state.count(STORE).unwrap()), (Some(9), 1));
        assert_eq!(engine.len(), rows);
        assert_eq!(engine.get(b"\0format").unwrap().unwrap(), 2u32.to_be_bytes());
    }
}

#[test]
fn age_counts_from_when_the_state_was_last_known_to_be_right() {
    let engine = Arc::new(MemoryEngine::new());
    let behind = ChangelogRange { id: None, start: 0, end: 9, delete_retention_ms: Some(1_000) };
    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.needs_rebuild(STORE, &behind, 9_999), None, "nothing is kept yet");
    put(&mut state, b"k", b"v", 5);
    dir.write_back(100).unwrap();
    // Owned and quiet: still the changelog's at the next write-back.
    dir.write_back(2_000).unwrap();
    let (dir, state) = {
        drop((state, dir));
        let dir = open(&engine);
        let state = dir.task_state(0, &[spec("a")]).unwrap();
        (dir, state)
    };
    assert_eq!(state.needs_rebuild(STORE, &behind, 2_500), None);
    // Opened, but not yet restored: a write-back by other tasks must not make it look younger.
    dir.write_back(2_600).unwrap();
    let too_old = Some(Rebuild::TooOld { age_ms: 700, limit_ms: 500 });
    assert_eq!(state.needs_rebuild(STORE, &behind, 2_700), too_old);
    drop(state);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.needs_rebuild(STORE, &behind, 2_700), too_old);
    // Restored, then away until 9,000.
    state.restore(STORE, [], 9);
    assert!(!dir.write_back_due(2_700));
    drop(state);
    dir.write_back(9_000).unwrap();
    let state = dir.task_state(0, &[spec("a")]).unwrap();
    let ahead = ChangelogRange { end: 12, ..behind };
    assert_eq!(
        state.needs_rebuild(STORE, &ahead, 9_000),
        Some(Rebuild::TooOld { age_ms: 6_300, limit_ms: 500 })
    );
    let lost = ChangelogRange { end: 8, ..behind };
    assert_eq!(
        state.needs_rebuild(STORE, &lost, 0),
        Some(Rebuild::BeyondEnd { position: 9, end: 8 })
    );
}

#[test]
fn queries_see_committed_rows_only() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    assert!(dir.committed("a", 0).is_none());
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"k", b"1", 1);
    state.put(STORE, b"k", Some(b"2"));
    state.put(STORE, b"l", Some(b"2"));
    let query = dir.committed("a", 0).unwrap();
    let seen = std::thread::scope(|scope| {
        let query = query.clone();
        let read = move || query.get_with(b"k", |value| value.map(<[u8]>::to_vec)).unwrap();
        scope.spawn(read).join().unwrap()
    });
    assert_eq!(seen.as_deref(), Some(&b"1"[..]));
    let mut rows = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        rows += 1;
        ControlFlow::Continue(())
    };
    query.scan(b"", None, Direction::Forward, visit).unwrap();
    assert_eq!(rows, 1);
    assert!(query.is_owned() && query.changelog_position() == Some(1));
    drop(state);
    assert!(!query.is_owned());
}

#[test]
#[should_panic(expected = "a savepoint that has ended")]
fn a_savepoint_ends_with_the_transaction() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    let savepoint = state.savepoint();
    put(&mut state, b"k", b"v", 1);
    state.rollback_to(savepoint);
}

#[cfg(feature = "rocksdb")]
#[test]
fn state_on_files_is_there_after_reopening() {
    use state_stores::{RocksEngine, RocksOptions};

    let folder = tempfile::tempdir().unwrap();
    let open = || {
        StateDir::open(
            Arc::new(RocksEngine::open(folder.path(), RocksOptions::default()).unwrap()),
            options(),
        )
    };
    let dir = open().unwrap();
    let mut state = dir.task_state(2, &[spec("a")]).unwrap();
    for row in 0..1_000u32 {
        state.put(STORE, &row.to_be_bytes(), Some(b"first"));
    }
    state.apply(&[(STORE, 1_000)]);
    dir.write_back(0).unwrap();
    for row in 0..1_000u32 {
        state.put(STORE, &row.to_be_bytes(), (row % 2 == 0).then_some(&b"second"[..]));
    }
    state.apply(&[(STORE, 2_000)]);
    dir.write_back(1).unwrap();
    assert_eq!(state.count(STORE).unwrap(), 500);
    drop((state, dir));
    let mut state = open().unwrap().task_state(2, &[spec("a")]).unwrap();
    assert_eq!(state.changelog_position(STORE), Some(2_000));
    assert_eq!(state.count(STORE).unwrap(), 500);
    assert_eq!(state.get(STORE, &8u32.to_be_bytes()).unwrap().as_deref(), Some(&b"second"[..]));
    state.rebuild(STORE).unwrap();
    assert_eq!((state.changelog_position(STORE), state.count(STORE).unwrap()), (None, 0));
}

#[test]
fn state_that_is_only_being_restored_grows_old_from_its_first_write_back_on() {
    let engine = Arc::new(MemoryEngine::new());
    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    state.restore(STORE, [(&b"k"[..], Some(&b"v"[..]))], 1);
    dir.write_back(1_000).unwrap();
    state.restore(STORE, [(&b"l"[..], Some(&b"v"[..]))], 2);
    dir.write_back(1_600).unwrap();
    drop((state, dir));
    let state = open(&engine).task_state(0, &[spec("a")]).unwrap();
    let range = ChangelogRange { id: None, start: 0, end: 9, delete_retention_ms: Some(1_000) };
    let too_old = Some(Rebuild::TooOld { age_ms: 700, limit_ms: 500 });
    assert_eq!(state.needs_rebuild(STORE, &range, 1_700), too_old);
}

#[test]
fn state_of_a_changelog_that_was_made_anew_is_recognised() {
    let engine = Arc::new(MemoryEngine::new());
    let range = |id| ChangelogRange { id, start: 0, end: 9, delete_retention_ms: None };
    let why = |state: &TaskState, id| state.needs_rebuild(STORE, &range(id), 0);
    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"k", b"v", 1);
    dir.write_back(0).unwrap();
    drop((state, dir));

    let dir = open(&engine);
    let state = dir.task_state(0, &[spec("a")]).unwrap();
    assert_eq!(why(&state, Some("first")), None, "from before ids were kept");
    state.set_changelog_id(STORE, "first");
    assert_eq!(why(&state, Some("second")), Some(Rebuild::Recreated));
    drop(state);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    put(&mut state, b"k", b"w", 2);
    dir.write_back(0).unwrap();
    drop((state, dir));

    let dir = open(&engine);
    let mut state = dir.task_state(0, &[spec("a")]).unwrap();
    assert_eq!(state.changelog_position(STORE), Some(2), "the name is the same");
    assert_eq!([Some("first"), None].map(|id| why(&state, id)), [None, None]);
    assert_eq!(why(&state, Some("second")), Some(Rebuild::Recreated));
    state.rebuild(STORE).unwrap();
    assert_eq!(why(&state, Some("second")), None);
}

#[test]
fn what_nobody_has_had_for_long_is_removed() {
    let engine = Arc::new(MemoryEngine::with_crashes());
    let options = || StateOptions { left_over_ms: 10_000_000, ..options() };
    let dir = StateDir::open(Arc::clone(&engine) as _, options()).unwrap();
    let own = |dir: &StateDir, partition, name: &str| {
        let mut state = dir.task_state(partition, &[spec(name)]).unwrap();
        match state.changelog_position(STORE) {
            Some(position) => state.restore(STORE, [], position),
            None => put(&mut state, b"k", b"v", 1),
        }
        state
    };
    let held = |dir: &StateDir, partition, name: &str| {
        let state = dir.task_state(partition, &[spec(name)]).unwrap();
        (state.changelog_position(STORE), state.count(STORE).unwrap())
    };
    let (stays, goes, unknown) = (own(&dir, 0, "a"), own(&dir, 1, "a"), own(&dir, 0, "renamed"));
    dir.write_back(1_000).unwrap();
    drop((stays, goes, unknown, dir));

    // `a` of partition 1 comes, and goes away; nobody ever asks for `renamed`.
    let dir = StateDir::open(Arc::clone(&engine) as _, options()).unwrap();
    let mut stays = own(&dir, 0, "a");
    dir.write_back(5_000_000).unwrap();
    drop(own(&dir, 1, "a"));
    put(&mut stays, b"k", b"w", 2);
    let before = contents(&engine);
    dir.write_back(11_000_000).unwrap();
    assert!(contents(&engine).len() < before.len(), "`renamed` was removed");
    assert_eq!(held(&dir, 1, "a"), (Some(1), 1), "it was here a moment ago");
    put(&mut stays, b"k", b"x", 3);
    dir.write_back(30_000_000).unwrap();
    assert_eq!(held(&dir, 1, "a"), (None, 0));
    assert_eq!(stays.get(STORE, b"k").unwrap().as_deref(), Some(&b"x"[..]));
    drop((stays, dir));

    // Nothing was flushed since: all of it is back, with its mark. After days without a process
    // its tasks come only when its group has assigned them.
    engine.crash(Crash::Machine);
    let dir = StateDir::open(Arc::clone(&engine) as _, options()).unwrap();
    dir.write_back(500_000_000).unwrap();
    dir.write_back(503_000_000).unwrap();
    assert_eq!(held(&dir, 1, "a"), (Some(1), 1));
    assert_eq!(held(&dir, 0, "a"), (Some(3), 1));
}
