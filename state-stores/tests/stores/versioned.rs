//! Versioned stores against all versions ever put.

use std::collections::BTreeMap;

use proptest::prelude::*;
use state_stores::{Put, StoreError, StoreIndex, StoreKind, TaskState, VersionedKeyValueStore};

use super::disk::Memory;
use super::world::{Model, Step, World};
use super::{KEYS, key, serdes};

const RETENTION: i64 = 10;

/// How far the version lies behind stream time, and its value.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(&'static [u8], i64, Option<i64>),
    Delete(&'static [u8], i64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    versions: BTreeMap<&'static [u8], BTreeMap<i64, Option<i64>>>,
    time: Option<i64>,
}

fn open(store: StoreIndex) -> VersionedKeyValueStore<[u8], i64> {
    let (keys, values) = serdes();
    VersionedKeyValueStore::new(store, &keys, &values)
}

impl Versions {
    fn now(&self) -> i64 {
        self.time.unwrap_or(20)
    }

    fn is_lost(&self, timestamp: i64) -> bool {
        self.time.is_some_and(|time| timestamp < time - RETENTION)
    }

    fn put(&mut self, key: &'static [u8], timestamp: i64, value: Option<i64>) -> Put {
        if self.is_lost(timestamp) {
            return Put::Refused;
        }
        self.time = self.time.max(Some(timestamp));
        let versions = self.versions.entry(key).or_default();
        versions.insert(timestamp, value);
        versions.range(timestamp + 1..).next().map_or(Put::Latest, |(next, _)| Put::Until(*next))
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

impl Model for Versions {
    type Write = Write;
    const KIND: StoreKind = StoreKind::Versioned { history_retention_ms: RETENTION };

    fn writes() -> BoxedStrategy<Write> {
        let value = prop::option::weighted(0.7, any::<i64>());
        prop_oneof![
            4 => (key(), -4..14i64, value).prop_map(|(key, back, n)| Write::Put(key, back, n)),
            1 => (key(), -4..14i64).prop_map(|(key, back)| Write::Delete(key, back)),
        ]
        .boxed()
    }

    fn examples() -> Vec<Write> {
        vec![
            Write::Put(b"a", 0, Some(1)),
            Write::Put(b"a", -4, Some(2)),
            Write::Put(b"\0", 0, Some(3)),
            Write::Delete(b"\0", -1),
        ]
    }

    fn deletions() -> Vec<Write> {
        vec![Write::Delete(b"a", 0)]
    }

    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Write) {
        let mut store = open(store);
        match write {
            Write::Put(key, back, value) => {
                let timestamp = self.now() - back;
                let put = store.put(state, key, timestamp, value.as_ref());
                assert_eq!(put.unwrap(), self.put(key, timestamp, *value));
            }
            Write::Delete(key, back) => {
                let timestamp = self.now() - back;
                let was = if self.is_lost(timestamp) { None } else { self.as_of(key, timestamp) };
                assert_eq!(store.delete(state, key, timestamp).unwrap(), was);
                self.put(key, timestamp, None);
            }
        }
    }

    fn check(&self, state: &TaskState, store: StoreIndex) {
        let mut store = open(store);
        let now = self.now();
        for key in KEYS {
            assert_eq!(store.get(state, key).unwrap(), self.latest(key));
            let mut scratch = Vec::new();
            let copied = store.get_into(state, key, &mut scratch).unwrap();
            assert_eq!(copied.map(|(value, since)| (*value, since)), self.latest(key));
            for time in (now - RETENTION - 3..now + 3).chain([i64::MIN, i64::MAX]) {
                let found = store.get_as_of(state, key, time).unwrap();
                assert_eq!(found, self.as_of(key, time), "as of {time}");
            }
        }
    }

    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError> {
        let mut store = open(store);
        store.get_as_of(state, b"a", 20)?;
        store.get(state, b"a").map(drop)
    }

    fn rows(&self) -> Option<usize> {
        None
    }

    fn stream_time(&self) -> Option<i64> {
        self.time
    }
}

#[test]
fn a_key_that_goes_on_keeps_no_more_than_its_history() {
    const STORE: StoreIndex = StoreIndex(0);
    let mut world = World::<Versions, Memory>::new();
    let put = |world: &mut World<Versions, Memory>, key, time, value| {
        let back = world.models[0].now() - time;
        world.step(Step::Write { store: 0, write: Write::Put(key, back, value) });
    };
    for time in 0..8 {
        put(&mut world, b"a", time, Some(time));
        put(&mut world, b"\0", time, Some(time));
    }
    put(&mut world, b"\0", 8, None);
    put(&mut world, b"", 1000, Some(1));
    world.step(Step::Restart);
    world.check();
    // A key that goes on takes its expired history from base and changelog.
    for time in 1001..1100 {
        put(&mut world, b"", time, Some(1));
        world.step(Step::Commit);
    }
    let (kept, rows) = (world.compacted(0).len(), world.state().count(STORE).unwrap());
    let most = 2 + 2 * 8 + RETENTION as usize + 1;
    assert!(kept <= most && rows <= most, "{kept} rows in the compacted changelog, {rows} here");
}
