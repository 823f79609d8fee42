//! Rows as queries see them from outside the task, wherever they lie: in the layers, or in the base of each engine.

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use state_stores::{
    CommittedStore, Direction, Keys, RowTime, Select, StateDir, StateOptions, StoreIndex,
    StoreKind, StoreSpec, TaskState, keys,
};

use super::disk::{Disk, Memory};

const STORE: StoreIndex = StoreIndex(0);
const KIND: StoreKind = StoreKind::Window { retention_ms: 100, duplicates: false };

fn open<D: Disk>(kind: StoreKind) -> (D, Arc<StateDir>, TaskState) {
    let (disk, engine) = D::create();
    let dir = StateDir::open(Arc::new(engine), StateOptions::new("log-1")).unwrap();
    let (name, changelog_topic) = ("a".into(), "a-changelog".into());
    let state = dir.task_state(0, &[StoreSpec { name, changelog_topic, kind }]).unwrap();
    (disk, dir, state)
}

fn full(key: &str, start: i64) -> Vec<u8> {
    let mut full = Vec::new();
    keys::window(key.as_bytes(), start, None, &mut full);
    full
}

fn put(state: &mut TaskState, key: &str, start: i64, value: &str) {
    state.put(STORE, &full(key, start), Some(value.as_bytes()));
}

fn commit(state: &mut TaskState) {
    let position = state.changelog_position(STORE).unwrap_or(0) + 1;
    state.apply(&[(STORE, position)]);
}

/// Nothing is left in the layers.
fn settle(dir: &StateDir) {
    dir.write_back(0).unwrap();
    dir.write_back(0).unwrap();
}

fn selected(rows: &CommittedStore, select: Select) -> Vec<String> {
    let mut seen = Vec::new();
    let go_on = &mut || ControlFlow::Continue(());
    rows.select(&select, go_on, &mut |row| {
        let Some(RowTime::Window(start)) = row.time else { panic!("{row:?}") };
        let text = |bytes| str::from_utf8(bytes).unwrap();
        seen.push(format!("{}@{start}={}", text(row.key), text(row.value)));
        ControlFlow::Continue(())
    })
    .unwrap();
    seen
}

fn of(keys: Keys, times: std::ops::RangeInclusive<i64>) -> Select {
    Select { keys, times, direction: Direction::Forward }
}

fn one(key: &str) -> Keys {
    Keys::One(key.as_bytes().to_vec())
}

fn finds_rows_wherever_they_lie<D: Disk>() {
    let (_disk, dir, mut state) = open::<D>(KIND);
    for (key, start) in [("a", 50), ("a", 101), ("b", 101), ("a", 150), ("b", 200), ("a", 200)] {
        put(&mut state, key, start, "old");
    }
    commit(&mut state);
    let rows = dir.committed("a", 0).unwrap();
    let all = || of(Keys::Range(None, None), i64::MIN..=i64::MAX);
    let every = ["a@101=old", "a@150=old", "a@200=old", "b@101=old", "b@200=old"];
    assert_eq!(selected(&rows, all()), every, "in the layers; 50 has expired");
    settle(&dir);
    assert_eq!(selected(&rows, all()), every, "in the base");

    put(&mut state, "a", 150, "new");
    put(&mut state, "a", 160, "new");
    commit(&mut state);
    put(&mut state, "a", 150, "open");
    let a = ["a@101=old", "a@150=new", "a@160=new", "a@200=old"];
    assert_eq!(selected(&rows, of(one("a"), i64::MIN..=i64::MAX)), a);
    assert_eq!(selected(&rows, of(one("a"), 150..=160)), a[1..3]);
    let reverse = Select { direction: Direction::Reverse, ..of(one("a"), 150..=i64::MAX) };
    assert_eq!(selected(&rows, reverse), [a[3], a[2], a[1]]);
    let prefix = of(Keys::Prefix(b"b".to_vec()), 0..=150);
    assert_eq!(selected(&rows, prefix), ["b@101=old"]);
    assert!(selected(&rows, of(one("none"), i64::MIN..=i64::MAX)).is_empty());
}

