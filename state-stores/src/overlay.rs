//! The overlay: writes of the open transaction, over all stores of a task, with one savepoint.
//!
//! Invariant: rolling back to the savepoint leaves exactly the rows and stream times it was taken with.

use crate::rows::{Hashed, Previous, Rows};
use crate::{StoreIndex, StoreSpec};

/// A point of the open transaction to go back to. It ends when used, with the next
/// savepoint, with apply and with discard.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a savepoint that is never rolled back to costs an undo log for nothing"]
pub struct Savepoint(u64);

#[derive(Debug, Default)]
pub(crate) struct StoreOverlay {
    pub(crate) rows: Rows,
    /// Highest time put in this transaction.
    pub(crate) stream_time: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) stores: Vec<StoreOverlay>,
    /// Number of the savepoint that is open.
    savepoint: Option<u64>,
    savepoints: u64,
    /// What the puts since the savepoint found, by store.
    undo: Vec<(usize, Previous)>,
    saved_times: Vec<Option<i64>>,
}

impl Overlay {
    pub(crate) fn new(stores: usize) -> Self {
        Self {
            stores: (0..stores).map(|_| StoreOverlay::default()).collect(),
            savepoint: None,
            savepoints: 0,
            undo: Vec::new(),
            saved_times: Vec::with_capacity(stores),
        }
    }

    pub(crate) fn put(
        &mut self,
        spec: &StoreSpec,
        store: StoreIndex,
        key: Hashed<'_>,
        value: Option<&[u8]>,
    ) {
        let overlay = &mut self.stores[store.0];
        overlay.stream_time = overlay.stream_time.max(spec.kind.put_time(key.key, value));
        let previous = overlay.rows.put(key, value.map(Into::into));
        if self.savepoint.is_some() {
            self.undo.push((store.0, previous));
        }
    }

    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.undo.clear();
        self.savepoints += 1;
        self.savepoint = Some(self.savepoints);
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
        for (store, previous) in self.undo.drain(..).rev() {
            self.stores[store].rows.undo(previous);
        }
        for (store, time) in self.stores.iter_mut().zip(&self.saved_times) {
            store.stream_time = *time;
        }
    }

    /// Empties the overlay and ends the savepoint; `take` may take what each store has.
    pub(crate) fn take(&mut self, mut take: impl FnMut(StoreIndex, &mut StoreOverlay)) {
        self.undo.clear();
        self.savepoint = None;
        for (index, store) in self.stores.iter_mut().enumerate() {
            take(StoreIndex(index), store);
            store.rows.clear();
            store.stream_time = None;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.stores.iter().map(|store| store.rows.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    const STORE: StoreIndex = StoreIndex(0);

    fn put(overlay: &mut Overlay, key: &[u8], value: Option<&[u8]>) {
        overlay.put(&spec(), STORE, Hashed::new(key), value);
    }

    fn spec() -> StoreSpec {
        StoreSpec {
            name: "a".into(),
            changelog_topic: "a-changelog".into(),
            kind: StoreKind::KeyValue,
        }
    }

    #[test]
    fn undo_runs_backwards_over_several_writes_of_one_key() {
        let mut overlay = Overlay::new(1);
        put(&mut overlay, b"old", Some(b"before"));
        put(&mut overlay, b"deleted", None);
        let bytes = overlay.bytes();
        let savepoint = overlay.savepoint();
        for value in [Some(&b"first"[..]), None, Some(b"second")] {
            for key in [&b"old"[..], b"deleted", b"new"] {
                put(&mut overlay, key, value);
            }
        }
        overlay.rollback_to(savepoint);
        let rows = overlay.stores[0].rows.sorted();
        let left: Vec<_> = rows.iter().collect();
        assert_eq!(left, [(&b"deleted"[..], None), (b"old", Some(&b"before"[..]))]);
        assert_eq!(overlay.bytes(), bytes);
    }

    #[test]
    fn a_released_savepoint_keeps_no_log() {
        let mut overlay = Overlay::new(1);
        put(&mut overlay, b"k", Some(b"1"));
        assert!(overlay.undo.is_empty(), "without a savepoint nothing is logged");
        let _first = overlay.savepoint();
        put(&mut overlay, b"k", Some(b"2"));
        let second = overlay.savepoint();
        assert!(overlay.undo.is_empty());
        put(&mut overlay, b"k", Some(b"3"));
        overlay.rollback_to(second);
        assert_eq!(overlay.stores[0].rows.get(Hashed::new(b"k")), Some(&Some(b"2"[..].into())));
    }
}
