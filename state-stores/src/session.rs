//! Session stores: rows by key and the session's end and start.
//!
//! Full keys are those of [`keys::session`]; a row is the value. A row is visible while its end > stream time −
//! retention, where stream time is the highest end ever put; what has expired is invisible at once, whether or not it
//! was removed yet.

use std::ops::{ControlFlow, RangeBounds, RangeInclusive};

use crate::coder::{Coder, damaged_key};
use crate::keys::{self, TIME_LEN};
use crate::span::Span;
use crate::typed::typed_store;
use crate::window::{is_expired, visible};
use crate::{Direction, StoreError, TaskState};

/// A session's bounds, both inclusive (ms). Orders as the store does: by end, then start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// Time of its last record.
    pub end: i64,
    /// Time of its first record.
    pub start: i64,
}

impl Session {
    fn of(full: &[u8]) -> Option<Self> {
        Some(Self { end: keys::time_before(full, TIME_LEN)?, start: keys::time_before(full, 0)? })
    }
}

/// A typed view of a [`StoreKind::Session`](crate::StoreKind::Session) store. It holds codecs and scratch, no rows.
pub struct SessionStore<K: ?Sized, V: ?Sized> {
    coder: Coder<K, V>,
    scratch: Vec<u8>,
}

typed_store!(SessionStore { scratch });

impl<K: ?Sized + 'static, V: ?Sized + 'static> SessionStore<K, V> {
    /// Sets the value of a session of `key`, or deletes it.
    ///
    /// False: the session has expired already; nothing was written.
    pub fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        session: Session,
        value: Option<&V>,
    ) -> Result<bool, StoreError> {
        if is_expired(state, self.coder.store, session.end) {
            return Ok(false);
        }
        self.full(state, key, session)?;
        self.coder.write(state, value.map(|value| (&[][..], value)))?;
        Ok(true)
    }

    /// Removes a session of `key`. False: it has expired already.
    pub fn remove(
        &mut self,
        state: &mut TaskState,
        key: &K,
        session: Session,
    ) -> Result<bool, StoreError> {
        self.put(state, key, session, None)
    }

    /// Calls `read` with the value of one session, or `None`; copies nothing.
    pub fn get_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        session: Session,
        read: impl FnOnce(Option<&V>) -> R,
    ) -> Result<R, StoreError> {
        if is_expired(state, self.coder.store, session.end) {
            return Ok(read(None));
        }
        self.full(state, key, session)?;
        self.coder.read(state, |row| Ok(((), row)), |row| read(row.map(|((), value)| value)))
    }

    /// A copy of the value of one session.
    #[doc(alias = "fetch_session")]
    pub fn get(
        &mut self,
        state: &TaskState,
        key: &K,
        session: Session,
    ) -> Result<Option<V::Owned>, StoreError>
    where
        V: ToOwned,
    {
        self.get_with(state, key, session, |value| value.map(V::to_owned))
    }

    /// The value of one session, copied to `scratch`: the row stays readable while the state changes.
    pub fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        session: Session,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<&'s V>, StoreError> {
        if is_expired(state, self.coder.store, session.end) {
            return Ok(None);
        }
        self.full(state, key, session)?;
        let row = self.coder.read_into(state, |row| Ok(((), row)), scratch)?;
        Ok(row.map(|((), value)| value))
    }

    /// Visits the sessions of `key` that overlap `earliest_end..=latest_start`: those with end ≥ the one and start ≤
    /// the other, by end, then start. For a record at `t` and a gap `g` ask for `t - g ..= t + g`, for all sessions of
    /// the key for `i64::MIN..=i64::MAX`.
    #[doc(alias = "fetch")]
    pub fn find_sessions(
        &mut self,
        state: &TaskState,
        key: &K,
        overlap: RangeInclusive<i64>,
        visit: impl FnMut(Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan_key(state, key, overlap, Direction::Forward, visit)
    }

    /// As [`find_sessions`](Self::find_sessions), the latest end first.
    #[doc(alias = "backward_fetch")]
    pub fn backward_find_sessions(
        &mut self,
        state: &TaskState,
        key: &K,
        overlap: RangeInclusive<i64>,
        visit: impl FnMut(Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan_key(state, key, overlap, Direction::Reverse, visit)
    }

    /// Visits the sessions of a range of keys that overlap `earliest_end..=latest_start`, by key, end and start. Reads
    /// over sessions of other times: for queries.
    #[doc(alias = "fetch")]
    pub fn find_sessions_range<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        overlap: RangeInclusive<i64>,
        visit: impl FnMut(&K, Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, keys, overlap, Direction::Forward, visit)
    }

    /// As [`find_sessions_range`](Self::find_sessions_range), the other way round.
    #[doc(alias = "backward_fetch")]
    pub fn backward_find_sessions_range<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        overlap: RangeInclusive<i64>,
        visit: impl FnMut(&K, Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(state, keys, overlap, Direction::Reverse, visit)
    }

    fn scan_key(
        &mut self,
        state: &TaskState,
        key: &K,
        overlap: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let latest_start = *overlap.end();
        let (earliest_end, _) = visible(state, self.coder.store, overlap);
        self.coder.composed(state, key, keys::prefix)?;
        let span = Span::of_times(&self.coder.full, earliest_end, i64::MAX);
        let Some(span) = span else { return Ok(()) };
        self.coder.scan(state, &span, direction, |coder, full, row| {
            let session = Session::of(full).ok_or_else(damaged_key)?;
            if session.start > latest_start {
                return Ok(ControlFlow::Continue(()));
            }
            Ok(visit(session, coder.value_decoder.decode(row)?))
        })
    }

    fn scan<'k>(
        &mut self,
        state: &TaskState,
        keys: impl RangeBounds<&'k K>,
        overlap: RangeInclusive<i64>,
        direction: Direction,
        mut visit: impl FnMut(&K, Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let latest_start = *overlap.end();
        let (earliest_end, _) = visible(state, self.coder.store, overlap);
        let span = self.coder.composed_span(state, keys)?;
        let Self { coder, scratch } = self;
        coder.scan(state, &span, direction, |coder, full, row| {
            let session = Session::of(full).ok_or_else(damaged_key)?;
            if session.end < earliest_end || session.start > latest_start {
                return Ok(ControlFlow::Continue(()));
            }
            let key = keys::unescape(full, 2 * TIME_LEN, scratch).ok_or_else(damaged_key)?;
            Ok(visit(coder.key_decoder.decode(key)?, session, coder.value_decoder.decode(row)?))
        })
    }

    fn full(&mut self, state: &TaskState, key: &K, session: Session) -> Result<(), StoreError> {
        self.coder
            .composed(state, key, |key, out| keys::session(key, session.start, session.end, out))
    }
}
