//! Key-value stores, plain and timestamped, against a map.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow};

use proptest::prelude::*;
use state_stores::{
    KeyValueStore, RawBytes, StoreError, StoreIndex, StoreKind, TaskState, TimestampedKeyValueStore,
};

use super::world::Model;
use super::{KEYS, key, serdes};

type Bounds<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

/// A scan over keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scan<'k> {
    Range(Bounds<'k>),
    ReverseRange(Bounds<'k>),
    All,
    ReverseAll,
    Prefix(&'k [u8]),
}

/// What tells the two stores apart: their rows.
pub(crate) trait Flavour: Clone + Debug + Default + 'static {
    type Row: Copy + Debug + PartialEq + 'static;
    type Store;

    fn open(store: StoreIndex) -> Self::Store;
    fn row(value: i64) -> Self::Row;
    fn put(store: &mut Self::Store, state: &mut TaskState, key: &[u8], row: Option<Self::Row>);
    fn put_all(store: &mut Self::Store, state: &mut TaskState, rows: &[Put<Self::Row>]);
    fn put_if_absent(
        store: &mut Self::Store,
        state: &mut TaskState,
        key: &[u8],
        row: Self::Row,
    ) -> Option<Self::Row>;
    fn delete(store: &mut Self::Store, state: &mut TaskState, key: &[u8]) -> Option<Self::Row>;
    fn get(
        store: &mut Self::Store,
        state: &TaskState,
        key: &[u8],
    ) -> Result<Option<Self::Row>, StoreError>;
    fn scan(
        store: &mut Self::Store,
        state: &TaskState,
        scan: Scan<'_>,
    ) -> Vec<(Vec<u8>, Self::Row)>;
    fn count(store: &Self::Store, state: &TaskState) -> usize;
}

type Put<R> = (&'static [u8], Option<R>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Plain;

#[derive(Clone, Debug, Default)]
pub(crate) struct Timestamped;

/// `$row => $put` makes what is put of a row, `$arg… => $read` makes a row of what is visited.
macro_rules! flavour {
    ($flavour:ident, $store:ident, $type:ty, $value:ident => $new:expr, $row:ident => $put:expr,
     |$($arg:ident: $of:ty),+| $read:expr) => {
        impl Flavour for $flavour {
            type Row = $type;
            type Store = $store<[u8], i64>;

            fn open(store: StoreIndex) -> Self::Store {
                let (keys, values) = serdes();
                $store::new(store, &keys, &values)
            }

            fn row($value: i64) -> Self::Row {
                $new
            }

            fn put(store: &mut Self::Store, state: &mut TaskState, key: &[u8], row: Option<$type>) {
                store.put(state, key, row.as_ref().map(|$row| $put)).unwrap();
            }

            fn put_all(store: &mut Self::Store, state: &mut TaskState, rows: &[Put<$type>]) {
                let rows = rows.iter().map(|(key, row)| (*key, row.as_ref().map(|$row| $put)));
                store.put_all(state, rows).unwrap();
            }

            fn put_if_absent(
                store: &mut Self::Store,
                state: &mut TaskState,
                key: &[u8],
                row: $type,
            ) -> Option<$type> {
                let $row = &row;
                store.put_if_absent(state, key, $put).unwrap()
            }

            fn delete(store: &mut Self::Store, state: &mut TaskState, key: &[u8]) -> Option<$type> {
                store.delete(state, key).unwrap()
            }

            fn get(
                store: &mut Self::Store,
                state: &TaskState,
                key: &[u8],
            ) -> Result<Option<$type>, StoreError> {
                store.get(state, key)
            }

            fn scan(
                store: &mut Self::Store,
                state: &TaskState,
                scan: Scan<'_>,
            ) -> Vec<(Vec<u8>, $type)> {
                let mut rows = Vec::new();
                let visit = |key: &[u8], $($arg: $of),+| {
                    rows.push((key.to_vec(), $read));
                    ControlFlow::Continue(())
                };
                match scan {
                    Scan::Range(bounds) => store.range(state, bounds, visit),
                    Scan::ReverseRange(bounds) => store.reverse_range(state, bounds, visit),
                    Scan::All => store.all(state, visit),
                    Scan::ReverseAll => store.reverse_all(state, visit),
                    Scan::Prefix(prefix) => store.prefix_scan(state, prefix, &RawBytes, visit),
                }
                .unwrap();
                rows
            }

            fn count(store: &Self::Store, state: &TaskState) -> usize {
                store.approximate_num_entries(state).unwrap()
            }
        }
    };
}

flavour!(Plain, KeyValueStore, i64, value => value, row => row, |value: &i64| *value);
flavour!(
    Timestamped, TimestampedKeyValueStore, (i64, i64), value => (value, value / 2),
    row => (&row.0, row.1), |value: &i64, time: i64| (*value, time)
);

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(&'static [u8], Option<i64>),
    PutAll(Vec<(&'static [u8], Option<i64>)>),
    PutIfAbsent(&'static [u8], i64),
    Delete(&'static [u8]),
}

#[derive(Clone, Debug)]
pub(crate) struct Keyed<F: Flavour> {
    rows: BTreeMap<&'static [u8], F::Row>,
}

impl<F: Flavour> Default for Keyed<F> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<F: Flavour> Keyed<F> {
    fn put(&mut self, key: &'static [u8], row: Option<F::Row>) {
        match row {
            Some(row) => drop(self.rows.insert(key, row)),
            None => drop(self.rows.remove(key)),
        }
    }

    fn within(&self, mut holds: impl FnMut(&[u8]) -> bool) -> Vec<(Vec<u8>, F::Row)> {
        let rows = self.rows.iter().filter(|(key, _)| holds(key));
        rows.map(|(key, row)| (key.to_vec(), *row)).collect()
    }
}

impl<F: Flavour> Model for Keyed<F> {
    type Write = Write;
    const KIND: StoreKind = StoreKind::KeyValue;

    fn writes() -> BoxedStrategy<Write> {
        let row = (key(), prop::option::weighted(0.7, any::<i64>()));
        prop_oneof![
            6 => row.clone().prop_map(|(key, value)| Write::Put(key, value)),
            1 => prop::collection::vec(row, 0..4).prop_map(Write::PutAll),
            2 => (key(), any::<i64>()).prop_map(|(key, value)| Write::PutIfAbsent(key, value)),
            2 => key().prop_map(Write::Delete),
        ]
        .boxed()
    }

    fn examples() -> Vec<Write> {
        vec![
            Write::Put(b"a", Some(1)),
            Write::PutAll(vec![(b"a\0", Some(2)), (b"", Some(3)), (b"\0", Some(9)), (b"", None)]),
            Write::PutIfAbsent(b"a", 4),
            Write::Delete(b"\0"),
        ]
    }

    fn deletions() -> Vec<Write> {
        vec![Write::Delete(b"a"), Write::Put(b"a\0", None)]
    }

    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Write) {
        let store = &mut F::open(store);
        match write {
            Write::Put(key, value) => {
                F::put(store, state, key, value.map(F::row));
                self.put(key, value.map(F::row));
            }
            Write::PutAll(rows) => {
                let rows: Vec<_> = rows.iter().map(|(key, n)| (*key, n.map(F::row))).collect();
                F::put_all(store, state, &rows);
                rows.into_iter().for_each(|(key, row)| self.put(key, row));
            }
            Write::PutIfAbsent(key, value) => {
                let old = F::put_if_absent(store, state, key, F::row(*value));
                assert_eq!(old, self.rows.get(key).copied());
                self.rows.entry(key).or_insert(F::row(*value));
            }
            Write::Delete(key) => {
                assert_eq!(F::delete(store, state, key), self.rows.remove(key));
            }
        }
    }

    fn check(&self, state: &TaskState, store: StoreIndex) {
        use Bound::{Excluded, Included, Unbounded};
        let store = &mut F::open(store);
        for key in KEYS {
            assert_eq!(F::get(store, state, key).unwrap(), self.rows.get(key).copied());
        }
        let ends = |key: &'static [u8]| [Included(key), Excluded(key), Unbounded];
        for (from, to) in [(&b"\0"[..], &b"a"[..]), (b"a", b"a\xff"), (b"a", b"a"), (b"b", b"a")] {
            for (from, to) in ends(from).into_iter().flat_map(|from| ends(to).map(|to| (from, to)))
            {
                let mut expected = self.within(|key| {
                    let above = match from {
                        Included(from) => key >= from,
                        Excluded(from) => key > from,
                        Unbounded => true,
                    };
                    let below = match to {
                        Included(to) => key <= to,
                        Excluded(to) => key < to,
                        Unbounded => true,
                    };
                    above && below
                });
                assert_eq!(F::scan(store, state, Scan::Range((from, to))), expected);
                expected.reverse();
                assert_eq!(F::scan(store, state, Scan::ReverseRange((from, to))), expected);
            }
        }
        let mut all = self.within(|_| true);
        assert_eq!(F::scan(store, state, Scan::All), all);
        all.reverse();
        assert_eq!(F::scan(store, state, Scan::ReverseAll), all);
        for prefix in KEYS {
            let expected = self.within(|key| key.starts_with(prefix));
            assert_eq!(F::scan(store, state, Scan::Prefix(prefix)), expected);
        }
        assert_eq!(F::count(store, state), all.len());
    }

    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError> {
        F::get(&mut F::open(store), state, b"a").map(drop)
    }

    fn rows(&self) -> Option<usize> {
        Some(self.rows.len())
    }
}
