//! Records of a left or outer join that have no match yet, and when they go out without one (KIP-633).
//!
//! ```text
//! <name>-shared-join-store  time (8 bytes, order-preserving) | side (right 0, left 1) | key → list of values
//! <name>-time               one row: stream time | lowest pending time | next emit (8 bytes each, big-endian)
//! ```
//!
//! Invariant: the lowest pending time is what Kafka Streams has for it: that of the last row looked at, which may be
//! later than the lowest row there is.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{
    Encoder, ListStore, RawBytes, Serde, StoreError, StoreIndex, StoreKind, TaskState, keys,
};

use crate::failure::Failure;
use crate::graph::{NodeId, StoreDecl};
use crate::join_windows::{JoinWindows, Side};

const ROW: &[u8] = b"times";

/// Times of one join, shared by its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Highest timestamp of both sides; dropped records count.
    pub(super) stream_time: i64,
    /// `i64::MAX`: nothing waits.
    lowest: i64,
    next_emit_ms: i64,
}

/// Encoded key and value of a record that has waited long enough.
pub(super) struct Overdue {
    pub(super) side: Side,
    pub(super) time: i64,
    row: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Overdue {
    /// The key of the list it is in.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// The record's key.
    pub(super) fn key(&self) -> &[u8] {
        &self.row[keys::TIME_LEN + 1..]
    }
}

pub(super) fn names(join: &str) -> [String; 2] {
    [format!("{join}-shared-join-store"), format!("{join}-time")]
}

pub(super) fn declare(join: &str, key: &str) -> [StoreDecl; 2] {
    let decl = |name: String, key: String, value: &str| {
        StoreDecl::internal(name, StoreKind::KeyValue, (key, value.to_owned()))
    };
    let [pending, time] = names(join);
    [
        decl(pending, format!("time-side-{key}"), "list"),
        decl(time, "bytes".to_owned(), "join-times"),
    ]
}

/// One side's view of what is pending.
pub(super) struct Pending<K: ?Sized, V: ?Sized> {
    id: NodeId,
    windows: JoinWindows,
    lists: ListStore<[u8], [u8]>,
    times: StoreIndex,
    key: Box<dyn Encoder<K>>,
    value: Box<dyn Encoder<V>>,
    row: Vec<u8>,
    bytes: Vec<u8>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Pending<K, V> {
    pub(super) fn new(
        id: NodeId,
        windows: JoinWindows,
        [pending, times]: [StoreIndex; 2],
        (key, value): (&Serde<K>, &Serde<V>),
    ) -> Self {
        let raw: Serde<[u8]> = Arc::new(RawBytes);
        let lists = ListStore::new(pending, &raw, &raw);
        let (key, value) = (key.encoder(), value.encoder());
        Self { id, windows, lists, times, key, value, row: Vec::new(), bytes: Vec::new() }
    }

    pub(super) fn load(&self, state: &TaskState) -> Result<Times, StoreError> {
        let read = |row: &[u8]| {
            let (numbers, _) = row.as_chunks::<8>();
            let [stream_time, lowest, next_emit_ms] = numbers else { return None };
            Some(Times {
                stream_time: i64::from_be_bytes(*stream_time),
                lowest: i64::from_be_bytes(*lowest),
                next_emit_ms: i64::from_be_bytes(*next_emit_ms),
            })
        };
        let kept = state.get_with(self.times, ROW, |row| row.and_then(read))?;
        let none = Times { stream_time: i64::MIN, lowest: i64::MAX, next_emit_ms: 0 };
        Ok(kept.unwrap_or(none))
    }

    pub(super) fn save(&self, state: &mut TaskState, times: &Times) {
        let mut row = [0; 24];
        let numbers = [times.stream_time, times.lowest, times.next_emit_ms];
        for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        state.put(self.times, ROW, Some(&row));
    }

    /// The records whose windows are closed, if it is time to look for them at a record of `side`.
    pub(super) fn overdue(
        &mut self,
        state: &TaskState,
        side: Side,
        times: &mut Times,
        now_ms: i64,
    ) -> Result<Vec<Overdue>, StoreError> {
        let Self { windows, lists, .. } = self;
        let is_open = |time: i64, ahead: i64| {
            time.saturating_add(ahead).saturating_add(windows.grace_ms) >= times.stream_time
        };
        let waits = times.lowest != i64::MAX && is_open(times.lowest, side.lookahead(windows));
        if waits || now_ms < times.next_emit_ms {
            return Ok(Vec::new());
        }
        if windows.emit_interval_ms > 0 {
            times.next_emit_ms = now_ms.saturating_add(windows.emit_interval_ms);
        }
        let (mut overdue, mut lowest) = (Vec::new(), i64::MAX);
        let (mut left_open, mut right_open) = (false, false);
        let visit = |row: &[u8], value: &[u8]| {
            let Some((time, side)) = place(row) else { return ControlFlow::Continue(()) };
            lowest = time;
            if left_open && right_open {
                return ControlFlow::Break(());
            }
            if is_open(time, side.lookahead(windows)) {
                match side {
                    Side::Left => left_open = true,
                    Side::Right => right_open = true,
                }
            } else {
                overdue.push(Overdue { side, time, row: row.to_vec(), value: value.to_vec() });
            }
            ControlFlow::Continue(())
        };
        lists.all(state, visit)?;
        times.lowest = lowest;
        Ok(overdue)
    }

    /// Removes a whole list.
    pub(super) fn remove(&mut self, state: &mut TaskState, row: &[u8]) -> Result<(), StoreError> {
        self.lists.delete(state, row).map(drop)
    }

    /// A record of `side` has met its match: it doesn't wait any more, nor do others of its key and time.
    pub(super) fn matched(
        &mut self,
        state: &mut TaskState,
        (side, time): (Side, i64),
        key: &K,
    ) -> Result<(), Failure> {
        self.locate(side, time, key)?;
        self.lists.delete(state, &self.row)?;
        Ok(())
    }

    /// A record waits for its match.
    pub(super) fn wait(
        &mut self,
        state: &mut TaskState,
        (side, time): (Side, i64),
        (key, value): (&K, &V),
        times: &mut Times,
    ) -> Result<(), Failure> {
        self.locate(side, time, key)?;
        self.bytes.clear();
        let encoded = self.value.encode(value, &mut self.bytes);
        encoded.map_err(|error| Failure::node(self.id, error))?;
        self.lists.append(state, &self.row, &self.bytes)?;
        times.lowest = times.lowest.min(time);
        Ok(())
    }

    fn locate(&mut self, side: Side, time: i64, key: &K) -> Result<(), Failure> {
        self.row.clear();
        keys::time(time, &mut self.row);
        self.row.push(u8::from(side == Side::Left));
        let encoded = self.key.encode(key, &mut self.row);
        encoded.map_err(|error| Failure::node(self.id, error))
    }
}

/// Time and side of a row's key.
fn place(row: &[u8]) -> Option<(i64, Side)> {
    let (time, rest) = row.split_first_chunk()?;
    let side = if *rest.first()? == 1 { Side::Left } else { Side::Right };
    Some((keys::from_ordered(*time), side))
}
