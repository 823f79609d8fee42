//! Committed rows of a store, read from outside its task (Q01, Q03): by key, by range, by time.
//!
//! Invariants: nothing of an open transaction is ever seen; what has expired isn't either. Rows are copied in slices,
//! each of one moment, and visited when the owner can commit again; the next slice stands in line behind an owner who
//! waits. So a reader holds the owner up for [`SLICE_ROWS`] rows or [`SLICE_BYTES`] at most, and any number of readers
//! for not much longer.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use crate::engine::Visit;
use crate::keys::{self, Sequence, TIME_LEN};
use crate::rows::Hashed;
use crate::shelf::Shelf;
use crate::state_dir::Shared;
use crate::versioned::LATEST;
use crate::{Direction, StoreError, StoreKind, StoreSpec};

/// Rows that are copied while the owner can't commit: many of a long selection, few of one that may soon have enough.
const SLICE_ROWS: usize = 1_024;
const FIRST_SLICE_ROWS: usize = 16;
/// Their bytes, about.
const SLICE_BYTES: usize = 1 << 20;

/// As [`Visit`], of rows that may turn out to be damaged.
type VisitPlace<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Appends what a full key begins with, of an encoded key.
type Layout = fn(&[u8], &mut Vec<u8>);

/// Committed rows of one store and partition, readable from any thread. Each read is of one moment; two reads may be
/// of two.
#[derive(Debug, Clone)]
pub struct CommittedStore {
    shared: Arc<Shared>,
    shelf: Arc<Shelf>,
}

/// Which keys a selection is about, by their encoded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// This one.
    One(Vec<u8>),
    /// From the one to the other, both inclusive; `None`: no bound.
    Range(Option<Vec<u8>>, Option<Vec<u8>>),
    /// Those that begin so.
    Prefix(Vec<u8>),
}

/// What [`CommittedStore::select`] looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Of these keys.
    pub keys: Keys,
    /// Windows that start in it, sessions that overlap it (ms); other stores have no times.
    pub times: RangeInclusive<i64>,
    /// By key, then time; or the other way round.
    pub direction: Direction,
}

/// When a row of a window or session store was (ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowTime {
    /// A window's start; its end follows from the topology.
    Window(i64),
    /// First and last record of a session.
    Session(i64, i64),
}

/// A row of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedRow<'r> {
    /// The full store key: rows of several partitions order by it.
    pub place: &'r [u8],
    /// The encoded key.
    pub key: &'r [u8],
    /// Of windows and sessions.
    pub time: Option<RowTime>,
    /// The row as the store wrote it.
    pub value: &'r [u8],
}

impl CommittedStore {
    pub(crate) fn new(shared: Arc<Shared>, shelf: Arc<Shelf>) -> Self {
        Self { shared, shelf }
    }

    /// What the store is.
    pub fn spec(&self) -> &StoreSpec {
        &self.shelf.spec
    }

    /// True while a task owns it; otherwise the rows are as old as the task's end, or as a standby's last read.
    pub fn is_owned(&self) -> bool {
        self.shelf.is_owned()
    }

    /// Differs each time the store was emptied to be built anew from its changelog. Where it is the same before and after
    /// a read, the rows were at least those of the position before it.
    pub fn life(&self) -> u64 {
        self.shelf.life()
    }

    /// The next changelog offset these rows stand for.
    pub fn changelog_position(&self) -> Option<i64> {
        self.shelf.position()
    }

    /// Calls `read` with the value of the full store key, or `None`. The owner can't commit meanwhile: keep it short.
    ///
    /// # Errors
    /// The engine fails.
    pub fn get_with<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        if self.spec().kind.row_time(key).is_some_and(|time| time < self.first_time()) {
            return Ok(read(None));
        }
        self.shelf.get_with(&*self.shared.engine, Hashed::new(key), read)
    }

    /// Visits the rows of the full store keys `[from, to)` until `visit` breaks.
    ///
    /// # Errors
    /// The engine fails.
    pub fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let (kind, first) = (self.spec().kind, self.first_time());
        let range = (from.to_vec(), to.map(<[u8]>::to_vec));
        self.in_slices(
            range,
            direction,
            first,
            &mut || ControlFlow::Continue(()),
            &mut |key, value| {
                let is_expired = kind.row_time(key).is_some_and(|time| time < first);
                Ok(if is_expired { ControlFlow::Continue(()) } else { visit(key, value) })
            },
        )
    }

    /// Visits the rows of a selection until `visit` breaks. Of a versioned store these are the newest versions. `pause` is
    /// called now and then, whether rows are found or not, and may end the search.
    ///
    /// # Errors
    /// The engine fails, or a row's key is damaged.
    pub fn select(
        &self,
        select: &Select,
        pause: &mut dyn FnMut() -> ControlFlow<()>,
        visit: &mut dyn FnMut(CommittedRow<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let kind = self.spec().kind;
        let first = match kind {
            StoreKind::Window { .. } | StoreKind::Session { .. } => {
                self.first_time().max(*select.times.start())
            }
            StoreKind::KeyValue | StoreKind::Versioned { .. } => i64::MIN,
        };
        let times = first..=*select.times.end();
        let Some(range) = span(kind, &select.keys, first) else { return Ok(()) };
        let mut scratch = Vec::new();
        self.in_slices(range, select.direction, first, pause, &mut |place, value| {
            let Some((key, time)) = parts(kind, place, &mut scratch) else {
                return Err(self.damaged());
            };
            let row = CommittedRow { place, key, time, value };
            Ok(if is_in(time, &times) { visit(row) } else { ControlFlow::Continue(()) })
        })
    }

    /// Rows of lower times have expired, whether they were dropped yet or not.
    fn first_time(&self) -> i64 {
        let horizon = self.shelf.stream_time().and_then(|time| self.spec().kind.horizon(time));
        horizon.map_or(i64::MIN, |horizon| horizon.saturating_add(1))
    }

    fn damaged(&self) -> StoreError {
        StoreError::Corrupt {
            what: format!("a key of store `{}`", self.spec().name),
            detail: "not one of its kind".to_owned(),
        }
    }

    /// Visits the rows of `[from, to)`, perhaps without some of times below `first`.
    fn in_slices(
        &self,
        (mut from, mut to): (Vec<u8>, Option<Vec<u8>>),
        direction: Direction,
        first: i64,
        pause: &mut dyn FnMut() -> ControlFlow<()>,
        visit: &mut VisitPlace<'_>,
    ) -> Result<(), StoreError> {
        let (mut slice, mut rows_max) = (Slice::default(), FIRST_SLICE_ROWS);
        loop {
            slice.clear();
            let range = (&*from, to.as_deref(), direction);
            self.shelf.scan_in_turn(
                &*self.shared.engine,
                range,
                Some(first),
                &mut |key, value| {
                    slice.push(key, value);
                    if slice.lengths.len() < rows_max && slice.bytes.len() < SLICE_BYTES {
                        ControlFlow::Continue(())
                    } else {
                        slice.is_full = true;
                        ControlFlow::Break(())
                    }
                },
            )?;
            let mut last = &[][..];
            for (key, value) in slice.rows() {
                last = key;
                if visit(key, value)?.is_break() {
                    return Ok(());
                }
            }
            if !slice.is_full || pause().is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => from = [last, &[0]].concat(),
                Direction::Reverse => to = Some(last.to_vec()),
            }
            rows_max = (rows_max * 4).min(SLICE_ROWS);
        }
    }
}

