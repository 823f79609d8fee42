//! The store of calls that are not answered yet.
//!
//! ```text
//! 00                 number of the next call (8 bytes)
//! 01 number (8)      attempt (4) | not before (8) | accepted (8) | record's time (8) | id | key | headers | request
//! ```
//!
//! Numbers are big-endian; id and key stand behind their length (4 bytes). A call's number says only in which order the
//! task accepted it: it is drawn in the record's transaction, so an abort gives it back and nobody has seen it. What the
//! service sees is the id.

use state_stores::{StoreError, StoreIndex, StoreKind};

use crate::context::TaskContext;
use crate::graph::StoreDecl;
use crate::headers::Headers;

const NEXT: &[u8] = &[0];
const CALL: u8 = 1;

/// A pending call as its row has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PendingCall<'a> {
    /// The attempt that comes next, or is under way.
    pub(crate) attempt: u32,
    /// When it may start.
    pub(crate) not_before: i64,
    /// When the task accepted it, by its clock.
    pub(crate) accepted: i64,
    pub(crate) timestamp: i64,
    pub(crate) id: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) headers: Headers,
    pub(crate) request: &'a [u8],
}

impl<'a> PendingCall<'a> {
    /// Appends all but the request, which the caller appends.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.attempt.to_be_bytes());
        out.extend_from_slice(&self.not_before.to_be_bytes());
        out.extend_from_slice(&self.accepted.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        for part in [self.id.as_bytes(), self.key] {
            out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            out.extend_from_slice(part);
        }
        self.headers.write(out);
    }

    /// `None`: damaged.
    pub(crate) fn read(row: &'a [u8]) -> Option<Self> {
        fn part(row: &[u8]) -> Option<(&[u8], &[u8])> {
            let (length, rest) = row.split_first_chunk()?;
            rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        }
        let (attempt, row) = row.split_first_chunk()?;
        let (not_before, row) = row.split_first_chunk()?;
        let (accepted, row) = row.split_first_chunk()?;
        let (timestamp, row) = row.split_first_chunk()?;
        let (id, row) = part(row)?;
        let (key, row) = part(row)?;
        let (headers, request) = Headers::read(row)?;
        Some(Self {
            attempt: u32::from_be_bytes(*attempt),
            not_before: i64::from_be_bytes(*not_before),
            accepted: i64::from_be_bytes(*accepted),
            timestamp: i64::from_be_bytes(*timestamp),
            id: std::str::from_utf8(id).ok()?,
            key,
            headers,
            request,
        })
    }

    /// Gives a row its next attempt.
    pub(crate) fn put_off(row: &mut [u8], attempt: u32, not_before: i64) {
        row[..4].copy_from_slice(&attempt.to_be_bytes());
        row[4..12].copy_from_slice(&not_before.to_be_bytes());
    }
}

/// The key of a call's row.
pub(crate) fn row_key(number: u64) -> [u8; 9] {
    let mut key = [CALL; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number in a row's key; `None`: no call's row.
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    let (first, number) = key.split_first()?;
    (*first == CALL).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

/// One node's pending calls, in the task's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingCalls {
    pub(crate) store: StoreIndex,
    /// Which of the task's counts is this node's.
    pub(crate) place: usize,
}

impl PendingCalls {
    pub(crate) fn declare(name: &str, (key, request): (&str, &str)) -> StoreDecl {
        let formats = (key.to_owned(), format!("call-2-{request}"));
        StoreDecl::internal(name, StoreKind::KeyValue, formats)
    }

    /// Draws the number of a new call.
    pub(crate) fn draw(self, ctx: &mut TaskContext) -> Result<u64, StoreError> {
        let read = |row: Option<&[u8]>| row?.try_into().ok().map(u64::from_be_bytes);
        let number = ctx.state.get_with(self.store, NEXT, read)?.unwrap_or(0);
        ctx.state.put(self.store, NEXT, Some(&(number + 1).to_be_bytes()));
        Ok(number)
    }

    pub(crate) fn accept(self, number: u64, row: &[u8], ctx: &mut TaskContext) {
        ctx.state.put(self.store, &row_key(number), Some(row));
        ctx.pending[self.place].add(1);
    }

    pub(crate) fn put_off(self, number: u64, row: &[u8], ctx: &mut TaskContext) {
        ctx.state.put(self.store, &row_key(number), Some(row));
    }

    pub(crate) fn remove(self, number: u64, ctx: &mut TaskContext) {
        ctx.state.put(self.store, &row_key(number), None);
        ctx.pending[self.place].add(-1);
    }

    /// The row of a call in `row`; false: it was answered.
    pub(crate) fn read(
        self,
        number: u64,
        ctx: &TaskContext,
        row: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        row.clear();
        ctx.state.get_with(self.store, &row_key(number), |bytes| {
            row.extend_from_slice(bytes.unwrap_or_default());
            bytes.is_some()
        })
    }
}

/// A row that can't be read.
pub(crate) fn damaged(store: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("a pending call of store `{store}`"),
        detail: "too short".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_and_can_be_put_off() {
        let headers: Headers = [("a", &b"1"[..])].into_iter().collect();
        let (id, key, request) = ("app-node-in-0-7-0", &b"k"[..], &b"how much?"[..]);
        let call = PendingCall {
            attempt: 1,
            not_before: 0,
            accepted: 3,
            timestamp: -5,
            id,
            key,
            headers,
            request,
        };
        let mut row = Vec::new();
        call.write_head(&mut row);
        row.extend_from_slice(request);
        assert_eq!(PendingCall::read(&row).as_ref(), Some(&call));
        PendingCall::put_off(&mut row, 2, 99);
        assert_eq!(
            PendingCall::read(&row),
            Some(PendingCall { attempt: 2, not_before: 99, ..call })
        );
        assert_eq!(PendingCall::read(&row[..20]), None);
    }

    #[test]
    fn calls_order_by_number_after_the_counter() {
        assert!(NEXT < &row_key(0)[..] && row_key(255) < row_key(256));
        assert_eq!(
            (number_of(&row_key(7)), number_of(NEXT), number_of(&[])),
            (Some(7), None, None)
        );
    }
}
