//! Stores that follow a changelog for a task elsewhere: who may have them, and how old they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use state_stores::{
    ChangelogRange, Crash, MemoryEngine, Rebuild, StandbyState, StateDir, StateOptions, StoreError,
    StoreIndex, StoreKind, StoreSpec,
};

const STORE: StoreIndex = StoreIndex(0);

fn spec() -> StoreSpec {
    let (name, changelog_topic) = ("a".into(), "a-changelog".into());
    StoreSpec { name, changelog_topic, kind: StoreKind::KeyValue }
}

fn open(engine: &Arc<MemoryEngine>) -> Arc<StateDir> {
    StateDir::open(Arc::clone(engine) as _, StateOptions::new("log-1")).unwrap()
}

fn standby(dir: &StateDir, now_ms: i64) -> StandbyState {
    dir.standby_state(0, &[spec()], now_ms).unwrap()
}

fn follow(state: &StandbyState, key: &[u8], next: i64) {
    state.follow(STORE, [(key, Some(&b"v"[..]))], next);
}

fn age(state: &StandbyState, end: i64, now_ms: i64) -> Option<Rebuild> {
    let range = ChangelogRange { id: None, start: 0, end, delete_retention_ms: Some(1_000) };
    state.needs_rebuild(STORE, &range, now_ms)
}

#[test]
fn a_task_takes_the_stores_with_what_was_read_and_nothing_is_written_behind_its_back() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let copy = standby(&dir, 0);
    follow(&copy, b"k", 5);
    let queries = dir.committed("a", 0).unwrap();
    assert!(copy.is_held() && !queries.is_owned());
    let refused = dir.standby_state(0, &[spec()], 0).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "one standby at a time");

    let task = dir.task_state(0, &[spec()]).unwrap();
    assert_eq!(task.changelog_position(STORE), Some(5));
    assert!(task.get(STORE, b"k").unwrap().is_some());
    assert!(!copy.is_held() && queries.is_owned());
    follow(&copy, b"late", 9);
    copy.was_level(STORE, 9_999);
    assert_eq!(task.changelog_position(STORE), Some(5));
    assert_eq!(task.get(STORE, b"late").unwrap(), None);

    drop(copy);
    assert!(queries.is_owned(), "the standby's end is not the task's");
    assert!(matches!(dir.standby_state(0, &[spec()], 0), Err(StoreError::InUse { .. })));
    drop(task);
    assert_eq!(standby(&dir, 0).changelog_position(STORE), Some(5), "a task that went away");
}

#[test]
fn a_rebuild_by_who_has_lost_the_stores_comes_to_nothing() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    let mut copy = standby(&dir, 0);
    follow(&copy, b"k", 5);
    let task = dir.task_state(0, &[spec()]).unwrap();
    copy.rebuild(STORE, 1).unwrap();
    assert_eq!(task.count(STORE).unwrap(), 1);
}

#[test]
fn rows_are_as_old_as_the_last_moment_at_which_they_were_known_to_be_level() {
    let engine = Arc::new(MemoryEngine::with_crashes());
    let dir = open(&engine);
    let copy = standby(&dir, 100);
    follow(&copy, b"k", 5);
    copy.was_level(STORE, 200);
    // Time passes and it is written, but nobody says that it is level.
    dir.write_back(5_000).unwrap();
    assert_eq!(copy.as_of_ms(STORE), Some(200));
    let too_old = Some(Rebuild::TooOld { age_ms: 4_800, limit_ms: 500 });
    assert_eq!(age(&copy, 6, 5_000), too_old);
    drop(copy);
    assert_eq!(age(&standby(&dir, 5_000), 6, 5_000), too_old, "nor does its end make it younger");

    engine.crash(Crash::Process);
    let copy = standby(&open(&engine), 5_000);
    assert_eq!((copy.changelog_position(STORE), age(&copy, 6, 5_000)), (Some(5), too_old));
    copy.was_level(STORE, 150);
    assert_eq!(age(&copy, 6, 5_000), too_old, "what was known before is no news");
    copy.was_level(STORE, 4_900);
    assert_eq!(age(&copy, 6, 5_000), None);
}

#[test]
fn what_begins_from_the_start_is_as_old_as_its_beginning() {
    let dir = open(&Arc::new(MemoryEngine::new()));
    drop(standby(&dir, 100));
    let copy = standby(&dir, 3_000);
    follow(&copy, b"k", 5);
    assert_eq!(age(&copy, 6, 3_400), None);
    dir.write_back(3_600).unwrap();
    assert_eq!(age(&copy, 6, 3_600), Some(Rebuild::TooOld { age_ms: 600, limit_ms: 500 }));
}
