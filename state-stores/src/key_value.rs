//! Key-value stores: rows by key, with or without a timestamp.
//!
//! ```text
//! KeyValueStore             key → value
//! TimestampedKeyValueStore  key → timestamp (8 bytes, big-endian) | value
//! ```
//!
//! Keys order by their encoded bytes.

use std::ops::ControlFlow;

use crate::coder::{Coder, timestamped};
use crate::keyed::{keyed_scans, keyed_writes};
use crate::span::Span;
use crate::typed::typed_store;
use crate::{Direction, StoreError, TaskState};

/// A typed view of a [`StoreKind::KeyValue`](crate::StoreKind::KeyValue) store. It holds codecs and scratch, no rows:
/// each call borrows the task's state, so one processor can use several stores.
///
/// ```
/// # use std::ops::ControlFlow::{self, Continue};
/// # use std::sync::Arc;
/// # use state_stores::{I64Be, KeyValueStore, MemoryEngine, Serde, StateDir, StateOptions, StoreIndex, StoreKind, StoreSpec, Utf8};
/// # let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log"))?;
/// # let spec = StoreSpec { name: "s".into(), changelog_topic: "c".into(), kind: StoreKind::KeyValue };
/// # let mut state = dir.task_state(0, &[spec])?;
/// # let (keys, values): (Serde<str>, Serde<i64>) = (Arc::new(Utf8), Arc::new(I64Be));
/// let mut stock = KeyValueStore::new(StoreIndex(0), &keys, &values);
/// stock.put_all(&mut state, [("cup", Some(&3)), ("plate", Some(&5)), ("pot", Some(&1))])?;
/// assert_eq!(stock.put_if_absent(&mut state, "pot", &9)?, Some(1));
///
/// let mut seen = Vec::new();
/// stock.range(&state, "cup"..="plate", |key, n| {
///     seen.push((key.to_owned(), *n));
///     Continue(())
/// })?;
/// assert_eq!(seen, [("cup".to_owned(), 3), ("plate".to_owned(), 5)]);
///
/// // To write while going through rows, go through a copy of them.
/// for (key, n) in stock.copy_of(&state, "p"..)? {
///     stock.put(&mut state, &key, Some(&(n + 1)))?;
/// }
/// assert_eq!(stock.delete(&mut state, "plate")?, Some(6));
/// # Ok::<(), state_stores::StoreError>(())
/// ```
///
/// A visit borrows the state: what it sees is the state at its beginning, and writing meanwhile doesn't compile.
///
/// ```compile_fail,E0502
/// # use std::ops::ControlFlow;
/// # use state_stores::{KeyValueStore, StoreIndex, TaskState, StoreError};
/// # fn f(stock: &mut KeyValueStore<str, i64>, state: &mut TaskState) -> Result<(), StoreError> {
/// stock.all(state, |_, _| {
///     state.put(StoreIndex(0), b"new", None);
///     ControlFlow::Continue(())
/// })
/// # }
/// ```
pub struct KeyValueStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

/// A copy of a row: key and value.
type Copied<K, V> = (<K as ToOwned>::Owned, <V as ToOwned>::Owned);

typed_store!(KeyValueStore {});
keyed_writes!(KeyValueStore, row: &'r V, copy: V::Owned);
keyed_scans!(KeyValueStore, FnMut(&K, &V) -> ControlFlow<()>);

impl<K: ?Sized + 'static, V: ?Sized + 'static> KeyValueStore<K, V> {
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

    /// Copies of the rows of a range, by the order of the keys' bytes: they stay as they are while the state changes.
    pub fn copy_of<'k>(
        &mut self,
        state: &TaskState,
        keys: impl std::ops::RangeBounds<&'k K>,
    ) -> Result<Vec<Copied<K, V>>, StoreError>
    where
        K: ToOwned,
        V: ToOwned,
    {
        let mut rows = Vec::new();
        self.range(state, keys, |key, value| {
            rows.push((key.to_owned(), value.to_owned()));
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    fn scan(
        &mut self,
        state: &TaskState,
        span: &Span,
        direction: Direction,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.coder.scan(state, span, direction, |coder, key, row| {
            Ok(visit(coder.key_decoder.decode(key)?, coder.value_decoder.decode(row)?))
        })
    }
}

/// A typed view of a key-value store whose rows carry the timestamp of the record that wrote them (ms).
pub struct TimestampedKeyValueStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
}

typed_store!(TimestampedKeyValueStore {});
keyed_writes!(TimestampedKeyValueStore, row: (&'r V, i64), copy: (V::Owned, i64));
keyed_scans!(TimestampedKeyValueStore, FnMut(&K, &V, i64) -> ControlFlow<()>);

impl<K: ?Sized + 'static, V: ?Sized + 'static> TimestampedKeyValueStore<K, V> {
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
        self.coder.write_timestamped(state, value)
    }

    fn scan(
        &mut self,
        state: &TaskState,
        span: &Span,
        direction: Direction,
        mut visit: impl FnMut(&K, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.coder.scan(state, span, direction, |coder, key, row| {
            let (timestamp, value) = timestamped(row)?;
            let (key, value) = (coder.key_decoder.decode(key)?, coder.value_decoder.decode(value)?);
            Ok(visit(key, value, timestamp))
        })
    }
}
