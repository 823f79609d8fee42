//! Records that wait in a task, per source, first in first out.
//!
//! Invariant: offsets in a buffer ascend, and none comes twice, whatever a client delivers again. Memory of processed records is reused, as far as there is room for it.

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
    /// Its memory.
    cost: usize,
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
        self.cost = size_of::<Self>() + self.bytes.capacity() + self.headers.capacity();
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

/// How many processed records' memory is kept at most.
const SPARE: usize = 1024;

pub(crate) struct Buffer {
    queue: VecDeque<Buffered>,
    /// Records below this offset were pushed before, or lie before the position where the task began.
    next: i64,
    /// Memory of the records in the queue.
    bytes: usize,
    spare: Vec<Buffered>,
    spare_bytes: usize,
    spare_bytes_max: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            next: i64::MIN,
            bytes: 0,
            spare: Vec::new(),
            spare_bytes: 0,
            spare_bytes_max: usize::MAX,
        }
    }
}

impl Buffer {
    /// What comes next has this offset, or a higher one.
    pub(crate) fn begin_at(&mut self, offset: i64) {
        self.next = offset;
    }

    pub(crate) fn push(&mut self, record: InputRecord<'_>) {
        if record.offset < self.next {
            return;
        }
        self.next = record.offset + 1;
        let mut buffered = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buffered.cost;
        buffered.fill(record);
        self.bytes += buffered.cost;
        self.queue.push_back(buffered);
    }

    /// Memory of the records that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much memory of processed records may be kept for the next ones. Others' goes when it is used next.
    pub(crate) fn keep_spare(&mut self, bytes_max: usize) {
        self.spare_bytes_max = bytes_max;
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
        let Some(done) = self.queue.pop_front() else { return };
        let cost = done.cost;
        self.bytes -= cost;
        if self.spare.len() < SPARE && self.spare_bytes + cost <= self.spare_bytes_max {
            self.spare_bytes += cost;
            self.spare.push(done);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
