//! The overlay: writes of the open transaction, over all stores of a task, with one savepoint.
//!
//! Invariant: rolling back to the savepoint leaves exactly the rows and stream times it was taken with.

use std::ops::Range;

use crate::rows::{Rows, Value, row_bytes};
use crate::{StoreIndex, StoreSpec};

/// A point of the open transaction to go back to. It ends when used, with the next
/// savepoint, with apply and with discard.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a savepoint that is never rolled back to costs an undo log for nothing"]
pub struct Savepoint(u64);

#[derive(Debug, Default)]
pub(crate) struct StoreOverlay {
    pub(crate) rows: Rows,
    /// Highest row time written in this transaction.
    pub(crate) stream_time: Option<i64>,
}

#[derive(Debug)]
struct Undo {
    store: usize,
    /// Where the key lies in the undo log's buffer.
    key: Range<usize>,
    /// What the overlay had: nothing, or a value or tombstone.
    previous: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) stores: Vec<StoreOverlay>,
    bytes: usize,
    /// Number of the savepoint that is open.
    savepoint: Option<u64>,
    savepoints: u64,
    undo: Vec<Undo>,
    undo_keys: Vec<u8>,
    saved_bytes: usize,
    saved_times: Vec<Option<i64>>,
}

impl Overlay {
    pub(crate) fn new(stores: usize) -> Self {
        Self {
            stores: (0..stores).map(|_| StoreOverlay::default()).collect(),
            bytes: 0,
            savepoint: None,
            savepoints: 0,
            undo: Vec::new(),
            undo_keys: Vec::new(),
            saved_bytes: 0,
            saved_times: Vec::with_capacity(stores),
        }
    }

    pub(crate) fn put(
        &mut self,
        spec: &StoreSpec,
        store: StoreIndex,
        key: &[u8],
        value: Option<&[u8]>,
    ) {
        let overlay = &mut self.stores[store.0];
        overlay.stream_time = overlay.stream_time.max(spec.kind.row_time(key));
        let value: Value = value.map(Into::into);
        let new_len = value.as_ref().map_or(0, |value| value.len());
        let previous = match overlay.rows.get_mut(key) {
            Some(slot) => {
                let previous = std::mem::replace(slot, value);
                self.bytes += new_len;
                self.bytes -= previous.as_ref().map_or(0, |value| value.len());
                Some(previous)
            }
            None => {
                self.bytes += row_bytes(key, value.as_deref());
                overlay.rows.insert(key.into(), value);
                None
            }
        };
        if self.savepoint.is_some() {
            let start = self.undo_keys.len();
            self.undo_keys.extend_from_slice(key);
            self.undo.push(Undo { store: store.0, key: start..self.undo_keys.len(), previous });
        }
    }

    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.forget_undo();
        self.savepoints += 1;
        self.savepoint = Some(self.savepoints);
        self.saved_bytes = self.bytes;
        self.saved_times.clear();
        self.saved_times.extend(self.stores.iter().map(|store| store.stream_time));
        Savepoint(self.savepoints)
    }

    pub(crate) fn rollback_to(&mut self, savepoint: Savepoint) {
        assert_eq!(
            self.savepoint.take(),
            Some(savepoint.0),
            "rolled back to a savepoint that has ended"
        );
        for Undo { store, key, previous } in self.undo.drain(..).rev() {
            let rows = &mut self.stores[store].rows;
            let key = &self.undo_keys[key];
            match (previous, rows.get_mut(key)) {
                (Some(value), Some(slot)) => *slot = value,
                _ => {
                    rows.remove(key);
                }
            }
        }
        self.undo_keys.clear();
        self.bytes = self.saved_bytes;
        for (store, time) in self.stores.iter_mut().zip(&self.saved_times) {
            store.stream_time = *time;
        }
    }

    /// Empties the overlay and ends the savepoint; `take` gets what each store had.
    pub(crate) fn take(&mut self, mut take: impl FnMut(StoreIndex, StoreOverlay)) {
        self.forget_undo();
        self.savepoint = None;
        self.bytes = 0;
        for (index, store) in self.stores.iter_mut().enumerate() {
            take(StoreIndex(index), std::mem::take(store));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget_undo(&mut self) {
        self.undo.clear();
        self.undo_keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    const STORE: StoreIndex = StoreIndex(0);

    fn spec() -> StoreSpec {
        StoreSpec {
            name: "a".into(),
            changelog_topic: "a-changelog".into(),
            kind: StoreKind::KeyValue,
        }
    }

    #[test]
    fn undo_runs_backwards_over_several_writes_of_one_key() {
        let (spec, mut overlay) = (spec(), Overlay::new(1));
        overlay.put(&spec, STORE, b"old", Some(b"before"));
        overlay.put(&spec, STORE, b"deleted", None);
        let (before, bytes) = (overlay.stores[0].rows.clone(), overlay.bytes());
        let savepoint = overlay.savepoint();
        for value in [Some(&b"first"[..]), None, Some(b"second")] {
            for key in [&b"old"[..], b"deleted", b"new"] {
                overlay.put(&spec, STORE, key, value);
            }
        }
        overlay.rollback_to(savepoint);
        assert_eq!(overlay.stores[0].rows, before);
        assert_eq!(overlay.bytes(), bytes);
    }

    #[test]
    fn a_released_savepoint_keeps_no_log() {
        let (spec, mut overlay) = (spec(), Overlay::new(1));
        overlay.put(&spec, STORE, b"k", Some(b"1"));
        assert!(overlay.undo.is_empty(), "without a savepoint nothing is logged");
        let _first = overlay.savepoint();
        overlay.put(&spec, STORE, b"k", Some(b"2"));
        let second = overlay.savepoint();
        assert!(overlay.undo.is_empty() && overlay.undo_keys.is_empty());
        overlay.put(&spec, STORE, b"k", Some(b"3"));
        overlay.rollback_to(second);
        assert_eq!(overlay.stores[0].rows[&b"k"[..]].as_deref(), Some(&b"2"[..]));
    }
}
