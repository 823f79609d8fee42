//! Versioned stores: the values a key had over time, each from when it was valid (KIP-889).
//!
//! ```text
//! latest   00 | key                             → valid from (8 bytes, big-endian) | value
//! history  01 | escaped key | 00 01 | valid to  → valid from (8 bytes, big-endian) | 01 | value
//!                                                 valid from (8 bytes, big-endian) | 00   (deleted)
//! ```
//!
//! Invariants: each version but the newest has one history row, named by the time of the version that follows it. When
//! the newest version is a deletion there is no latest row, and a history row ends where the deletion begins, if need
//! be one that says nothing. History rows end, and so expire, at stream time − history retention; latest rows never do.

use std::ops::ControlFlow;

use crate::coder::{Coder, damaged_key, timestamped};
use crate::keys::{self, TIME_LEN};
use crate::span::Span;
use crate::typed::typed_store;
use crate::{CodecError, Direction, StoreError, TaskState};

pub(crate) const LATEST: u8 = 0;
pub(crate) const HISTORY: u8 = 1;

/// What ended a history row begins with when nothing is known of the time before.
const UNKNOWN: i64 = i64::MIN;

/// After so many puts as many history rows of all keys, and again as many, are looked at ([`Sweep`]).
const SWEEP_EVERY: usize = 32;

/// How far history was looked through for what has expired of keys that nobody puts any more. Forgotten with the task: who
/// begins anew deletes nothing twice.
#[derive(Default)]
struct Sweep {
    puts: usize,
    /// Where to go on; empty: at the beginning.
    from: Vec<u8>,
}

/// What became of a version that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is older than the history that is kept; nothing was written.
    Refused,
    /// It is the newest of its key.
    Latest,
    /// It is valid until this time (ms), when the next version begins.
    Until(i64),
}

/// A version: when it began, and its encoded value; `None`: deleted.
type Version = (i64, Option<Vec<u8>>);

/// A typed view of a [`StoreKind::Versioned`](crate::StoreKind::Versioned) store. It holds codecs and scratch, no rows.
pub struct VersionedKeyValueStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
    /// Full keys of the row at work: its latest row, and the prefix of its history.
    latest: Vec<u8>,
    history: Vec<u8>,
    sweep: Sweep,
}

typed_store!(VersionedKeyValueStore { latest, history, sweep });