fn shows_nothing_that_has_expired<D: Disk>() {
    let (_disk, dir, mut state) = open::<D>(KIND);
    put(&mut state, "a", 50, "v");
    commit(&mut state);
    settle(&dir);
    let rows = dir.committed("a", 0).unwrap();
    let get = || rows.get_with(&full("a", 50), |value| value.map(<[u8]>::to_vec)).unwrap();
    assert_eq!(get().as_deref(), Some(&b"v"[..]), "from now on it is kept in memory");
    put(&mut state, "a", 200, "v");
    commit(&mut state);
    let mut seen = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        seen += 1;
        ControlFlow::Continue(())
    };
    rows.scan(b"", None, Direction::Forward, &mut count).unwrap();
    assert_eq!((get(), seen), (None, 1), "not dropped yet");
    settle(&dir);
    assert_eq!(get(), None);
}

fn a_selection_of_one_key_begins_at_its_time<D: Disk>() {
    let kind = StoreKind::Window { retention_ms: 100_000, duplicates: false };
    let (_disk, dir, mut state) = open::<D>(kind);
    (0..5_000).for_each(|start| put(&mut state, "a", start, "v"));
    commit(&mut state);
    settle(&dir);
    let (rows, mut pauses) = (dir.committed("a", 0).unwrap(), 0);
    let mut select = |times| {
        let (mut count, before) = (0, pauses);
        let mut pause = || {
            pauses += 1;
            ControlFlow::Continue(())
        };
        rows.select(&of(one("a"), times), &mut pause, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        (count, pauses - before)
    };
    assert_eq!(select(4_990..=i64::MAX), (10, 0), "nothing of before is looked at");
    let (count, slices) = select(0..=i64::MAX);
    assert_eq!(count, 5_000);
    assert!(slices > 4, "{slices}");
}

on_all_engines!(
    finds_rows_wherever_they_lie,
    shows_nothing_that_has_expired,
    a_selection_of_one_key_begins_at_its_time
);

#[test]
fn the_owner_commits_while_a_row_is_looked_at() {
    let (_disk, dir, mut state) = open::<Memory>(KIND);
    put(&mut state, "a", 200, "old");
    commit(&mut state);
    let rows = dir.committed("a", 0).unwrap();
    let ((visiting, visited), (committed, done)) = (mpsc::channel(), mpsc::channel());
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut free = false;
            let all = of(Keys::Range(None, None), i64::MIN..=i64::MAX);
            rows.select(&all, &mut || ControlFlow::Continue(()), &mut |_| {
                visiting.send(()).unwrap();
                free = done.recv_timeout(Duration::from_secs(20)).is_ok();
                ControlFlow::Break(())
            })
            .unwrap();
            free
        });
        visited.recv().unwrap();
        put(&mut state, "a", 200, "new");
        commit(&mut state);
        // Nobody listens where the reader has given up.
        let _given_up = committed.send(());
        assert!(reading.join().unwrap(), "the owner had to wait for the reader");
    });
}

#[test]
fn a_search_that_finds_nothing_can_be_ended() {
    let kind = StoreKind::Window { retention_ms: 100_000, duplicates: false };
    let (_disk, dir, mut state) = open::<Memory>(kind);
    for number in 0..5_000 {
        put(&mut state, &format!("k{number}"), 1_000, "v");
    }
    commit(&mut state);
    let (rows, mut pauses) = (dir.committed("a", 0).unwrap(), 0);
    let mut pause = || {
        pauses += 1;
        ControlFlow::Break(())
    };
    let nothing = of(Keys::Range(None, None), 2_000..=3_000);
    rows.select(&nothing, &mut pause, &mut |row| panic!("{row:?}")).unwrap();
    assert_eq!(pauses, 1);
}
