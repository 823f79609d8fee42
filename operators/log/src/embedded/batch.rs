//! Records of one partition that were written together: one row of the engine
//! and one entry of the tail cache, the same bytes in both.
//!
//! ```text
//! version u8 | records u32 | last delta u32 | written at i64 | records…
//! record: length u32 of what follows
//!         delta u32 (offset − base) | timestamp i64 | key i32 | value i32 (lengths, −1 = none) | headers u16
//!         (name u16 | value u32 | name | value)… | key | value
//! ```
//!
//! Little-endian. Invariant: a batch never changes once it has a base; compaction
//! writes a new one with the same base and last delta and fewer records.

use crate::record::{Header, NewRecord};
use crate::{LogError, TopicPartition};

const VERSION: u8 = 1;
/// Bytes before the first record.
pub(super) const HEAD: usize = 17;
const RECORD_HEAD: usize = 22;
/// A batch is closed when it is larger than this, so that a reader in its
/// middle loads little.
const FULL: usize = 128 * 1024;

/// A batch without offsets yet.
#[derive(Debug)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    records: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD], records: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Adds a record at the next delta.
    pub(super) fn push(&mut self, record: &NewRecord<'_>) {
        let length = RECORD_HEAD + payload(record) + record.headers.len() * 6;
        self.bytes.reserve(4 + length);
        let out = &mut self.bytes;
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&record.timestamp.to_le_bytes());
        for part in [record.key, record.value] {
            out.extend_from_slice(&part.map_or(-1, |part| part.len() as i32).to_le_bytes());
        }
        out.extend_from_slice(&(record.headers.len() as u16).to_le_bytes());
        for (name, value) in record.headers {
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        }
        out.extend_from_slice(record.key.unwrap_or_default());
        out.extend_from_slice(record.value.unwrap_or_default());
        self.records += 1;
    }

    /// Gives the batch its place.
    pub(super) fn finish(mut self, base: i64, written_at: i64) -> Batch {
        let last = self.records.saturating_sub(1);
        write_head(&mut self.bytes, self.records, last, written_at);
        Batch { base, last: base + i64::from(last), bytes: self.bytes.into_boxed_slice() }
    }
}

/// Refuses what a batch can't hold or the log's owner doesn't want.
pub(super) fn check(
    record: &NewRecord<'_>,
    limit: usize,
    at: &TopicPartition,
) -> Result<(), LogError> {
    let bytes = payload(record);
    if bytes > limit {
        return Err(LogError::Refused(format!("{bytes} bytes for {at}, the limit is {limit}")));
    }
    let fits = record.headers.len() <= usize::from(u16::MAX)
        && record.headers.iter().all(|(name, _)| name.len() <= usize::from(u16::MAX));
    if !fits {
        return Err(LogError::Refused(format!(
            "too many headers or too long a header name for {at}"
        )));
    }
    Ok(())
}

fn payload(record: &NewRecord<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}

fn write_head(bytes: &mut [u8], records: u32, last: u32, written_at: i64) {
    bytes[0] = VERSION;
    bytes[1..5].copy_from_slice(&records.to_le_bytes());
    bytes[5..9].copy_from_slice(&last.to_le_bytes());
    bytes[9..HEAD].copy_from_slice(&written_at.to_le_bytes());
}

/// A batch with its place on the partition.
#[derive(Debug)]
pub(super) struct Batch {
    /// Offset of delta 0.
    pub(super) base: i64,
    /// Offset of the last record there was when it was written.
    pub(super) last: i64,
    /// As in the engine.
    pub(super) bytes: Box<[u8]>,
}

/// One record of a batch, borrowed.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    headers: u16,
    header_bytes: &'a [u8],
    /// The whole record with its length.
    raw: &'a [u8],
}

impl Batch {
    /// Reads a row's value. None if it isn't one.
    pub(super) fn decode(base: i64, bytes: &[u8]) -> Option<Self> {
        if *bytes.first()? != VERSION || bytes.len() < HEAD {
            return None;
        }
        let last = u32::from_le_bytes(*bytes.get(5..9)?.as_array::<4>()?);
        Some(Self { base, last: base + i64::from(last), bytes: bytes.into() })
    }

    /// The log's clock when it was written: what retention counts from.
    pub(super) fn written_at(&self) -> i64 {
        self.bytes
            .get(9..HEAD)
            .and_then(|bytes| bytes.as_array::<8>())
            .map_or(0, |bytes| i64::from_le_bytes(*bytes))
    }

    /// Appends the headers of an entry to `out`. False if they are damaged.
    pub(super) fn headers<'a>(entry: &Entry<'a>, out: &mut Vec<Header<'a>>) -> bool {
        let mut rest = entry.header_bytes;
        for _ in 0..entry.headers {
            let Some((header, after)) = split_header(rest) else { return false };
            out.push(header);
            rest = after;
        }
        true
    }

    /// The record that begins at byte `at`, and where the next one begins.
    /// None at the end and where the bytes make no sense; the end is at
    /// `bytes.len()`.
    pub(super) fn entry(&self, at: usize) -> Option<(Entry<'_>, usize)> {
        let length = u32::from_le_bytes(*self.bytes.get(at..at + 4)?.as_array::<4>()?) as usize;
        let end = at + 4 + length;
        let record = self.bytes.get(at + 4..end)?;
        let head = record.first_chunk::<RECORD_HEAD>()?;
        let delta = u32::from_le_bytes(*head[0..4].as_array::<4>()?);
        let timestamp = i64::from_le_bytes(*head[4..12].as_array::<8>()?);
        let key = i32::from_le_bytes(*head[12..16].as_array::<4>()?);
        let value = i32::from_le_bytes(*head[16..20].as_array::<4>()?);
        let headers = u16::from_le_bytes(*head[20..22].as_array::<2>()?);
        let value_from = record.len().checked_sub(length_of(value))?;
        let key_from = value_from.checked_sub(length_of(key))?;
        let entry = Entry {
            offset: self.base + i64::from(delta),
            timestamp,
            key: (key >= 0).then(|| &record[key_from..value_from]),
            value: (value >= 0).then(|| &record[value_from..]),
            headers,
            header_bytes: record.get(RECORD_HEAD..key_from)?,
            raw: &self.bytes[at..end],
        };
        Some((entry, end))
    }

    /// A batch at the same place with only the entries that `keep` wants, and
    /// how many these are.
    pub(super) fn retain(&self, mut keep: impl FnMut(&Entry<'_>) -> bool) -> (Self, u32) {
        let mut bytes = self.bytes[..HEAD].to_vec();
        let (mut at, mut records) = (HEAD, 0);
        while let Some((entry, next)) = self.entry(at) {
            if keep(&entry) {
                bytes.extend_from_slice(entry.raw);
                records += 1;
            }
            at = next;
        }
        let last = u32::try_from(self.last - self.base).unwrap_or(u32::MAX);
        write_head(&mut bytes, records, last, self.written_at());
        (Self { base: self.base, last: self.last, bytes: bytes.into_boxed_slice() }, records)
    }

    /// Number of records.
    pub(super) fn records(&self) -> u32 {
        self.bytes
            .get(1..5)
            .and_then(|bytes| bytes.as_array::<4>())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}

fn length_of(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0)
}

fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<6>()?;
    let name = usize::from(u16::from_le_bytes(*head[..2].as_array::<2>()?));
    let value = u32::from_le_bytes(*head[2..].as_array::<4>()?) as usize;
    let (name, rest) = rest.split_at_checked(name)?;
    let (value, rest) = rest.split_at_checked(value)?;
    Some(((std::str::from_utf8(name).ok()?, value), rest))
}
