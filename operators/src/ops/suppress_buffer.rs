//! The buffer of `suppress`: rows by key and, in a second store, the order they go out in.
//!
//! ```text
//! <name>        key → buffer time | timestamp (8 bytes each, big-endian) | headers | values
//! <name>-order  buffer time (8 bytes, order-preserving) | key → one byte
//! <name>-state  one row: stream time | records | bytes (8 bytes each) | key of the first row in order
//! headers       number (4 bytes) | for each: length (4 bytes), name, length, bytes
//! values        flags (1: value, 2: prior, 4: superseded) | length of the prior (4 bytes), prior | value
//! ```
//!
//! The prior is what went out last of a key before the row was put, where somebody needs it.
//!
//! Invariant: the row of state says what the other stores hold, and where the first row in order is, so that looking
//! for it reads over nothing that was removed.

use std::ops::ControlFlow;

use state_stores::{Direction, StoreError, StoreIndex, StoreKind, TaskState, keys};

use crate::graph::StoreDecl;
use crate::headers::Headers;
use crate::suppressed::Limits;

const STATE: &[u8] = b"state";
const PRESENT: &[u8] = &[1];

const VALUE: u8 = 1;
const PRIOR: u8 = 2;
const SUPERSEDED: u8 = 4;

/// How many rows in order are read at a time, at most.
const CHUNK: usize = 512;

/// The stores, in the order of [`Buffer::stores`].
pub(super) fn stores(name: &str) -> [String; 3] {
    [name.to_owned(), format!("{name}-order"), format!("{name}-state")]
}

pub(super) fn declare(name: &str, (key, value): (&str, &str)) -> [StoreDecl; 3] {
    let [rows, order, state] = stores(name);
    let decl = |name: String, key: &str, value: String| {
        StoreDecl::internal(name, StoreKind::KeyValue, (key.to_owned(), value))
    };
    [
        decl(rows, key, format!("suppressed-{value}")),
        decl(order, "buffer-order", "bytes".to_owned()),
        decl(state, "bytes", "buffer-state".to_owned()),
    ]
}

/// What the buffer holds, and its stream time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// None: no result came yet.
    pub(super) stream_time: Option<i64>,
    records: u64,
    bytes: u64,
    /// The first row in order: buffer time and key. Empty: there is none.
    first: Vec<u8>,
}

impl State {
    /// Whether the buffer holds more than it may.
    pub(super) fn is_over(&self, limits: &Limits) -> bool {
        limits.records.is_some_and(|most| self.records > most)
            || limits.bytes.is_some_and(|most| self.bytes > most)
    }

    /// Buffer time of the first row.
    pub(super) fn oldest(&self) -> Option<i64> {
        time_of(&self.first)
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn time_of(order: &[u8]) -> Option<i64> {
    order.first_chunk().copied().map(keys::from_ordered)
}

/// A row as it goes out.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) timestamp: i64,
    pub(super) headers: Headers,
    value: Vec<u8>,
    prior: Vec<u8>,
    has: u8,
}

impl Entry {
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.has & VALUE != 0).then_some(&self.value)
    }

    pub(super) fn superseded(&self) -> bool {
        self.has & SUPERSEDED != 0
    }

    pub(super) fn prior(&self) -> Option<&[u8]> {
        (self.has & PRIOR != 0).then_some(&self.prior)
    }
}

/// A key's encoded row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
    /// What went out last of the key.
    pub(super) prior: Option<&'a [u8]>,
    /// [`crate::change::Change::superseded`]
    pub(super) superseded: bool,
}

/// The buffer of one task.
pub(super) struct Buffer {
    rows: StoreIndex,
    order: StoreIndex,
    state: StoreIndex,
    row: Vec<u8>,
    place: Vec<u8>,
    /// The prior of a row that is replaced.
    prior: Vec<u8>,
    /// The next rows in order, as far as read: the last one is the next.
    ahead: Vec<Box<[u8]>>,
    chunk: usize,
}

