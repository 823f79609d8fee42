//! List stores against a map of lists.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use state_stores::{ListStore, RawBytes, StoreError, StoreIndex, StoreKind, TaskState};

use super::world::Model;
use super::{KEYS, key, serdes};

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(&'static [u8], i64),
    Delete(&'static [u8]),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Lists(BTreeMap<&'static [u8], Vec<i64>>);

fn open(store: StoreIndex) -> ListStore<[u8], i64> {
    let (keys, values) = serdes();
    ListStore::new(store, &keys, &values)
}

impl Model for Lists {
    type Write = Write;
    const KIND: StoreKind = StoreKind::KeyValue;

    fn writes() -> BoxedStrategy<Write> {
        prop_oneof![
            4 => (key(), any::<i64>()).prop_map(|(key, value)| Write::Append(key, value)),
            1 => key().prop_map(Write::Delete),
        ]
        .boxed()
    }

    fn examples() -> Vec<Write> {
        let append = |(key, value)| Write::Append(key, value);
        let mut writes: Vec<_> =
            [(&b"a"[..], 1), (b"", 2), (b"a", 3)].into_iter().map(append).collect();
        writes.push(Write::Delete(b""));
        writes
    }

    fn deletions() -> Vec<Write> {
        vec![Write::Delete(b"a")]
    }

    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Write) {
        let mut lists = open(store);
        match write {
            Write::Append(key, value) => {
                lists.append(state, key, value).unwrap();
                self.0.entry(key).or_default().push(*value);
            }
            Write::Delete(key) => {
                assert_eq!(lists.delete(state, key).unwrap(), self.0.remove(key).is_some());
            }
        }
    }

    fn check(&self, state: &TaskState, store: StoreIndex) {
        let mut lists = open(store);
        for key in KEYS {
            let mut list = Vec::new();
            lists.get(state, key, |value| list.push(*value)).unwrap();
            assert_eq!(list, self.0.get(key).cloned().unwrap_or_default());
        }
        let mut rows = Vec::new();
        let mut visit = |key: &[u8], value: &i64| {
            rows.push((key.to_vec(), *value));
            ControlFlow::Continue(())
        };
        lists.range(state, &b"a"[..].., &mut visit).unwrap();
        lists.reverse_range(state, ..=&b"a"[..], &mut visit).unwrap();
        lists.prefix_scan(state, &b"a"[..], &RawBytes, &mut visit).unwrap();
        let flat = |key: &&[u8], list: &Vec<i64>| {
            let key = key.to_vec();
            list.clone().into_iter().map(move |value| (key.clone(), value))
        };
        let after = self.0.range(&b"a"[..]..).flat_map(|(key, list)| flat(key, list));
        let before = self.0.range(..=&b"a"[..]).rev().flat_map(|(key, list)| flat(key, list));
        let prefix = self.0.iter().filter(|(key, _)| key.starts_with(b"a"));
        let prefix = prefix.flat_map(|(key, list)| flat(key, list));
        assert_eq!(rows, after.chain(before).chain(prefix).collect::<Vec<_>>());
    }

    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError> {
        open(store).get(state, b"a", |_| {})
    }

    fn rows(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
