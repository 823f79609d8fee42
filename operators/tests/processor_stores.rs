//! Stores of processors: every kind, and one of a user's own, against naive ones, with commits, aborts, crashes and
//! restores as a random seed has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::ops::ControlFlow;

use operators::{
    BoxError, Direction, DriverOptions, Headers, I64Be, KeyValueDef, KeyValueStore, ListDef,
    ListStore, Processor, ProcessorContext, Record, Session, SessionDef, SessionStore,
    StoreBuilder, StoreError, StoreIndex, StreamsBuilder, TaskState, TimestampedDef,
    TimestampedKeyValueStore, Topic, TopologyTestDriver, Utf8, VersionedDef,
    VersionedKeyValueStore, WindowDef, WindowStore,
};
use proptest::prelude::*;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

/// A map that keeps the rows that were used last (S07), evicting others from the changelog too.
///
/// ```text
/// 'r' key             → use, value   (8 bytes each, big-endian)
/// 'u' use (8 bytes)   → key
/// ```
struct LruStore {
    store: StoreIndex,
    capacity: usize,
}

impl LruStore {
    fn row(key: &str) -> Vec<u8> {
        [b"r", key.as_bytes()].concat()
    }

    fn usage(number: u64) -> Vec<u8> {
        [&b"u"[..], &number.to_be_bytes()].concat()
    }