impl Buffer {
    pub(super) fn new([rows, order, state]: [StoreIndex; 3]) -> Self {
        let (row, place, prior, ahead) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { rows, order, state, row, place, prior, ahead, chunk: 2 }
    }

    pub(super) fn load(&self, state: &TaskState) -> Result<State, StoreError> {
        let loaded = state.get_with(self.state, STATE, |row| {
            let Some(row) = row else { return Some(State::default()) };
            let (numbers, first) = row.split_at_checked(24)?;
            let number = |at: usize| numbers[at..at + 8].first_chunk().copied();
            Some(State {
                stream_time: Some(i64::from_be_bytes(number(0)?)),
                records: u64::from_be_bytes(number(8)?),
                bytes: u64::from_be_bytes(number(16)?),
                first: first.to_vec(),
            })
        })?;
        loaded.ok_or_else(|| self.corrupt(state))
    }

    pub(super) fn save(&mut self, state: &mut TaskState, buffered: &State) {
        self.row.clear();
        self.row.extend_from_slice(&buffered.stream_time.unwrap_or(i64::MIN).to_be_bytes());
        self.row.extend_from_slice(&buffered.records.to_be_bytes());
        self.row.extend_from_slice(&buffered.bytes.to_be_bytes());
        self.row.extend_from_slice(&buffered.first);
        state.put(self.state, STATE, Some(&self.row));
    }

    /// Sets the row of a key. If it has one already, its buffer time and its prior stay.
    pub(super) fn put(
        &mut self,
        state: &mut TaskState,
        buffered: &mut State,
        buffer_time: i64,
        Row { key, value, prior, superseded }: Row<'_>,
        (timestamp, headers): (i64, &Headers),
    ) -> Result<(), StoreError> {
        let kept = &mut self.prior;
        let old = state.get_with(self.rows, key, |row| {
            row.map(|row| {
                let time = row.first_chunk().copied().map(i64::from_be_bytes)?;
                let prior = Parts::of(row)?.prior;
                kept.clear();
                kept.extend_from_slice(prior.unwrap_or_default());
                Some((time, row.len(), prior.is_some()))
            })
        })?;
        let (time, prior, old) = match old {
            Some(Some((time, len, has_prior))) => {
                (time, has_prior.then_some(&self.prior[..]), Some(len))
            }
            Some(None) => return Err(self.corrupt(state)),
            None => (buffer_time, prior, None),
        };
        self.row.clear();
        self.row.extend_from_slice(&time.to_be_bytes());
        self.row.extend_from_slice(&timestamp.to_be_bytes());
        write_headers(headers, &mut self.row);
        let flags = [(value.is_some(), VALUE), (prior.is_some(), PRIOR), (superseded, SUPERSEDED)];
        self.row.push(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        if let Some(prior) = prior {
            self.row.extend_from_slice(&(prior.len() as u32).to_be_bytes());
            self.row.extend_from_slice(prior);
        }
        self.row.extend_from_slice(value.unwrap_or_default());
        state.put(self.rows, key, Some(&self.row));
        buffered.bytes += self.row.len() as u64;
        if let Some(len) = old {
            buffered.bytes = buffered.bytes.saturating_sub(len as u64);
            return Ok(());
        }
        buffered.bytes += key.len() as u64;
        buffered.records += 1;
        self.place.clear();
        keys::time(time, &mut self.place);
        self.place.extend_from_slice(key);
        state.put(self.order, &self.place, Some(PRESENT));
        if buffered.first.is_empty() || self.place < buffered.first {
            buffered.first.clone_from(&self.place);
        }
        Ok(())
    }

    /// Begins a run of [`Self::pop`].
    pub(super) fn begin(&mut self) {
        self.ahead.clear();
        self.chunk = 2;
    }

    /// Removes the first row in order and puts it in `entry`; there must be one. Between two calls nothing is put.
    pub(super) fn pop(
        &mut self,
        state: &mut TaskState,
        buffered: &mut State,
        entry: &mut Entry,
    ) -> Result<(), StoreError> {
        let first = std::mem::take(&mut buffered.first);
        let Some((_, key)) = first.split_at_checked(keys::TIME_LEN) else {
            return Err(self.corrupt(state));
        };
        let len = state.get_with(self.rows, key, |row| row.and_then(|row| read(row, entry)))?;
        let Some(len) = len else { return Err(self.corrupt(state)) };
        entry.key.clear();
        entry.key.extend_from_slice(key);
        state.put(self.rows, key, None);
        state.put(self.order, &first, None);
        buffered.records = buffered.records.saturating_sub(1);
        buffered.bytes = buffered.bytes.saturating_sub((len + key.len()) as u64);
        if self.ahead.is_empty() && buffered.records > 0 {
            self.read_ahead(state, &first)?;
        }
        buffered.first = self.ahead.pop().map(Vec::from).unwrap_or_default();
        Ok(())
    }

    /// Reads rows in order that follow `after`: more each time.
    fn read_ahead(&mut self, state: &TaskState, after: &[u8]) -> Result<(), StoreError> {
        let from = [after, &[0]].concat();
        let (ahead, most) = (&mut self.ahead, self.chunk);
        state.scan(self.order, &from, None, Direction::Forward, &mut |place, _| {
            ahead.push(place.into());
            if ahead.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.ahead.reverse();
        self.chunk = (self.chunk * 4).min(CHUNK);
        Ok(())
    }

    fn corrupt(&self, state: &TaskState) -> StoreError {
        StoreError::Corrupt {
            what: format!("the buffer `{}`", state.spec(self.rows).name),
            detail: "a row is missing or too short".to_owned(),
        }
    }
}

fn write_headers(headers: &Headers, out: &mut Vec<u8>) {
    let part = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    for (name, value) in headers.iter() {
        part(name.as_bytes(), out);
        part(value, out);
    }
}

/// The parts of a row.
struct Parts<'r> {
    timestamp: i64,
    /// After the timestamp.
    headers: &'r [u8],
    has: u8,
    prior: Option<&'r [u8]>,
    value: &'r [u8],
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*number) as usize)
}

