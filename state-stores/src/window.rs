//! Window stores: rows by key and window start.
//!
//! Full keys are those of [`keys::window`]; a row is `timestamp (8 bytes, big-endian) | value`, where the timestamp is
//! that of the newest record in it. A row is visible while its start > stream time − retention, where stream time is
//! the highest start ever put; what has expired is invisible at once, whether or not it was removed yet.

use std::ops::{ControlFlow, RangeBounds, RangeInclusive};

use crate::coder::{Coder, damaged_key, timestamped};
use crate::keys::{self, Sequence, TIME_LEN};
use crate::span::Span;
use crate::typed::typed_store;
use crate::{Direction, StoreError, StoreIndex, StoreKind, TaskState};

/// A typed view of a [`StoreKind::Window`] store. It holds codecs and scratch, no rows.
pub struct WindowStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
    scratch: Vec<u8>,
}

typed_store!(WindowStore { scratch });

impl<K: ?Sized + 'static, V: ?Sized + 'static> WindowStore<K, V> {
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

    /// Calls `read` with the value and timestamp of one window, or `None`; copies nothing. Not for stores with `duplicates`.
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
        visit: impl FnMut(i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan_key(state, key, starts, Direction::Forward, visit)
    }

    /// As [`fetch`](Self::fetch), the newest window first.
    pub fn backward_fetch(
        &mut self,
        state: &TaskState,
        key: &K,
        starts: RangeInclusive<i64>,
        visit: impl FnMut(i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan_key(state, key, starts, Direction::Reverse, visit)
    }

    /// Visits the windows of a range of keys whose start is in `starts`, by key, then start:
    /// `visit(key, start, value, timestamp)`. Reads over windows of other times: for queries.
    pub fn fetch_range<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        starts: RangeInclusive<i64>,
        visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, keys, starts, Direction::Forward, visit)
    }

    /// As [`fetch_range`](Self::fetch_range), the other way round.
    pub fn backward_fetch_range<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        starts: RangeInclusive<i64>,
        visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, keys, starts, Direction::Reverse, visit)
    }

    /// Visits the windows of all keys whose start is in `starts`, by key, then start. All windows there are:
    /// `i64::MIN..=i64::MAX`.
    #[doc(alias = "all")]
    pub fn fetch_all(
        &mut self,
        state: &TaskState,
        starts: RangeInclusive<i64>,
        visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, .., starts, Direction::Forward, visit)
    }

    /// As [`fetch_all`](Self::fetch_all), the other way round.
    #[doc(alias = "backward_all")]
    pub fn backward_fetch_all(
        &mut self,
        state: &TaskState,
        starts: RangeInclusive<i64>,
        visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, .., starts, Direction::Reverse, visit)
    }

    fn scan_key(
        &mut self,
        state: &TaskState,
        key: &K,
        starts: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (first, last) = visible(state, self.coder.store, starts);
        self.coder.composed(state, key, keys::prefix)?;
        let Some(span) = Span::of_times(&self.coder.full, first, last) else { return Ok(()) };
        let kind = state.spec(self.coder.store).kind;
        self.coder.scan(state, &span, direction, |coder, full, row| {
            let start = kind.row_time(full).ok_or_else(damaged_key)?;
            let (timestamp, value) = timestamped(row)?;
            Ok(visit(start, coder.value_decoder.decode(value)?, timestamp))
        })
    }

    fn scan<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        starts: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(&K, i64, &V, i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (first, last) = visible(state, self.coder.store, starts);
        let span = self.coder.composed_span(state, keys)?;
        let kind = state.spec(self.coder.store).kind;
        let suffix = match kind {
            StoreKind::Window { duplicates: true, .. } => TIME_LEN + Sequence::LEN,
            _ => TIME_LEN,
        };
        let Self { coder, scratch } = self;
        coder.scan(state, &span, direction, |coder, full, row| {
            let start = kind.row_time(full).ok_or_else(damaged_key)?;
            if start < first || start > last {
                return Ok(ControlFlow::Continue(()));
            }
            let key = keys::unescape(full, suffix, scratch).ok_or_else(damaged_key)?;
            let (timestamp, value) = timestamped(row)?;
            let (key, value) = (coder.key_decoder.decode(key)?, coder.value_decoder.decode(value)?);
            Ok(visit(key, start, value, timestamp))
        })
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
        self.coder.write_timestamped(state, value)?;
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
