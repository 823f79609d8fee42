//! Key-value stores: rows by key, with or without a timestamp.
//!
//! ```text
//! KeyValueStore             key → value
//! TimestampedKeyValueStore  key → timestamp (8 bytes, big-endian) | value
//! ```
//!
//! Keys order by their encoded bytes.

use std::ops::ControlFlow;

use crate::coder::{Coder, Span, timestamped};
use crate::{CodecError, Direction, Serde, StoreError, StoreIndex, TaskState};

/// A typed view of a [`StoreKind::KeyValue`](crate::StoreKind::KeyValue) store. It holds codecs and scratch, no rows:
/// each call borrows the task's state, so one processor can use several stores.
pub struct KeyValueStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyValueStore").field(&self.coder.store).finish()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KeyValueStore<K, V> {
    /// The store at `store` of a task, with these codecs.
    pub fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self { coder: Coder::new(store, keys, values) }
    }

    /// Calls `read` with the value of `key`, or `None`; copies nothing.
    pub fn get_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        read: impl FnOnce(Option<&V>) -> R,
    ) -> Result<R, StoreError> {
        self.coder.plain(state, key)?;
        self.coder.read(state, |row| Ok(((), row)), |row| read(row.map(|((), value)| value)))
    }

    /// A copy of the value of `key`.
    pub fn get(&mut self, state: &TaskState, key: &K) -> Result<Option<V::Owned>, StoreError>
    where
        V: ToOwned,
    {
        self.get_with(state, key, |value| value.map(V::to_owned))
    }

    /// Sets the value of `key`, or deletes it.
    pub fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        value: Option<&V>,
    ) -> Result<(), StoreError> {
        self.coder.plain(state, key)?;
        self.coder.write(state, value.map(|value| (&[][..], value)))
    }

    /// Visits the rows with `from` ≤ key < `to`, by the order of the keys' bytes; `None`: unbounded.
    pub fn range(
        &mut self,
        state: &TaskState,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let visit = |key: &K, (): (), value: &V| visit(key, value);
        scan(&mut self.coder, state, (from, to), direction, |row| Ok(((), row)), visit)
    }
}

/// A typed view of a key-value store whose rows carry the timestamp of the record that wrote them.
pub struct TimestampedKeyValueStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TimestampedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TimestampedKeyValueStore").field(&self.coder.store).finish()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> TimestampedKeyValueStore<K, V> {
    /// The store at `store` of a task, with these codecs.
    pub fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self { coder: Coder::new(store, keys, values) }
    }

    /// Calls `read` with the value of `key` and its timestamp (ms), or `None`; copies nothing.
    pub fn get_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        self.coder.plain(state, key)?;
        self.coder
            .read(state, timestamped, |row| read(row.map(|(timestamp, value)| (value, timestamp))))
    }

    /// A copy of the value of `key`, and its timestamp (ms).
    pub fn get(&mut self, state: &TaskState, key: &K) -> Result<Option<(V::Owned, i64)>, StoreError>
    where
        V: ToOwned,
    {
        self.get_with(state, key, |row| row.map(|(value, timestamp)| (value.to_owned(), timestamp)))
    }

    /// The value of `key` and its timestamp (ms), copied to `scratch`: the row stays readable while the state changes.
    pub fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError> {
        self.coder.plain(state, key)?;
        let row = self.coder.read_into(state, timestamped, scratch)?;
        Ok(row.map(|(timestamp, value)| (value, timestamp)))
    }

    /// Sets the value of `key` with its timestamp (ms), or deletes it.
    pub fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        value: Option<(&V, i64)>,
    ) -> Result<(), StoreError> {
        self.coder.plain(state, key)?;
        match value {
            Some((value, timestamp)) => {
                self.coder.write(state, Some((&timestamp.to_be_bytes(), value)))
            }
            None => self.coder.write(state, None),
        }
    }

    /// Visits the rows with `from` ≤ key < `to`, by the order of the keys' bytes; `None`: unbounded.
    pub fn range(
        &mut self,
        state: &TaskState,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
        mut visit: impl FnMut(&K, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        scan(&mut self.coder, state, (from, to), direction, timestamped, |key, timestamp, value| {
            visit(key, value, timestamp)
        })
    }
}

/// Visits rows by key; `head` splits a row into what precedes the value, and the value.
fn scan<K: ?Sized + 'static, V: ?Sized + 'static, H>(
    coder: &mut Coder<K, V>,
    state: &TaskState,
    (from, to): (Option<&K>, Option<&K>),
    direction: Direction,
    head: impl Fn(&[u8]) -> Result<(H, &[u8]), CodecError>,
    mut visit: impl FnMut(&K, H, &V) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut bound = |key: &K| coder.key(state, key).map(<[u8]>::to_vec);
    let from = from.map(&mut bound).transpose()?.unwrap_or_default();
    let to = to.map(bound).transpose()?;
    let span = Span { from: &from, to: to.as_deref(), direction };
    coder.scan(state, &span, |coder, key, row| {
        let (head, value) = head(row)?;
        Ok(visit(coder.key_decoder.decode(key)?, head, coder.value_decoder.decode(value)?))
    })
}
