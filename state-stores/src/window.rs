//! Window stores: rows by key and window start.
//!
//! Full keys are those of [`keys::window`]; a row is `timestamp (8 bytes, big-endian) | value`, where the timestamp is
//! that of the newest record in it. A row is visible while its start > stream time − retention, where stream time is
//! the highest start ever put; what has expired is invisible at once, whether or not it was removed yet.

use std::ops::{ControlFlow, RangeInclusive};

use crate::coder::{Coder, Span, damaged_key, timestamped};
use crate::keys::{self, Sequence, TIME_LEN};
use crate::{Direction, Serde, StoreError, StoreIndex, StoreKind, TaskState};

/// A typed view of a [`StoreKind::Window`] store. It holds codecs and scratch, no rows.
pub struct WindowStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
    scratch: Vec<u8>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for WindowStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WindowStore").field(&self.coder.store).finish()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> WindowStore<K, V> {
    /// The store at `store` of a task, with these codecs.
    pub fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self { coder: Coder::new(store, keys, values), scratch: Vec::new() }
    }

    /// Sets the value of the window of `key` that begins at `start` (ms), with a timestamp (ms), or deletes it.
    ///
    /// False: the window has expired already; nothing was written.
    pub fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        start: i64,
        value: Option<(&V, i64)>,
    ) -> Result<bool, StoreError> {
        self.put_row(state, key, start, None, value)
    }

    /// Adds a row beside those of the same key and start: for stores opened with `duplicates`.
    ///
    /// False: the time has expired already; nothing was written.
    pub fn put_duplicate(
        &mut self,
        state: &mut TaskState,
        key: &K,
        start: i64,
        sequence: Sequence,
        value: Option<(&V, i64)>,
    ) -> Result<bool, StoreError> {
        self.put_row(state, key, start, Some(sequence), value)
    }

    /// Calls `read` with the value and timestamp of one window, or `None`. Not for stores with `duplicates`.
    pub fn get_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        start: i64,
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        if is_expired(state, self.coder.store, start) {
            return Ok(read(None));
        }
        self.coder.composed(state, key, |key, out| keys::window(key, start, None, out))?;
        self.coder
            .read(state, timestamped, |row| read(row.map(|(timestamp, value)| (value, timestamp))))
    }

    /// A copy of the value and timestamp of one window. Not for stores with `duplicates`.
    pub fn get(
        &mut self,
        state: &TaskState,
        key: &K,
        start: i64,
    ) -> Result<Option<(V::Owned, i64)>, StoreError>
    where
        V: ToOwned,
    {
        self.get_with(state, key, start, |row| {
            row.map(|(value, timestamp)| (value.to_owned(), timestamp))
        })
    }

    /// The value and timestamp of one window, copied to `scratch`: the row stays readable while the state changes.
    /// Not for stores with `duplicates`.
    pub fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        start: i64,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError> {
        if is_expired(state, self.coder.store, start) {
            return Ok(None);
        }
        self.coder.composed(state, key, |key, out| keys::window(key, start, None, out))?;
        let row = self.coder.read_into(state, timestamped, scratch)?;
        Ok(row.map(|(timestamp, value)| (value, timestamp)))
    }

    /// Visits the windows of `key` whose start is in `starts`, by start (duplicates by sequence):
    /// `visit(start, value, timestamp)`.
    pub fn fetch(
        &mut self,
        state: &TaskState,
        key: &K,
        starts: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (first, last) = visible(state, self.coder.store, starts);
        self.coder.composed(state, key, keys::prefix)?;
        let Some((from, to)) = time_bounds(&self.coder.full, first, last) else { return Ok(()) };
        let kind = state.spec(self.coder.store).kind;
        self.coder.scan(
            state,
            &Span { from: &from, to: Some(&to), direction },
            |coder, full, row| {
                let start = kind.row_time(full).ok_or_else(damaged_key)?;
                let (timestamp, value) = timestamped(row)?;
                Ok(visit(start, coder.value_decoder.decode(value)?, timestamp))
            },
        )
    }

    /// Visits the windows of all keys with `from` ≤ key < `to` (`None`: unbounded) whose start is in `starts`, by key,
    /// then start: `visit(key, start, value, timestamp)`. Reads over windows of other times: for queries.
    pub fn range(
        &mut self,
        state: &TaskState,
        (from, to): (Option<&K>, Option<&K>),
        starts: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (first, last) = visible(state, self.coder.store, starts);
        let (from, to) = self.coder.key_bounds(state, (from, to))?;
        let kind = state.spec(self.coder.store).kind;
        let suffix = match kind {
            StoreKind::Window { duplicates: true, .. } => TIME_LEN + Sequence::LEN,
            _ => TIME_LEN,
        };
        let Self { coder, scratch } = self;
        coder.scan(
            state,
            &Span { from: &from, to: to.as_deref(), direction },
            |coder, full, row| {
                let start = kind.row_time(full).ok_or_else(damaged_key)?;
                if start < first || start > last {
                    return Ok(ControlFlow::Continue(()));
                }
                let key = keys::unescape(full, suffix, scratch).ok_or_else(damaged_key)?;
                let (timestamp, value) = timestamped(row)?;
                Ok(visit(
                    coder.key_decoder.decode(key)?,
                    start,
                    coder.value_decoder.decode(value)?,
                    timestamp,
                ))
            },
        )
    }

    fn put_row(
        &mut self,
        state: &mut TaskState,
        key: &K,
        start: i64,
        sequence: Option<Sequence>,
        value: Option<(&V, i64)>,
    ) -> Result<bool, StoreError> {
        if is_expired(state, self.coder.store, start) {
            return Ok(false);
        }
        self.coder.composed(state, key, |key, out| keys::window(key, start, sequence, out))?;
        match value {
            Some((value, timestamp)) => {
                self.coder.write(state, Some((&timestamp.to_be_bytes(), value)))?
            }
            None => self.coder.write(state, None)?,
        }
        Ok(true)
    }
}

/// Whether a row of this time is invisible.
pub(crate) fn is_expired(state: &TaskState, store: StoreIndex, time: i64) -> bool {
    state.horizon(store).is_some_and(|horizon| time <= horizon)
}

/// First and last visible time of a range.
pub(crate) fn visible(
    state: &TaskState,
    store: StoreIndex,
    times: RangeInclusive<i64>,
) -> (i64, i64) {
    let oldest = state.horizon(store).map_or(i64::MIN, |horizon| horizon.saturating_add(1));
    (oldest.max(*times.start()), *times.end())
}

/// The full keys that begin with `prefix` and a time of `first..=last`, as `[from, to)`; `None`: there are none.
pub(crate) fn time_bounds(prefix: &[u8], first: i64, last: i64) -> Option<(Vec<u8>, Vec<u8>)> {
    if first > last {
        return None;
    }
    let bound = |time: i64| [prefix, &keys::ordered(time)].concat();
    let to = match last.checked_add(1) {
        Some(after) => bound(after),
        None => keys::after_prefix(prefix)?,
    };
    Some((bound(first), to))
}