/// Rows that were copied.
#[derive(Debug, Default)]
struct Slice {
    /// Key and value of each.
    bytes: Vec<u8>,
    lengths: Vec<(usize, usize)>,
    /// There may be more.
    is_full: bool,
}

impl Slice {
    fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.is_full = false;
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.lengths.push((key.len(), value.len()));
    }

    fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &*self.bytes;
        self.lengths.iter().map(move |(key, value)| {
            let (row, after) = rest.split_at(key + value);
            rest = after;
            row.split_at(*key)
        })
    }
}

/// The full keys to look through, `[from, to)`; `None`: there can't be any.
fn span(kind: StoreKind, keys: &Keys, first: i64) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let is_plain = matches!(kind, StoreKind::KeyValue | StoreKind::Versioned { .. });
    let head: &[u8] = if matches!(kind, StoreKind::Versioned { .. }) { &[LATEST] } else { &[] };
    let (full, after): (Layout, fn(&mut Vec<u8>)) = if is_plain {
        (|key, out| out.extend_from_slice(key), |full| full.push(0))
    } else {
        // What follows the end mark 00 01.
        (keys::prefix, |full| full.last_mut().into_iter().for_each(|mark| *mark += 1))
    };
    let lower = |key: &[u8]| {
        let mut out = head.to_vec();
        full(key, &mut out);
        out
    };
    let upper = |key: &[u8]| {
        let mut out = lower(key);
        after(&mut out);
        out
    };
    Some(match keys {
        Keys::One(key) if is_plain => (lower(key), Some(upper(key))),
        Keys::One(key) => ([&lower(key)[..], &keys::ordered(first)].concat(), Some(upper(key))),
        Keys::Range(from, to) => {
            let from = from.as_deref().map_or_else(|| head.to_vec(), lower);
            let end = || keys::after_prefix(head);
            (from, to.as_deref().map(upper).or_else(end))
        }
        Keys::Prefix(prefix) => {
            let mut from = lower(prefix);
            if !is_plain {
                from.truncate(from.len() - keys::END.len());
            }
            (from.clone(), keys::after_prefix(&from))
        }
    })
    .filter(|(from, to)| to.as_ref().is_none_or(|to| from < to))
}

/// Encoded key and time of a full key; `None`: it is damaged.
fn parts<'k>(
    kind: StoreKind,
    place: &'k [u8],
    scratch: &'k mut Vec<u8>,
) -> Option<(&'k [u8], Option<RowTime>)> {
    let timed = |suffix, time, scratch| Some((keys::unescape(place, suffix, scratch)?, Some(time)));
    match kind {
        StoreKind::KeyValue => Some((place, None)),
        StoreKind::Versioned { .. } => Some((place.strip_prefix(&[LATEST])?, None)),
        StoreKind::Window { duplicates, .. } => {
            let suffix = TIME_LEN + if duplicates { Sequence::LEN } else { 0 };
            timed(suffix, RowTime::Window(kind.row_time(place)?), scratch)
        }
        StoreKind::Session { .. } => {
            let (start, end) = (keys::time_before(place, 0)?, kind.row_time(place)?);
            timed(2 * TIME_LEN, RowTime::Session(start, end), scratch)
        }
    }
}

/// Whether a row of this time is asked for.
fn is_in(time: Option<RowTime>, times: &RangeInclusive<i64>) -> bool {
    match time {
        None => true,
        Some(RowTime::Window(start)) => times.contains(&start),
        Some(RowTime::Session(start, end)) => end >= *times.start() && start <= *times.end(),
    }
}
