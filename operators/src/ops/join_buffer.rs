//! Records of a stream that wait for the table they join (KIP-923).
//!
//! ```text
//! <name>-buffer  time (8 bytes, order-preserving) | escaped key | 00 01 | sequence (14 bytes)
//!                  → headers | value
//! <name>-time    one row: the highest time that was buffered (8 bytes, big-endian)
//! headers        number (4 bytes) | for each: length (4 bytes), name, length, bytes
//! ```
//!
//! Rows lie in the order they go out in: by time, key and arrival.

use std::ops::ControlFlow;

use state_stores::keys::{self, Sequence};
use state_stores::{Direction, StoreError, StoreIndex, StoreKind, TaskState};

use crate::context::TaskContext;
use crate::graph::StoreDecl;
use crate::headers::Headers;

const HIGHEST: &[u8] = b"buffered-time";

pub(super) fn names(join: &str) -> [String; 2] {
    [format!("{join}-buffer"), format!("{join}-time")]
}

pub(super) fn declare(join: &str, (key, value): (&str, &str)) -> [StoreDecl; 2] {
    let decl = |name: String, key: String, value: String| {
        StoreDecl::internal(name, StoreKind::KeyValue, (key, value))
    };
    let [buffer, time] = names(join);
    [
        decl(buffer, format!("time-{key}"), format!("headers-{value}")),
        decl(time, "bytes".to_owned(), "i64-be".to_owned()),
    ]
}

/// A record that waited.
#[derive(Default)]
pub(super) struct Waited {
    row: Vec<u8>,
    pub(super) time: i64,
    pub(super) key: Vec<u8>,
    pub(super) headers: Headers,
    pub(super) value: Vec<u8>,
}

/// The stores of one join.
pub(super) struct JoinBuffer {
    rows: StoreIndex,
    time: StoreIndex,
    full: Vec<u8>,
    row: Vec<u8>,
}

impl JoinBuffer {
    pub(super) fn new([rows, time]: [StoreIndex; 2]) -> Self {
        Self { rows, time, full: Vec::new(), row: Vec::new() }
    }

    /// The highest time that was buffered.
    pub(super) fn highest(&self, state: &TaskState) -> Result<Option<i64>, StoreError> {
        state.get_with(self.time, HIGHEST, |row| {
            row.and_then(|row| row.try_into().ok()).map(i64::from_be_bytes)
        })
    }

    pub(super) fn set_highest(&self, state: &mut TaskState, time: i64) {
        state.put(self.time, HIGHEST, Some(&time.to_be_bytes()));
    }

    /// Adds a record whose value `encode` appends.
    pub(super) fn add<E: From<StoreError>>(
        &mut self,
        ctx: &mut TaskContext,
        (key, time, headers): (&[u8], i64, &Headers),
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.full.clear();
        keys::time(time, &mut self.full);
        keys::prefix(key, &mut self.full);
        let sequence = match ctx.sequence() {
            Some(sequence) => sequence,
            None => Sequence { source: u16::MAX, offset: self.count(&ctx.state)?, index: 0 },
        };
        sequence.write(&mut self.full);
        self.row.clear();
        headers.write(&mut self.row);
        encode(&mut self.row)?;
        ctx.state.put(self.rows, &self.full, Some(&self.row));
        Ok(())
    }

    /// Rows that begin with `full`.
    fn count(&self, state: &TaskState) -> Result<i64, StoreError> {
        let (mut count, end) = (0, keys::after_prefix(&self.full));
        state.scan(self.rows, &self.full, end.as_deref(), Direction::Forward, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Takes the records up to `time` out, in their order.
    pub(super) fn take_until(
        &mut self,
        state: &mut TaskState,
        time: i64,
    ) -> Result<Vec<Waited>, StoreError> {
        let to = time.checked_add(1).map(keys::ordered);
        let to = to.as_ref().map(<[u8; keys::TIME_LEN]>::as_slice);
        let (mut waited, mut damaged) = (Vec::new(), false);
        state.scan(self.rows, &[], to, Direction::Forward, &mut |full, row| {
            match read(full, row) {
                Some(record) => waited.push(record),
                None => damaged = true,
            }
            ControlFlow::Continue(())
        })?;
        if damaged {
            let what = format!("store `{}`", state.spec(self.rows).name);
            return Err(StoreError::Corrupt { what, detail: "a row of no record".to_owned() });
        }
        for record in &waited {
            state.put(self.rows, &record.row, None);
        }
        Ok(waited)
    }
}

fn read(full: &[u8], row: &[u8]) -> Option<Waited> {
    let (time, rest) = full.split_first_chunk()?;
    let mut key = Vec::new();
    keys::unescape(rest, Sequence::LEN, &mut key)?;
    let (headers, value) = Headers::read(row)?;
    let (row, value) = (full.to_vec(), value.to_vec());
    Some(Waited { row, time: keys::from_ordered(*time), key, headers, value })
}
