//! List stores: several values for one key, in the order they came.
//!
//! A list is one row, `length (4 bytes, big-endian) | value` for each value: its changelog record is the whole list.
//! For short lists: appending rewrites it.

use std::ops::ControlFlow;

use crate::coder::{Coder, Span};
use crate::{CodecError, Direction, Serde, StoreError, StoreIndex, TaskState};

/// A typed view of a [`StoreKind::KeyValue`](crate::StoreKind::KeyValue) store whose rows are lists. It holds codecs
/// and scratch, no rows.
pub struct ListStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for ListStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ListStore").field(&self.coder.store).finish()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> ListStore<K, V> {
    /// The store at `store` of a task, with these codecs.
    pub fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self { coder: Coder::new(store, keys, values) }
    }

    /// Adds a value to the end of the list of `key`.
    pub fn append(&mut self, state: &mut TaskState, key: &K, value: &V) -> Result<(), StoreError> {
        self.coder.plain(state, key)?;
        self.coder.append(state, value)
    }

    /// Visits the values of `key`, in the order they were appended.
    pub fn get(
        &mut self,
        state: &TaskState,
        key: &K,
        mut visit: impl FnMut(&V),
    ) -> Result<(), StoreError> {
        self.coder.plain(state, key)?;
        let Coder { store, full, value_decoder, .. } = &mut self.coder;
        let read = state.get_with(*store, full, |row| {
            values(row.unwrap_or_default())
                .try_for_each(|value| value_decoder.decode(value?).map(&mut visit))
        })?;
        read.map_err(|error| self.coder.error(state, error))
    }

    /// Removes the list of `key`; false: there was none.
    pub fn delete(&mut self, state: &mut TaskState, key: &K) -> Result<bool, StoreError> {
        self.coder.plain(state, key)?;
        let there = state.get_with(self.coder.store, &self.coder.full, |row| row.is_some())?;
        if there {
            self.coder.write(state, None)?;
        }
        Ok(there)
    }

    /// Visits the values of the lists with `from` ≤ key < `to` (`None`: unbounded), by the order of the keys' bytes, and
    /// of each list in the order they were appended, whatever the direction.
    pub fn range(
        &mut self,
        state: &TaskState,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut bound = |key: &K| self.coder.key(state, key).map(<[u8]>::to_vec);
        let (from, to) = (from.map(&mut bound).transpose()?, to.map(bound).transpose()?);
        let span = Span { from: from.as_deref().unwrap_or_default(), to: to.as_deref(), direction };
        self.coder.scan(state, &span, |coder, key, row| {
            let key = coder.key_decoder.decode(key)?;
            for value in values(row) {
                if visit(key, coder.value_decoder.decode(value?)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// The encoded values of a row.
fn values(mut row: &[u8]) -> impl Iterator<Item = Result<&[u8], CodecError>> {
    std::iter::from_fn(move || {
        if row.is_empty() {
            return None;
        }
        let split = row
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let Some((value, rest)) = split else {
            row = &[];
            return Some(Err(CodecError::new("list", "a value is cut off")));
        };
        row = rest;
        Some(Ok(value))
    })
}
