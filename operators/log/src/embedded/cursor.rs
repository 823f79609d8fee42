//! Where a reader stands: one cursor per partition, visited in turns.
//!
//! Invariant: a cursor's position is the next offset to visit, and moves over
//! holes as soon as nothing visible lies in them, so `reached` needs no records.

use std::collections::VecDeque;
use std::sync::Arc;

use state_stores::Engine;

use super::batch::{Batch, HEAD};
use super::partition::Partition;
use crate::signal::Signal;
use crate::{ConsumedRecord, Isolation, LogError, TopicPartition, Visibility};

/// A poll ends after so many bytes although more records were asked for and are there: who takes them has bounds in bytes,
/// and can look at them only between two polls.
const POLL_BYTES: usize = 1 << 20;

/// What a poll may still bring: at least one record, whatever its size.
struct Room {
    records: usize,
    bytes: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.records > 0 && self.bytes > 0
    }

    fn take(&mut self, bytes: usize) {
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[derive(Debug)]
struct Cursor {
    partition: Arc<Partition>,
    position: i64,
    loaded: VecDeque<Arc<Batch>>,
    /// Byte in the first loaded batch.
    at: usize,
    /// Position after the last loaded batch.
    after: i64,
    paused: bool,
}

impl Cursor {
    /// Also ends a pause.
    fn seek(&mut self, offset: i64) {
        self.paused = false;
        self.position = offset;
        self.loaded.clear();
        self.at = HEAD;
    }

    fn visit(
        &mut self,
        engine: &dyn Engine,
        sees: (Visibility, Isolation),
        room: &mut Room,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<(), LogError> {
        while room.is_left() {
            let Some(batch) = self.loaded.front().cloned() else {
                let loaded = self.partition.load(engine, self.position, sees)?;
                if loaded.batches.is_empty() && loaded.next <= self.position {
                    break;
                }
                (self.loaded, self.after, self.at) = (loaded.batches, loaded.next, HEAD);
                self.pass_end();
                continue;
            };
            self.visit_batch(&batch, room, visit)?;
            if self.at >= batch.bytes.len() {
                self.loaded.pop_front();
                self.at = HEAD;
                self.pass_end();
            }
        }
        Ok(())
    }

    fn pass_end(&mut self) {
        if self.loaded.is_empty() {
            self.position = self.position.max(self.after);
        }
    }

    fn visit_batch(
        &mut self,
        batch: &Batch,
        room: &mut Room,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<(), LogError> {
        let at = &self.partition.at;
        let damaged =
            || LogError::Fatal(format!("the batch at {at} offset {} is damaged", batch.base));
        let mut headers = Vec::new();
        while room.is_left() && self.at < batch.bytes.len() {
            let (entry, next) = batch.entry(self.at).ok_or_else(damaged)?;
            self.at = next;
            if entry.offset < self.position {
                continue;
            }
            headers.clear();
            if !Batch::headers(&entry, &mut headers) {
                return Err(damaged());
            }
            visit(ConsumedRecord {
                topic: &at.topic,
                partition: at.partition,
                offset: entry.offset,
                timestamp: entry.timestamp,
                key: entry.key,
                value: entry.value,
                headers: &headers,
            });
            self.position = entry.offset + 1;
            let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
            room.take(length(entry.key) + length(entry.value));
        }
        Ok(())
    }
}

/// The cursors of one reader.
#[derive(Debug)]
pub(super) struct Cursors {
    sees: (Visibility, Isolation),
    signal: Arc<Signal>,
    cursors: Vec<Cursor>,
    /// Which cursor is first next time, so that a long partition starves none.
    turn: usize,
}

impl Cursors {
    pub(super) fn new(visibility: Visibility, isolation: Isolation) -> Self {
        Self { sees: (visibility, isolation), signal: Arc::default(), cursors: Vec::new(), turn: 0 }
    }

    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Reads these from now on, and nothing else.
    pub(super) fn assign(&mut self, positions: Vec<(Arc<Partition>, i64)>) {
        self.clear();
        for (partition, position) in positions {
            partition.listen(self.sees.0, &self.signal);
            self.cursors.push(Cursor {
                partition,
                position,
                loaded: VecDeque::new(),
                at: HEAD,
                after: position,
                paused: false,
            });
        }
    }

    /// Reads nothing.
    pub(super) fn clear(&mut self) {
        for cursor in self.cursors.drain(..) {
            cursor.partition.unlisten(&self.signal);
        }
    }

    /// Visits up to `max` records of all partitions, fewer where they are large.
    pub(super) fn visit(
        &mut self,
        engine: &dyn Engine,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<usize, LogError> {
        let count = self.cursors.len();
        let mut room = Room { records: max, bytes: POLL_BYTES };
        for step in 0..count {
            let cursor = &mut self.cursors[(self.turn + step) % count];
            if !cursor.paused && room.is_left() {
                cursor.visit(engine, self.sees, &mut room, visit)?;
            }
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        Ok(max - room.records)
    }

    pub(super) fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.find(at).map(|cursor| cursor.position)
    }

    pub(super) fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.position(at).is_some_and(|position| position >= end)
    }

    pub(super) fn seek(&mut self, at: &TopicPartition, offset: i64) -> Result<(), LogError> {
        self.find_mut(at)?.seek(offset);
        Ok(())
    }

    pub(super) fn pause(&mut self, at: &TopicPartition, paused: bool) -> Result<(), LogError> {
        self.find_mut(at)?.paused = paused;
        Ok(())
    }

    pub(super) fn is_paused(&self, at: &TopicPartition) -> bool {
        self.find(at).is_some_and(|cursor| cursor.paused)
    }

    fn find(&self, at: &TopicPartition) -> Option<&Cursor> {
        self.cursors.iter().find(|cursor| cursor.partition.at == *at)
    }

    fn find_mut(&mut self, at: &TopicPartition) -> Result<&mut Cursor, LogError> {
        self.cursors
            .iter_mut()
            .find(|cursor| cursor.partition.at == *at)
            .ok_or_else(|| LogError::Fatal(format!("{at} is not assigned to this reader")))
    }
}

impl Drop for Cursors {
    fn drop(&mut self) {
        self.clear();
    }
}
