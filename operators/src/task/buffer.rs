//! Records that wait in a task, per source, first in first out.
//!
//! Invariant: offsets in a buffer ascend. Memory of processed records is reused.

use std::collections::VecDeque;

use crate::headers::Headers;
use crate::source::RawRecord;

/// A record as the log gave it.
#[derive(Clone, Copy, Debug)]
pub struct InputRecord<'a> {
    /// Its place in the source partition.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// In order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

#[derive(Default)]
pub(crate) struct Buffered {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    /// Its source has given it this timestamp.
    pub(crate) stamped: bool,
    bytes: Vec<u8>,
    key_len: Option<usize>,
    has_value: bool,
    headers: Headers,
}

impl Buffered {
    fn fill(&mut self, record: InputRecord<'_>) {
        self.offset = record.offset;
        self.timestamp = record.timestamp;
        self.stamped = false;
        self.bytes.clear();
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        self.key_len = record.key.map(<[u8]>::len);
        self.has_value = record.value.is_some();
        self.headers.clear();
        for (name, value) in record.headers {
            self.headers.push(name, value);
        }
    }

    pub(crate) fn raw(&self) -> RawRecord<'_> {
        let (key, value) = self.bytes.split_at(self.key_len.unwrap_or(0));
        RawRecord {
            key: self.key_len.map(|_| key),
            value: self.has_value.then_some(value),
            timestamp: self.timestamp,
            headers: &self.headers,
        }
    }
}

/// How many processed records' memory is kept.
const SPARE: usize = 1024;

#[derive(Default)]
pub(crate) struct Buffer {
    queue: VecDeque<Buffered>,
    spare: Vec<Buffered>,
}

impl Buffer {
    pub(crate) fn push(&mut self, record: InputRecord<'_>) {
        let mut buffered = self.spare.pop().unwrap_or_default();
        buffered.fill(record);
        self.queue.push_back(buffered);
    }

    pub(crate) fn front(&self) -> Option<&Buffered> {
        self.queue.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Buffered> {
        self.queue.front_mut()
    }

    pub(crate) fn back(&self) -> Option<&Buffered> {
        self.queue.back()
    }

    pub(crate) fn pop(&mut self) {
        if let Some(done) = self.queue.pop_front()
            && self.spare.len() < SPARE
        {
            self.spare.push(done);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