impl<K: ?Sized + 'static, V: ?Sized + 'static> VersionedKeyValueStore<K, V> {
    /// The value of `key` from `timestamp` (ms) on, until its next version; `None`: deleted from then on. A version of
    /// the same time is replaced. Refused when it is older than stream time − history retention.
    pub fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        timestamp: i64,
        value: Option<&V>,
    ) -> Result<Put, StoreError> {
        if self.is_history_lost(state, timestamp) {
            return Ok(Put::Refused);
        }
        self.locate(state, key)?;
        match self.newest(state)? {
            Some((since, _)) if timestamp < since => self.put_late(state, timestamp, since, value),
            Some((since, old)) if since < timestamp => {
                self.put_history(state, timestamp, since, old.as_deref());
                self.put_latest(state, timestamp, value)?;
                self.forget_expired(state)?;
                Ok(Put::Latest)
            }
            _ => {
                self.put_latest(state, timestamp, value)?;
                // A deletion leaves a row of history even of a key that has no other.
                if value.is_none() {
                    self.forget_expired(state)?;
                }
                Ok(Put::Latest)
            }
        }
    }

    /// Calls `read` with the newest value of `key` and since when it is valid (ms), or `None`; copies nothing.
    pub fn get_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        self.locate(state, key)?;
        self.coder.full.clone_from(&self.latest);
        self.coder.read(state, timestamped, |row| read(row.map(|(since, value)| (value, since))))
    }

    /// The newest value of `key` and since when it is valid (ms), copied to `scratch`: it stays readable while the state
    /// changes.
    pub fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError> {
        self.locate(state, key)?;
        self.coder.full.clone_from(&self.latest);
        let row = self.coder.read_into(state, timestamped, scratch)?;
        Ok(row.map(|(since, value)| (value, since)))
    }

    /// Calls `read` with the value that `key` had at `as_of` (ms) and since when, or `None`. Of times before stream
    /// time − history retention only the newest value is known, if it is that old.
    pub fn get_as_of_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        as_of: i64,
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        let (mut read, mut result) = (Some(read), None);
        self.get_with(state, key, |row| {
            if let Some(row) = row.filter(|(_, since)| *since <= as_of) {
                result = read.take().map(|read| read(Some(row)));
            }
        })?;
        if result.is_none() && !self.is_history_lost(state, as_of) {
            let span = self.ending_after(as_of);
            self.first(state, span, Direction::Forward, |coder, _, (since, value)| {
                if let Some(value) = value.filter(|_| since <= as_of) {
                    let value = coder.value_decoder.decode(value)?;
                    result = read.take().map(|read| read(Some((value, since))));
                }
                Ok(())
            })?;
        }
        let result = result.or_else(|| read.take().map(|read| read(None)));
        Ok(result.expect("`read` was called with the value, or is still there"))
    }

    /// A copy of the newest value of `key` and since when it is valid (ms).
    pub fn get(&mut self, state: &TaskState, key: &K) -> Result<Option<(V::Owned, i64)>, StoreError>
    where
        V: ToOwned,
    {
        self.get_with(state, key, |row| row.map(|(value, since)| (value.to_owned(), since)))
    }

    /// A copy of the value `key` had at `as_of` (ms), see [`get_as_of_with`](Self::get_as_of_with).
    pub fn get_as_of(
        &mut self,
        state: &TaskState,
        key: &K,
        as_of: i64,
    ) -> Result<Option<(V::Owned, i64)>, StoreError>
    where
        V: ToOwned,
    {
        self.get_as_of_with(state, key, as_of, |row| {
            row.map(|(value, since)| (value.to_owned(), since))
        })
    }

    /// Deletes the value of `key` from `timestamp` (ms) on, until its next version. Gives what it was then and since
    /// when, as [`get_as_of`](Self::get_as_of) would have; `None` too when the deletion is refused for its age.
    pub fn delete(
        &mut self,
        state: &mut TaskState,
        key: &K,
        timestamp: i64,
    ) -> Result<Option<(V::Owned, i64)>, StoreError>
    where
        V: ToOwned,
    {
        if self.is_history_lost(state, timestamp) {
            return Ok(None);
        }
        let was = self.get_as_of(state, key, timestamp)?;
        self.put(state, key, timestamp, None)?;
        Ok(was)
    }

    fn is_history_lost(&self, state: &TaskState, time: i64) -> bool {
        state.horizon(self.coder.store).is_some_and(|horizon| time < horizon)
    }

    fn locate(&mut self, state: &TaskState, key: &K) -> Result<(), StoreError> {
        let key = self.coder.key(state, key)?;
        self.latest.clear();
        self.latest.push(LATEST);
        self.latest.extend_from_slice(key);
        self.history.clear();
        self.history.push(HISTORY);
        keys::prefix(key, &mut self.history);
        Ok(())
    }

    /// The newest version of the located key: its latest row, or a deletion that history still knows of.
    fn newest(&mut self, state: &TaskState) -> Result<Option<Version>, StoreError> {
        let store = self.coder.store;
        let latest = state.get_with(store, &self.latest, |row| {
            row.map(|row| timestamped(row).map(|(since, value)| (since, Some(value.to_vec()))))
        })?;
        if let Some(latest) = latest {
            return latest.map(Some).map_err(|error| self.coder.error(state, error));
        }
        let mut newest = None;
        let span = self.ending_after(state.horizon(store).unwrap_or(i64::MIN));
        self.first(state, span, Direction::Reverse, |_, to, _| {
            newest = Some((to, None));
            Ok(())
        })?;
        Ok(newest)
    }

    /// Puts a version that others follow; the newest began at `newest`.
    fn put_late(
        &mut self,
        state: &mut TaskState,
        timestamp: i64,
        newest: i64,
        value: Option<&V>,
    ) -> Result<Put, StoreError> {
        let mut next = None;
        let span = self.ending_after(timestamp);
        self.first(state, span, Direction::Forward, |_, to, (since, value)| {
            next = Some((to, since, value.map(<[u8]>::to_vec)));
            Ok(())
        })?;
        let valid_to = match next {
            Some((to, since, old)) if since <= timestamp => {
                if since != timestamp && since != UNKNOWN {
                    self.put_history(state, timestamp, since, old.as_deref());
                }
                to
            }
            Some((_, since, _)) => since,
            None => newest,
        };
        match value {
            Some(value) => {
                self.full_history(valid_to);
                let mut head = [1; TIME_LEN + 1];
                head[..TIME_LEN].copy_from_slice(&timestamp.to_be_bytes());
                self.coder.write(state, Some((&head, value)))?;
            }
            None => self.put_history(state, valid_to, timestamp, None),
        }
        self.forget_expired(state)?;
        Ok(Put::Until(valid_to))
    }

    /// Makes `value` the newest version; the history row that ends with it, if any, is written already.
    fn put_latest(
        &mut self,
        state: &mut TaskState,
        timestamp: i64,
        value: Option<&V>,
    ) -> Result<(), StoreError> {
        let store = self.coder.store;
        if let Some(value) = value {
            self.coder.full.clone_from(&self.latest);
            return self.coder.write(state, Some((&timestamp.to_be_bytes(), value)));
        }
        if state.get_with(store, &self.latest, |row| row.is_some())? {
            state.put(store, &self.latest, None);
        }
        self.full_history(timestamp);
        if !state.get_with(store, &self.coder.full, |row| row.is_some())? {
            self.put_history(state, timestamp, UNKNOWN, None);
        }
        Ok(())
    }

    fn put_history(&mut self, state: &mut TaskState, to: i64, since: i64, value: Option<&[u8]>) {
        self.full_history(to);
        let row = match value {
            Some(value) => [&since.to_be_bytes()[..], &[1], value].concat(),
            None => [&since.to_be_bytes()[..], &[0]].concat(),
        };
        state.put(self.coder.store, &self.coder.full, Some(&row));
    }

    /// Removes the located key's expired history, and now and then some of all keys', so that the changelog loses it too.
    fn forget_expired(&mut self, state: &mut TaskState) -> Result<(), StoreError> {
        let store = self.coder.store;
        let Some(horizon) = state.horizon(store) else { return Ok(()) };
        let Some(span) = Span::of_times(&self.history, i64::MIN, horizon) else { return Ok(()) };
        let mut expired = Vec::new();
        state.scan(store, &span.from, span.to.as_deref(), Direction::Forward, &mut |full, _| {
            expired.push(full.to_vec());
            ControlFlow::Continue(())
        })?;
        self.sweep.puts += 1;
        if self.sweep.puts.is_multiple_of(SWEEP_EVERY) {
            self.sweep(state, horizon, &mut expired)?;
        }
        for full in &expired {
            state.put(store, full, None);
        }
        Ok(())
    }

    /// Looks at the next history rows; adds what has expired to `expired`.
    fn sweep(
        &mut self,
        state: &TaskState,
        horizon: i64,
        expired: &mut Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut from = std::mem::take(&mut self.sweep.from);
        if from.is_empty() {
            from.push(HISTORY);
        }
        let (store, end, mut left) = (self.coder.store, [HISTORY + 1], 2 * SWEEP_EVERY);
        state.scan(store, &from, Some(&end), Direction::Forward, &mut |full, _| {
            if keys::time_before(full, 0).is_some_and(|to| to <= horizon) {
                expired.push(full.to_vec());
            }
            left -= 1;
            if left > 0 {
                return ControlFlow::Continue(());
            }
            self.sweep.from = [full, &[0]].concat();
            ControlFlow::Break(())
        })
    }

    /// Bounds of the located key's history rows that end after `time`.
    fn ending_after(&self, time: i64) -> Option<Span> {
        Span::of_times(&self.history, time.checked_add(1)?, i64::MAX)
    }

    /// Visits the first history row of `span`: its end, its beginning and its value.
    fn first(
        &mut self,
        state: &TaskState,
        span: Option<Span>,
        direction: Direction,
        mut visit: impl FnMut(&mut Coder<K, V>, i64, (i64, Option<&[u8]>)) -> Result<(), CodecError>,
    ) -> Result<(), StoreError> {
        let Some(span) = span else { return Ok(()) };
        self.coder.scan(state, &span, direction, |coder, full, row| {
            let ends = keys::time_before(full, 0).ok_or_else(damaged_key)?;
            let (since, rest) = timestamped(row)?;
            let value = match rest.split_first() {
                Some((1, value)) => Some(value),
                Some((0, [])) => None,
                _ => return Err(CodecError::new("versioned", "neither a value nor a deletion")),
            };
            visit(coder, ends, (since, value))?;
            Ok(ControlFlow::Break(()))
        })
    }

    fn full_history(&mut self, to: i64) {
        self.coder.full.clone_from(&self.history);
        keys::time(to, &mut self.coder.full);
    }
}
