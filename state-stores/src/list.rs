//! List stores: several values for one key, in the order they came.
//!
//! A list is one row, `length (4 bytes, big-endian) | value` for each value: its changelog record is the whole list.
//! For short lists: appending rewrites it.

use std::ops::ControlFlow;

use crate::coder::Coder;
use crate::keyed::keyed_scans;
use crate::span::Span;
use crate::typed::typed_store;
use crate::{CodecError, Direction, StoreError, TaskState};

/// A typed view of a [`StoreKind::KeyValue`](crate::StoreKind::KeyValue) store whose rows are lists. It holds codecs
/// and scratch, no rows.
///
/// Scans visit each value of a list with its key, in the order they were appended whatever the direction.
pub struct ListStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

typed_store!(ListStore {});
keyed_scans!(ListStore, FnMut(&K, &V) -> ControlFlow<()>);

impl<K: ?Sized + 'static, V: ?Sized + 'static> ListStore<K, V> {
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

    fn scan(
        &mut self,
        state: &TaskState,
        span: &Span,
        direction: Direction,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.coder.scan(state, span, direction, |coder, key, row| {
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
