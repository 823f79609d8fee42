//! Window stores, with and without duplicates, against a map of all windows ever put.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeInclusive};

use proptest::prelude::*;
use state_stores::keys::Sequence;
use state_stores::{StoreError, StoreIndex, StoreKind, TaskState, WindowStore};

use super::world::Model;
use super::{KEYS, key, serdes};

pub(crate) const RETENTION: i64 = 10;

/// A put: how far the start lies ahead of stream time, what tells duplicates apart, and value with timestamp.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    key: &'static [u8],
    ahead: i64,
    number: u8,
    row: Option<(i64, i64)>,
}

/// By key, start and number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows<const DUPLICATES: bool> {
    rows: BTreeMap<(&'static [u8], i64, u8), (i64, i64)>,
    time: Option<i64>,
}

fn open(store: StoreIndex) -> WindowStore<[u8], i64> {
    let (keys, values) = serdes();
    WindowStore::new(store, &keys, &values)
}

/// Key, start, value, timestamp.
type Seen = Vec<(Vec<u8>, i64, i64, i64)>;

impl<const DUPLICATES: bool> Windows<DUPLICATES> {
    fn visible(&self, holds: impl Fn(&[u8], i64) -> bool) -> Seen {
        let alive = |start: i64| self.time.is_some_and(|time| start > time - RETENTION);
        let rows =
            self.rows.iter().filter(|((key, start, _), _)| alive(*start) && holds(key, *start));
        rows.map(|((key, start, _), (value, time))| (key.to_vec(), *start, *value, *time)).collect()
    }

    fn check_key(&self, state: &TaskState, store: &mut WindowStore<[u8], i64>, key: &[u8]) {
        let now = self.time.unwrap_or(0);
        for starts in [i64::MIN..=i64::MAX, now - 7..=now - 2, now..=now, now..=now - 1] {
            let mut seen = Seen::new();
            let mut visit = |start, value: &i64, time| {
                seen.push((key.to_vec(), start, *value, time));
                ControlFlow::Continue(())
            };
            store.fetch(state, key, starts.clone(), &mut visit).unwrap();
            store.backward_fetch(state, key, starts.clone(), &mut visit).unwrap();
            assert_eq!(
                seen,
                both_ways(self.visible(|k, start| k == key && starts.contains(&start)))
            );
        }
        for start in (now - RETENTION - 2..now + 2).filter(|_| !DUPLICATES) {
            let expected = self.visible(|k, s| k == key && s == start);
            let expected = expected.first().map(|(_, _, value, time)| (*value, *time));
            assert_eq!(store.get(state, key, start).unwrap(), expected);
            let mut scratch = Vec::new();
            let copied = store.get_into(state, key, start, &mut scratch).unwrap();
            assert_eq!(copied.map(|(value, time)| (*value, time)), expected);
        }
    }
}

/// The rows, and then once more in reverse.
fn both_ways<T: Clone>(rows: Vec<T>) -> Vec<T> {
    let reversed = rows.clone().into_iter().rev();
    rows.iter().cloned().chain(reversed).collect()
}

/// A range of starts in the middle of what is kept.
fn middle(now: i64) -> RangeInclusive<i64> {
    now - 6..=now - 1
}

impl<const DUPLICATES: bool> Model for Windows<DUPLICATES> {
    type Write = Write;
    const KIND: StoreKind = StoreKind::Window { retention_ms: RETENTION, duplicates: DUPLICATES };

    fn writes() -> BoxedStrategy<Write> {
        let row = prop::option::weighted(0.8, (any::<i64>(), any::<i64>()));
        (key(), -14..4i64, 0..3u8, row)
            .prop_map(|(key, ahead, number, row)| Write { key, ahead, number, row })
            .boxed()
    }

    fn examples() -> Vec<Write> {
        let write = |key, ahead, number, row| Write { key, ahead, number, row };
        vec![
            write(&b"a"[..], 0, 2, Some((1, 5))),
            write(b"a", 0, 1, Some((2, 6))),
            write(b"a", 3, 0, Some((3, 7))),
            write(b"\0", -2, 0, Some((4, 8))),
            write(b"\0", -2, 0, None),
        ]
    }

    fn deletions() -> Vec<Write> {
        let delete = |(ahead, number)| Write { key: &b"a"[..], ahead, number, row: None };
        [(-3, 1), (-3, 2), (0, 0)].into_iter().map(delete).collect()
    }

    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Write) {
        let Write { key, ahead, row, .. } = *write;
        let start = self.time.unwrap_or(5) + ahead;
        let number = if DUPLICATES { write.number } else { 0 };
        let mut store = open(store);
        let put = row.as_ref().map(|(value, time)| (value, *time));
        let accepted = if DUPLICATES {
            let sequence = Sequence { source: 1, offset: i64::from(number), index: 0 };
            store.put_duplicate(state, key, start, sequence, put)
        } else {
            store.put(state, key, start, put)
        };
        let time = self.time.unwrap_or(start).max(start);
        assert_eq!(accepted.unwrap(), start > time - RETENTION);
        if start > time - RETENTION {
            self.time = Some(time);
            match row {
                Some(row) => drop(self.rows.insert((key, start, number), row)),
                None => drop(self.rows.remove(&(key, start, number))),
            }
        }
    }

    fn check(&self, state: &TaskState, store: StoreIndex) {
        let mut store = open(store);
        KEYS.iter().for_each(|key| self.check_key(state, &mut store, key));
        let now = self.time.unwrap_or(0);
        let mut seen = Seen::new();
        let mut visit = |key: &[u8], start, value: &i64, time| {
            seen.push((key.to_vec(), start, *value, time));
            ControlFlow::Continue(())
        };
        store.fetch_all(state, middle(now), &mut visit).unwrap();
        store.backward_fetch_all(state, middle(now), &mut visit).unwrap();
        assert_eq!(seen, both_ways(self.visible(|_, start| middle(now).contains(&start))));
        for (from, to) in [(&b"\0"[..], &b"a\0"[..]), (b"a", b"a"), (b"b", b"a")] {
            let mut seen = Seen::new();
            let mut visit = |key: &[u8], start, value: &i64, time| {
                seen.push((key.to_vec(), start, *value, time));
                ControlFlow::Continue(())
            };
            let all = i64::MIN..=i64::MAX;
            store.fetch_range(state, from..=to, all.clone(), &mut visit).unwrap();
            let open = (Bound::Excluded(from), Bound::Excluded(to));
            store.backward_fetch_range(state, open, all, &mut visit).unwrap();
            let mut expected = self.visible(|key, _| key >= from && key <= to);
            let inner = self.visible(|key, _| key > from && key < to);
            expected.extend(inner.into_iter().rev());
            assert_eq!(seen, expected);
        }
    }

    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError> {
        let all = i64::MIN..=i64::MAX;
        open(store).fetch(state, b"a", all, |_, _, _| ControlFlow::Continue(()))
    }

    fn rows(&self) -> Option<usize> {
        Some(self.visible(|_, _| true).len())
    }

    fn stream_time(&self) -> Option<i64> {
        self.time
    }
}
