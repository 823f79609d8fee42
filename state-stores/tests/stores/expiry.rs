//! Rows that have expired leave the base some day; others never do.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{
    Direction, Engine, RawBytes, Serde, StateDir, StateOptions, StoreIndex, StoreKind, StoreSpec,
    TaskState, VersionedKeyValueStore, keys,
};

use super::disk::Disk;

const STORE: StoreIndex = StoreIndex(0);
const RETENTION_MS: i64 = 100;
const WINDOWS: StoreKind = StoreKind::Window { retention_ms: RETENTION_MS, duplicates: false };
/// Rows of one write-back, all of one time.
const ROWS: u8 = 20;
/// Many more than any engine needs to drop something.
const WRITE_BACKS: i64 = 400;

struct Opened<D: Disk> {
    engine: Arc<D::Engine>,
    dir: Arc<StateDir>,
    state: TaskState,
    _disk: D,
}

fn open<E: Engine + 'static>(engine: &Arc<E>, kind: StoreKind) -> (Arc<StateDir>, TaskState) {
    let dir = StateDir::open(Arc::clone(engine) as _, StateOptions::new("log-1")).unwrap();
    let spec = StoreSpec { name: "a".into(), changelog_topic: "a-changelog".into(), kind };
    let state = dir.task_state(0, &[spec]).unwrap();
    (dir, state)
}

fn row(time: i64, number: u8) -> Vec<u8> {
    let mut full = Vec::new();
    keys::window(&[number], time, None, &mut full);
    full
}

impl<D: Disk> Opened<D> {
    fn new(kind: StoreKind) -> Self {
        let (disk, engine) = D::create();
        let engine = Arc::new(engine);
        let (dir, state) = open(&engine, kind);
        Self { engine, dir, state, _disk: disk }
    }

    /// The same with another retention.
    fn reopened(self, kind: StoreKind) -> Self {
        let Self { engine, dir, state, _disk } = self;
        drop((dir, state));
        let (dir, state) = open(&engine, kind);
        Self { engine, dir, state, _disk }
    }

    fn commit_and_write_back(&mut self) {
        let position = self.state.changelog_position(STORE).unwrap_or(0) + 1;
        self.state.apply(&[(STORE, position)]);
        self.dir.write_back(0).unwrap();
    }

    /// A write-back of rows of this time.
    fn write(&mut self, time: i64) {
        (0..ROWS).for_each(|number| self.state.put(STORE, &row(time, number), Some(b"value")));
        self.commit_and_write_back();
    }

    /// Times of the rows that are in the base, expired or not.
    fn times_in_base(&self) -> BTreeSet<i64> {
        let (mut times, all) = (BTreeSet::new(), [2]);
        let visit = &mut |key: &[u8], _: &[u8]| {
            times.extend(keys::time_before(key, 0));
            ControlFlow::Continue(())
        };
        self.engine.scan(&[1], Some(&all), Direction::Forward, visit).unwrap();
        times
    }

    /// Rows in layers and base, expired ones included.
    fn rows_of(&self, time: i64) -> usize {
        let rows = 0..ROWS;
        let is_there = |number: &u8| {
            self.state.get_with(STORE, &row(time, *number), |value| value.is_some()).unwrap()
        };
        rows.filter(is_there).count()
    }
}

fn what_has_expired_leaves_the_base_and_nothing_else_does<D: Disk>() {
    let mut opened = Opened::<D>::new(WINDOWS);
    let (mut time, mut gone) = (0, 0);
    while gone < 3 * RETENTION_MS {
        time += 10;
        assert!(time < 10 * WRITE_BACKS, "{:?}", opened.times_in_base());
        opened.write(time);
        let in_base = opened.times_in_base();
        let alive = (time - RETENTION_MS + 10..=time).step_by(10).filter(|time| *time > 0);
        assert!(alive.clone().all(|alive| in_base.contains(&alive)), "{in_base:?} at {time}");
        assert!(alive.clone().all(|alive| opened.rows_of(alive) == usize::from(ROWS)));
        gone = in_base.first().copied().unwrap();
    }
}

fn a_store_that_is_built_anew_begins_with_its_oldest_rows<D: Disk>() {
    let mut opened = Opened::<D>::new(WINDOWS);
    opened.write(1_000_000);
    opened.state.rebuild(STORE).unwrap();
    for time in 0..60 {
        let rows: Vec<Vec<u8>> = (0..ROWS).map(|number| row(time, number)).collect();
        let rows = rows.iter().map(|row| (&row[..], Some(&b"value"[..])));
        opened.state.restore(STORE, rows, time);
        opened.dir.write_back(0).unwrap();
    }
    assert_eq!(opened.times_in_base(), (0..60).collect());
    assert!((0..60).all(|time| opened.rows_of(time) == usize::from(ROWS)));
}

