//! Where everything lies in the engine. All numbers are big-endian, so that
//! byte order is numeric order.
//!
//! | key | value |
//! |---|---|
//! | `m` name | `format`: u32; `identity`: UUID as text; `next-topic`: u32, above the numbers of deleted topics |
//! | `t` topic name | number u32, partitions u32, cleanup (u8, milliseconds i64) |
//! | `p` topic number u32, partition u32 | start i64, next i64, compacted to i64, tombstones due i64 |
//! | `r` topic number u32, partition u32, base offset i64 | a batch of records ([`super::batch`]) |
//! | `x` transactional id | what it has open ([`super::open`]) |
//! | `o` group length u16, group, topic number u32, partition u32 | committed offset i64 |
//!
//! Invariant: unless transactions lie open in the log, which an option of simulations allows,
//! the rows of one transaction, the `p` rows of the partitions it
//! touched and its `o` rows are one engine batch. Hence nothing on disk ever
//! needs to be undone: a transaction is all there or was never there. A marker
//! is the step that `next` takes beyond the last record.

use state_stores::{Engine, StoreError};

use crate::topic::Cleanup;
use std::time::Duration;

use super::options::millis;

pub(super) const FORMAT: u32 = 1;
pub(super) const FORMAT_KEY: &[u8] = b"mformat";
pub(super) const IDENTITY_KEY: &[u8] = b"midentity";
/// Numbers of deleted topics lie below its value.
pub(super) const NEXT_TOPIC_KEY: &[u8] = b"mnext-topic";
pub(super) const TOPICS: &[u8] = b"t";
pub(super) const TOPICS_END: &[u8] = b"u";

pub(super) const OPEN: &[u8] = b"x";
pub(super) const OPEN_END: &[u8] = b"y";

pub(super) fn open(transactional_id: &str) -> Vec<u8> {
    [OPEN, transactional_id.as_bytes()].concat()
}

pub(super) fn topic(name: &str) -> Vec<u8> {
    [TOPICS, name.as_bytes()].concat()
}

pub(super) fn partition(topic: u32, partition: u32) -> [u8; 9] {
    let mut key = [b'p'; 9];
    key[1..5].copy_from_slice(&topic.to_be_bytes());
    key[5..].copy_from_slice(&partition.to_be_bytes());
    key
}

/// Offsets are never negative, so their bytes order as their numbers.
pub(super) fn row(topic: u32, partition: u32, base: i64) -> [u8; 17] {
    let mut key = [b'r'; 17];
    key[1..5].copy_from_slice(&topic.to_be_bytes());
    key[5..9].copy_from_slice(&partition.to_be_bytes());
    key[9..].copy_from_slice(&base.max(0).to_be_bytes());
    key
}

/// The base offset in a row's key.
pub(super) fn row_base(key: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(*key.get(9..)?.as_array::<8>()?))
}

pub(super) const OFFSETS: &[u8] = b"o";
pub(super) const OFFSETS_END: &[u8] = b"p";

/// What the keys of a group's offsets begin with.
pub(super) fn offsets(group: &str) -> Vec<u8> {
    let length = u16::try_from(group.len()).unwrap_or(u16::MAX);
    let mut key = OFFSETS.to_vec();
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key
}

/// The number of the topic in the key of an offset.
pub(super) fn topic_of_offset(key: &[u8]) -> Option<u32> {
    let at = key.len().checked_sub(8)?;
    Some(u32::from_be_bytes(*key.get(at..at + 4)?.as_array::<4>()?))
}

pub(super) fn offset(group: &str, topic: u32, partition: u32) -> Vec<u8> {
    let mut key = offsets(group);
    key.extend_from_slice(&topic.to_be_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// The numbers of a `p` row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// First offset that may still exist.
    pub(super) start: i64,
    /// Next offset to be given.
    pub(super) next: i64,
    /// Below it, each key occurs at most once.
    pub(super) clean_to: i64,
    /// When the oldest tombstone below `clean_to` may go; `i64::MAX` = none.
    pub(super) tombstones_due: i64,
}

impl Bounds {
    pub(super) const NEW: Self = Self { start: 0, next: 0, clean_to: 0, tombstones_due: i64::MAX };

    pub(super) fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let numbers = [self.start, self.next, self.clean_to, self.tombstones_due];
        for (slot, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let [start, next, clean_to, tombstones_due] = *numbers.as_array::<4>()?;
        let number = i64::from_be_bytes;
        Some(Self {
            start: number(start),
            next: number(next),
            clean_to: number(clean_to),
            tombstones_due: number(tombstones_due),
        })
    }
}

/// The fields of a `t` row.
pub(super) struct TopicRow {
    pub(super) number: u32,
    pub(super) partitions: u32,
    pub(super) cleanup: Cleanup,
}

impl TopicRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, after) = match self.cleanup {
            Cleanup::Delete(after) => (0, millis(after)),
            Cleanup::Keep => (1, 0),
            Cleanup::Compact => (2, 0),
            Cleanup::CompactDelete(after) => (3, millis(after)),
            Cleanup::CompactOften => (4, 0),
        };
        let mut bytes = Vec::with_capacity(17);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.partitions.to_be_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&after.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = u32::from_be_bytes(*bytes.get(..4)?.as_array::<4>()?);
        let partitions = u32::from_be_bytes(*bytes.get(4..8)?.as_array::<4>()?);
        let after = i64::from_be_bytes(*bytes.get(9..)?.as_array::<8>()?);
        let after = Duration::from_millis(u64::try_from(after).ok()?);
        let cleanup = match bytes[8] {
            0 => Cleanup::Delete(after),
            1 => Cleanup::Keep,
            2 => Cleanup::Compact,
            3 => Cleanup::CompactDelete(after),
            4 => Cleanup::CompactOften,
            _ => return None,
        };
        Some(Self { number, partitions, cleanup })
    }
}

/// A number that the engine keeps under `key`.
pub(super) fn read_offset(engine: &dyn Engine, key: &[u8]) -> Result<Option<i64>, StoreError> {
    let mut found = None;
    engine.get_with(key, &mut |bytes| {
        found = bytes.as_array::<8>().map(|bytes| i64::from_be_bytes(*bytes))
    })?;
    Ok(found)
}
