//! Session stores: rows by key and the session's end and start.
//!
//! Full keys are those of [`keys::session`]; a row is the value. A row is visible while its end > stream time −
//! retention, where stream time is the highest end ever put; what has expired is invisible at once, whether or not it
//! was removed yet.

use std::ops::{ControlFlow, RangeInclusive};

use crate::coder::{Coder, Span, damaged_key};
use crate::keys::{self, TIME_LEN};
use crate::window::{is_expired, time_bounds, visible};
use crate::{Direction, Serde, StoreError, StoreIndex, TaskState};

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

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for SessionStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionStore").field(&self.coder.store).finish()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> SessionStore<K, V> {
    /// The store at `store` of a task, with these codecs.
    pub fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self { coder: Coder::new(store, keys, values), scratch: Vec::new() }
    }

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

    /// Calls `read` with the value of one session, or `None`.
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
    /// the other, by end, then start. For a record at `t` and a gap `g` ask for `t - g ..= t + g`.
    pub fn find(
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
        let Some((from, to)) = time_bounds(&self.coder.full, earliest_end, i64::MAX) else {
            return Ok(());
        };
        self.coder.scan(
            state,
            &Span { from: &from, to: Some(&to), direction },
            |coder, full, row| {
                let session = Session::of(full).ok_or_else(damaged_key)?;
                if session.start > latest_start {
                    return Ok(ControlFlow::Continue(()));
                }
                Ok(visit(session, coder.value_decoder.decode(row)?))
            },
        )
    }

    /// Visits the sessions of all keys with `from` ≤ key < `to` (`None`: unbounded), by key, end and start.
    pub fn range(
        &mut self,
        state: &TaskState,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
        mut visit: impl FnMut(&K, Session, &V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (earliest_end, _) = visible(state, self.coder.store, i64::MIN..=i64::MAX);
        let (from, to) = self.coder.key_bounds(state, (from, to))?;
        let Self { coder, scratch } = self;
        coder.scan(
            state,
            &Span { from: &from, to: to.as_deref(), direction },
            |coder, full, row| {
                let session = Session::of(full).ok_or_else(damaged_key)?;
                if session.end < earliest_end {
                    return Ok(ControlFlow::Continue(()));
                }
                let key = keys::unescape(full, 2 * TIME_LEN, scratch).ok_or_else(damaged_key)?;
                Ok(visit(coder.key_decoder.decode(key)?, session, coder.value_decoder.decode(row)?))
            },
        )
    }

    fn full(&mut self, state: &TaskState, key: &K, session: Session) -> Result<(), StoreError> {
        self.coder
            .composed(state, key, |key, out| keys::session(key, session.start, session.end, out))
    }
}