fn part<'r>(bytes: &mut &'r [u8]) -> Option<&'r [u8]> {
    let len = number(bytes)?;
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}

impl<'r> Parts<'r> {
    /// `None`: the row is damaged.
    fn of(row: &'r [u8]) -> Option<Self> {
        let (timestamp, headers) = row.get(8..)?.split_first_chunk()?;
        let mut rest: &'r [u8] = headers;
        for _ in 0..number(&mut rest)? {
            part(&mut rest)?;
            part(&mut rest)?;
        }
        let (has, mut value) = rest.split_first()?;
        let prior = if has & PRIOR != 0 { Some(part(&mut value)?) } else { None };
        let timestamp = i64::from_be_bytes(*timestamp);
        Some(Self { timestamp, headers, has: *has, prior, value })
    }
}

/// The prior of a row, if it has one; the outer `None`: the row is damaged.
pub(super) fn prior(row: &[u8]) -> Option<Option<&[u8]>> {
    Parts::of(row).map(|parts| parts.prior)
}

/// Reads a row into `entry`, without the key; gives the row's length, or `None` if it is damaged.
fn read(row: &[u8], entry: &mut Entry) -> Option<usize> {
    let mut parts = Parts::of(row)?;
    entry.timestamp = parts.timestamp;
    entry.headers.clear();
    for _ in 0..number(&mut parts.headers)? {
        let name = std::str::from_utf8(part(&mut parts.headers)?).ok()?;
        entry.headers.push(name, part(&mut parts.headers)?);
    }
    entry.has = parts.has;
    entry.value.clear();
    entry.value.extend_from_slice(parts.value);
    entry.prior.clear();
    entry.prior.extend_from_slice(parts.prior.unwrap_or_default());
    Some(row.len())
}