fn a_longer_retention_shows_no_value_that_was_replaced<D: Disk>() {
    let mut opened = Opened::<D>::new(WINDOWS);
    for time in [0, 1] {
        opened.state.put(STORE, &row(time, 0), Some(b"old"));
    }
    opened.commit_and_write_back();
    opened.state.put(STORE, &row(0, 0), Some(b"new"));
    opened.state.put(STORE, &row(1, 0), None);
    // Both have expired before the write-back that would have brought them to the base.
    opened.write(1_000);
    let kind = StoreKind::Window { retention_ms: 10_000, duplicates: false };
    let opened = opened.reopened(kind);
    let seen = [0, 1].map(|time| opened.state.get(STORE, &row(time, 0)).unwrap());
    assert_eq!(seen, [None, None]);
}

fn a_version_that_has_expired_is_deleted_once<D: Disk>() {
    let kind = StoreKind::Versioned { history_retention_ms: RETENTION_MS };
    let mut opened = Opened::<D>::new(kind);
    let (keys, values): (Serde<[u8]>, Serde<[u8]>) = (Arc::new(RawBytes), Arc::new(RawBytes));
    let mut versions = VersionedKeyValueStore::new(STORE, &keys, &values);
    let mut deleted = 0;
    for time in 0..2_000 {
        versions.put(&mut opened.state, b"k", time, Some(b"value")).unwrap();
        opened.state.dirty(&mut |_, _, value| deleted += usize::from(value.is_none()));
        opened.state.apply(&[(STORE, time + 1)]);
        if time % 50 == 0 {
            opened.dir.write_back(0).unwrap();
        }
    }
    assert!(deleted < 2_000, "{deleted} deletions of 2000 versions");
}

/// What a versioned store's changelog has of keys is bounded, whatever leaves the base: nobody else deletes there.
fn a_changelog_loses_every_version_that_has_expired<D: Disk>() {
    const ROUNDS: i64 = 1_000;
    const SLOW: i64 = 20;
    let kind = StoreKind::Versioned { history_retention_ms: RETENTION_MS };
    let mut opened = Opened::<D>::new(kind);
    let (keys, values): (Serde<[u8]>, Serde<[u8]>) = (Arc::new(RawBytes), Arc::new(RawBytes));
    let mut versions = VersionedKeyValueStore::new(STORE, &keys, &values);
    let mut changelog = BTreeSet::new();
    for round in 0..ROUNDS {
        // Some keys are put again long after their versions have expired, the others never.
        let slow = [0, u8::try_from(round % SLOW).unwrap()];
        let once = [&[1][..], &round.to_be_bytes()].concat();
        for (key, time) in [(&slow[..], 0), (&once, 0), (&once, 1)] {
            versions.put(&mut opened.state, key, 20 * round + time, Some(b"value")).unwrap();
        }
        opened.state.dirty(&mut |_, key, value| match value {
            Some(_) => drop(changelog.insert(key.to_vec())),
            None => drop(changelog.remove(key)),
        });
        if round % 5 == 0 {
            opened.commit_and_write_back();
        } else {
            opened.state.apply(&[(STORE, round)]);
        }
    }
    let newest = SLOW + ROUNDS;
    let history = changelog.len() as i64 - newest;
    assert!(history < ROUNDS / 4, "{history} old versions of {}", 2 * ROUNDS);
    // Who puts a key again deletes what it finds here.
    let mut here = BTreeSet::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        here.insert(key.to_vec());
        ControlFlow::Continue(())
    };
    opened.state.scan(STORE, &[], None, Direction::Forward, visit).unwrap();
    let lost = changelog.difference(&here).count();
    assert_eq!(lost, 0, "rows that left the base behind the changelog's back");
}

/// A deletion is a row of history too, of a key that was never there as well.
fn a_changelog_loses_deletions_of_keys_that_nobody_knew<D: Disk>() {
    let kind = StoreKind::Versioned { history_retention_ms: RETENTION_MS };
    let mut opened = Opened::<D>::new(kind);
    let (keys, values): (Serde<[u8]>, Serde<[u8]>) = (Arc::new(RawBytes), Arc::new(RawBytes));
    let mut versions = VersionedKeyValueStore::new(STORE, &keys, &values);
    let mut changelog = BTreeSet::new();
    for time in 0..2_000_i64 {
        versions.put(&mut opened.state, &time.to_be_bytes(), time, None).unwrap();
        opened.state.dirty(&mut |_, key, value| match value {
            Some(_) => drop(changelog.insert(key.to_vec())),
            None => drop(changelog.remove(key)),
        });
        opened.state.apply(&[(STORE, time)]);
    }
    assert!(changelog.len() < 500, "{} of 2000 deletions", changelog.len());
}

on_all_engines!(
    a_changelog_loses_deletions_of_keys_that_nobody_knew,
    a_changelog_loses_every_version_that_has_expired,
    what_has_expired_leaves_the_base_and_nothing_else_does,
    a_store_that_is_built_anew_begins_with_its_oldest_rows,
    a_longer_retention_shows_no_value_that_was_replaced,
    a_version_that_has_expired_is_deleted_once
);