    fn uses(&self, state: &TaskState, direction: Direction) -> Result<Option<u64>, StoreError> {
        let mut found = None;
        state.scan(self.store, b"u", Some(b"v"), direction, &mut |usage, _| {
            found = usage[1..].try_into().ok().map(u64::from_be_bytes);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn find(&self, state: &TaskState, key: &str) -> Result<Option<(u64, i64)>, StoreError> {
        state.get_with(self.store, &Self::row(key), |row| {
            let (numbers, _) = row?.as_chunks::<8>();
            Some((u64::from_be_bytes(numbers[0]), i64::from_be_bytes(numbers[1])))
        })
    }

    /// What there was; the row has been used last.
    fn put(&self, state: &mut TaskState, key: &str, value: i64) -> Result<Option<i64>, StoreError> {
        let old = self.find(state, key)?;
        let number = self.uses(state, Direction::Reverse)?.map_or(0, |last| last + 1);
        if let Some((used, _)) = old {
            state.put(self.store, &Self::usage(used), None);
        } else if self.len(state)? == self.capacity {
            self.evict(state)?;
        }
        let row = [number.to_be_bytes(), value.to_be_bytes()].concat();
        state.put(self.store, &Self::row(key), Some(&row));
        state.put(self.store, &Self::usage(number), Some(key.as_bytes()));
        Ok(old.map(|(_, value)| value))
    }

    fn evict(&self, state: &mut TaskState) -> Result<(), StoreError> {
        let Some(oldest) = self.uses(state, Direction::Forward)? else { return Ok(()) };
        let key = state.get(self.store, &Self::usage(oldest))?.unwrap_or_default();
        state.put(self.store, &Self::usage(oldest), None);
        state.put(self.store, &[b"r", &key[..]].concat(), None);
        Ok(())
    }

    fn len(&self, state: &TaskState) -> Result<usize, StoreError> {
        Ok(state.count(self.store)? / 2)
    }
}

#[derive(Clone)]
struct LruDef {
    capacity: usize,
}

impl StoreBuilder for LruDef {
    type Store = LruStore;

    fn name(&self) -> &str {
        "recent"
    }

    fn formats(&self) -> (&str, &str) {
        ("lru-1", "lru-1")
    }

    fn build(&self, store: StoreIndex) -> LruStore {
        LruStore { store, capacity: self.capacity }
    }
}

/// Forwards what its store had for the key.
struct Recall(LruStore);

impl Processor<str, i64, str, i64> for Recall {
    fn process(
        &mut self,
        record: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), BoxError> {
        let (key, value) = (record.key.ok_or("no key")?, record.value.ok_or("no value")?);
        let old = self.0.put(ctx.state(), key, *value)?;
        ctx.forward(record.with_value(old.as_ref()));
        Ok(())
    }
}

/// One store of every kind.
#[derive(Clone)]
struct Defs {
    last: KeyValueDef<str, i64>,
    dated: TimestampedDef<str, i64>,
    versions: VersionedDef<str, i64>,
    windows: WindowDef<str, i64>,
    sessions: SessionDef<str, i64>,
    lists: ListDef<str, i64>,
}

impl Defs {
    fn new() -> Self {
        Self {
            last: KeyValueDef::new("last", Utf8, I64Be),
            dated: TimestampedDef::new("dated", Utf8, I64Be),
            versions: VersionedDef::new("versions", 1_000, Utf8, I64Be),
            windows: WindowDef::new("windows", 1_000, Utf8, I64Be),
            sessions: SessionDef::new("sessions", 1_000, Utf8, I64Be),
            lists: ListDef::new("lists", Utf8, I64Be),
        }
    }
}

struct KeepAll {
    last: KeyValueStore<str, i64>,
    dated: TimestampedKeyValueStore<str, i64>,
    versions: VersionedKeyValueStore<str, i64>,
    windows: WindowStore<str, i64>,
    sessions: SessionStore<str, i64>,
    lists: ListStore<str, i64>,
}

impl Processor<str, i64, str, i64> for KeepAll {
    fn process(
        &mut self,
        record: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), BoxError> {
        let (key, time, state) = (record.key.ok_or("no key")?, record.timestamp, ctx.state());
        let (value, dated) = (record.value, record.value.map(|value| (value, time)));
        let session = Session { start: time, end: time };
        self.last.put(state, key, value)?;
        self.dated.put(state, key, dated)?;
        self.versions.put(state, key, time, value)?;
        self.windows.put(state, key, time, dated)?;
        self.sessions.put(state, key, session, value)?;
        match value {
            Some(value) => self.lists.append(state, key, value)?,
            None => drop(self.lists.delete(state, key)?),
        }
        Ok(())
    }
}

/// What all stores say of a key, from whichever task has it.
fn kept(driver: &TopologyTestDriver, defs: &Defs, key: &str) -> Vec<(&'static str, Vec<i64>)> {
    let all = i64::MIN..=i64::MAX;
    let list = |value: Option<i64>| value.into_iter().collect::<Vec<_>>();
    let some = |list: Vec<i64>| Some(list).filter(|list| !list.is_empty());
    let last = driver.state_store(&defs.last, |store, state| store.get(state, key).unwrap());
    let dated = driver.state_store(&defs.dated, |store, state| store.get(state, key).unwrap());
    let versions =
        driver.state_store(&defs.versions, |store, state| store.get(state, key).unwrap());
    let windows = driver.state_store(&defs.windows, |store, state| {
        let mut found = Vec::new();
        let visit = |start, value: &i64, time| {
            found.extend([start, *value, time]);
            ControlFlow::Continue(())
        };
        store.fetch(state, key, all.clone(), visit).unwrap();
        some(found)
    });
    let sessions = driver.state_store(&defs.sessions, |store, state| {
        let mut found = Vec::new();
        let visit = |session: Session, value: &i64| {
            found.extend([session.start, *value, session.end]);
            ControlFlow::Continue(())
        };
        store.find_sessions(state, key, all.clone(), visit).unwrap();
        some(found)
    });
    let lists = driver.state_store(&defs.lists, |store, state| {
        let mut found = Vec::new();
        store.get(state, key, |value| found.push(*value)).unwrap();
        some(found)
    });
    let pair = |(value, time): (i64, i64)| vec![value, time];
    vec![
        ("last", list(last)),
        ("dated", dated.map(pair).unwrap_or_default()),
        ("versions", versions.map(pair).unwrap_or_default()),
        ("windows", windows.unwrap_or_default()),
        ("sessions", sessions.unwrap_or_default()),
        ("lists", lists.unwrap_or_default()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_of_ones_own_survives_what_the_task_survives(
        steps in prop::collection::vec((prop::sample::select(&KEYS[..]), 0..100i64), 1..60),
        capacity in 1usize..4,
        seed: u64,
    ) {
        let builder = StreamsBuilder::new("test");
        let recent = LruDef { capacity };
        let recalled = builder.stream(&numbers("in")).process("recall", &[recent.def()], move |stores| {
            Box::new(Recall(stores.open(&recent)))
        });
        recalled.with_key_serde(Utf8).to(&numbers("out"));
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), DriverOptions::seeded(seed));
        let (mut recent, mut expected) = (Vec::<(&str, i64)>::new(), Vec::new());
        for (key, value) in steps {
            driver.input(&numbers("in")).pipe(key, &value);
            let known = recent.iter().position(|(known, _)| *known == key);
            expected.push((Some(key.to_owned()), known.map(|at| recent.remove(at).1)));
            recent.push((key, value));
            if recent.len() > capacity {
                recent.remove(0);
            }
        }
        prop_assert_eq!(driver.output(&numbers("out")).read_key_values(), expected);
        prop_assert_eq!(driver.rows("recent").len(), 2 * recent.len());
    }

    #[test]
    fn every_kind_of_store_survives_what_the_task_survives(
        steps in prop::collection::vec((prop::sample::select(&KEYS[..]), prop::option::weighted(0.8, 0..100i64)), 1..30),
        partitions in 1u32..4,
        seed: u64,
    ) {
        let builder = StreamsBuilder::new("test");
        let defs = Defs::new();
        let all = [
            defs.last.def(), defs.dated.def(), defs.versions.def(),
            defs.windows.def(), defs.sessions.def(), defs.lists.def(),
        ];
        let opened = defs.clone();
        let _ = builder.stream(&numbers("in")).process::<str, i64>("keep", &all, move |stores| {
            Box::new(KeepAll {
                last: stores.open(&opened.last),
                dated: stores.open(&opened.dated),
                versions: stores.open(&opened.versions),
                windows: stores.open(&opened.windows),
                sessions: stores.open(&opened.sessions),
                lists: stores.open(&opened.lists),
            })
        });
        let options = DriverOptions { partitions, ..DriverOptions::seeded(seed) };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        for (time, (key, value)) in (0..).zip(&steps) {
            let input = driver.input(&numbers("in"));
            input.try_pipe(Some(*key), value.as_ref(), time, &Headers::new()).unwrap();
        }
        for key in KEYS {
            let own = (0i64..).zip(&steps).filter(|(_, (k, _))| *k == key);
            let own: Vec<(i64, Option<i64>)> = own.map(|(time, (_, value))| (time, *value)).collect();
            let last = own.last().and_then(|(time, value)| Some((*time, (*value)?)));
            let pair: Vec<i64> = last.map(|(time, value)| vec![value, time]).unwrap_or_default();
            let rows = own.iter().filter_map(|(time, value)| Some([*time, (*value)?, *time]));
            let rows: Vec<i64> = rows.flatten().collect();
            let deleted = own.iter().rposition(|(_, value)| value.is_none()).map_or(0, |at| at + 1);
            let list: Vec<i64> = own[deleted..].iter().filter_map(|(_, value)| *value).collect();
            prop_assert_eq!(kept(&driver, &defs, key), vec![
                ("last", last.map(|(_, value)| value).into_iter().collect()),
                ("dated", pair.clone()),
                ("versions", pair),
                ("windows", rows.clone()),
                ("sessions", rows),
                ("lists", list),
            ]);
        }
    }
}

#[test]
#[should_panic(
    expected = "store `recent` is opened but not declared: add its `def()` to the call of `process`"
)]
fn an_undeclared_store_is_named_with_the_remedy() {
    let builder = StreamsBuilder::new("test");
    let _ = builder.stream(&numbers("in")).process::<str, i64>("recall", &[], |stores| {
        Box::new(Recall(stores.open(&LruDef { capacity: 1 })))
    });
    TopologyTestDriver::new(&builder.build().unwrap());
}
