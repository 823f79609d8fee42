//! What a consumer reads: one lane for each partition, with librdkafka's queue
//! of that partition, the next offset and the known end.
//!
//! Queues are split per partition so that a paused one keeps what was fetched, and
//! each is emptied in one call. A queue is split before the partition is assigned:
//! afterwards records could already sit in the common queue.
//!
//! Invariant: a lane is level with offset `n` when everything below `n` was
//! visited (`next`) or librdkafka reported the end there (`level`), which covers
//! markers, aborted records and compaction.

use std::sync::Arc;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use smallvec::SmallVec;

use crate::error::LogError;
use crate::record::{ConsumedRecord, Header, TopicPartition};
use crate::signal::Signal;

use super::context::Context;
use super::metadata::native;
use super::native::{Fetched, Found, Queue};
use super::triage::{is_transient, is_unknown, sort};

/// The caller's closure that sees each record.
pub(super) type Visit<'v> = dyn FnMut(ConsumedRecord<'_>) + 'v;

struct Lane {
    at: TopicPartition,
    queue: Queue,
    next: i64,
    level: i64,
    paused: bool,
}

/// All lanes of one consumer.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Where the next drain begins, so that no partition starves.
    first: usize,
    /// Found after records had been visited; the next drain reports it.
    failure: Option<LogError>,
    /// A position moved although nothing was visited: an end was reached.
    levelled: bool,
    /// librdkafka said that a partition isn't there. It goes on by itself when it finds it again.
    unknown: bool,
}

impl Lanes {
    /// Opens lanes that will begin at these offsets. Call before the partitions
    /// are assigned.
    pub(super) fn open(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        offsets: &[(TopicPartition, i64)],
        signal: &Arc<Signal>,
    ) -> Result<(), LogError> {
        for (at, next) in offsets {
            let queue = Queue::open(consumer, &at.topic, native(at.partition), signal)
                .ok_or_else(|| LogError::Fatal(format!("{at}: no queue for this partition")))?;
            let (at, next) = (at.clone(), *next);
            self.lanes.push(Lane { at, queue, next, level: next, paused: false });
        }
        Ok(())
    }

    /// Closes the lanes of these partitions.
    pub(super) fn close(&mut self, partitions: &[TopicPartition]) {
        self.lanes.retain(|lane| !partitions.contains(&lane.at));
        self.first = 0;
    }

    /// Closes every lane. Queues keep their consumer alive, so this comes
    /// before its drop.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.first = 0;
        self.failure = None;
    }

    fn lane(&self, at: &TopicPartition) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.at == *at)
    }

    /// Next offset to read.
    pub(super) fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.lane(at).map(|lane| lane.next.max(lane.level))
    }

    /// True once everything below `end` was visited or can't be.
    pub(super) fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.position(at).is_some_and(|next| next >= end)
    }

    /// After a seek, which also ends a pause.
    pub(super) fn moved(&mut self, at: &TopicPartition, next: i64) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.at == *at) {
            (lane.next, lane.level, lane.paused) = (next, next, false);
        }
    }

    /// After a new assignment, which ends all pauses.
    pub(super) fn resume_all(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.paused = false);
    }

    /// A paused lane keeps what librdkafka fetched ahead: pausing in librdkafka
    /// would throw it away and fetch it again.
    pub(super) fn set_paused(
        &mut self,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<(), LogError> {
        for at in partitions {
            let lane = self.lanes.iter_mut().find(|lane| lane.at == *at);
            let lane = lane.ok_or_else(|| LogError::Fatal(format!("{at} isn't assigned here")))?;
            lane.paused = paused;
        }
        Ok(())
    }

    /// True once after a drain found out that a lane is level with its end: a
    /// caller that waits for that has waited long enough.
    pub(super) fn take_levelled(&mut self) -> bool {
        std::mem::take(&mut self.levelled)
    }

    /// True once after librdkafka said that a partition isn't there.
    pub(super) fn take_unknown(&mut self) -> bool {
        std::mem::take(&mut self.unknown)
    }

    /// What is read: topics and their partitions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.lanes.iter().map(|lane| (&*lane.at.topic, lane.at.partition))
    }

    /// Visits up to `max` records that have arrived. Doesn't wait.
    pub(super) fn drain(&mut self, max: usize, visit: &mut Visit<'_>) -> Result<usize, LogError> {
        let mut visited = 0;
        for turn in 0..self.lanes.len() {
            if visited >= max || self.failure.is_some() {
                break;
            }
            let index = (self.first + turn) % self.lanes.len();
            let lane = &mut self.lanes[index];
            if !lane.paused {
                let before = lane.level.max(lane.next);
                let seen = visited;
                self.failure = lane.drain(max, &mut visited, &mut self.unknown, visit).err();
                self.levelled |= visited == seen && lane.level > before;
            }
        }
        self.first = (self.first + 1) % self.lanes.len().max(1);
        match self.failure.take_if(|_| visited == 0) {
            Some(failure) => Err(failure),
            None => Ok(visited),
        }
    }
}

impl Lane {
    fn drain(
        &mut self,
        max: usize,
        visited: &mut usize,
        unknown: &mut bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        let Self { at, queue, next, level, .. } = self;
        let mut failure = None;
        while *visited < max && failure.is_none() {
            let room = max - *visited;
            let taken = queue.drain(room, &mut |found| match found {
                // librdkafka hands a record out twice when a cooperative rebalance pauses its partition just then.
                Found::Record(message) if message.offset() < *next => {}
                Found::Record(message) => {
                    lend(&message, at, visit);
                    *next = message.offset() + 1;
                    *visited += 1;
                }
                Found::End(end) => *level = end.max(*level),
                Found::Failed(code) if is_unknown(code) => {
                    tracing::warn!(%at, %code, "a broker doesn't know this partition, or not yet");
                    *unknown = true;
                }
                // What comes behind it is visited all the same.
                Found::Failed(code) => {
                    failure = failure.take().or(judge(at, code, (*next).max(*level)).err());
                }
            });
            if taken < room {
                break;
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// librdkafka goes on by itself after what passes; the rest is the caller's.
fn judge(at: &TopicPartition, code: Code, position: i64) -> Result<(), LogError> {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Err(LogError::OffsetOutOfRange { at: at.clone(), position })
        }
        code if is_transient(code) => {
            tracing::debug!(%at, %code, "reading");
            Ok(())
        }
        code => {
            let error = KafkaError::MessageConsumption(code);
            Err(sort(&error, format_args!("reading {at}")))
        }
    }
}

/// Shows a message to the caller without copying it. Kafka allows what a
/// [`Header`] doesn't: a name that isn't UTF-8 is shown with replacement
/// characters, a missing value as an empty one.
fn lend(message: &Fetched<'_>, at: &TopicPartition, visit: &mut Visit<'_>) {
    let found: SmallVec<[_; 8]> = message
        .headers()
        .map(|(name, value)| (String::from_utf8_lossy(name), value.unwrap_or_default()))
        .collect();
    let headers: SmallVec<[Header<'_>; 8]> =
        found.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
    visit(ConsumedRecord {
        topic: &at.topic,
        partition: at.partition,
        offset: message.offset(),
        timestamp: message.timestamp(),
        key: message.key(),
        value: message.value(),
        headers: &headers,
    });
}
