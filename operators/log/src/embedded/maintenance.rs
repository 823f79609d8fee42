//! Rounds of retention and compaction, in steps of bounded work, and deletion
//! on demand.
//!
//! A round looks at every partition once. Invariants: a step reads at most
//! `maintenance_step_bytes` (and one row more), writes one batch, and leaves
//! the log correct if nothing ever follows it; a partition's start only rises,
//! and only under the lock of `Shared::maintenance`.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::Direction;

use super::batch::Batch;
use super::compaction::Compaction;
use super::keys;
use super::options::millis;
use super::partition::Partition;
use super::shared::Shared;
use crate::topic::Cleanup;
use crate::{Isolation, LogError, TopicPartition, Visibility};

/// What is left of the present round.
pub(super) struct Maintenance {
    next_round: i64,
    todo: VecDeque<Job>,
}

enum Job {
    /// Drop what was written before this time.
    Expire(Arc<Partition>, i64),
    /// See whether compaction is worth while.
    Consider(Arc<Partition>),
    Compact(Box<Compaction>),
}

impl Maintenance {
    pub(super) fn new(now: i64) -> Self {
        Self { next_round: now, todo: VecDeque::new() }
    }

    /// When the next step is due; now while a round is going on.
    pub(super) fn due(&self) -> i64 {
        if self.todo.is_empty() { self.next_round } else { i64::MIN }
    }

    /// Ends the present round: topics were deleted that it may still have to do with.
    pub(super) fn forget(&mut self) {
        self.todo.clear();
    }

    /// Does one step if it is due. True: more follows at once.
    pub(super) fn step(&mut self, shared: &Shared, now: i64) -> Result<bool, LogError> {
        if self.due() > now {
            return Ok(false);
        }
        if self.todo.is_empty() {
            self.next_round = now.saturating_add(millis(shared.options.maintenance_interval));
            self.plan(shared, now);
        }
        let again = match self.todo.pop_front() {
            None => None,
            Some(Job::Expire(partition, before)) => {
                expire(shared, &partition, before)?.then_some(Job::Expire(partition, before))
            }
            Some(Job::Consider(partition)) => {
                Compaction::begin(shared, partition, now).map(Box::new).map(Job::Compact)
            }
            Some(Job::Compact(mut compaction)) => {
                compaction.step(shared, now)?.then_some(Job::Compact(compaction))
            }
        };
        if let Some(job) = again {
            self.todo.push_front(job);
        }
        Ok(!self.todo.is_empty())
    }

    fn plan(&mut self, shared: &Shared, now: i64) {
        for topic in shared.topics.all() {
            let cleanup = topic.cleanup.read().clone();
            for partition in &topic.partitions {
                let partition = || Arc::clone(partition);
                match &cleanup {
                    Cleanup::Keep => {}
                    Cleanup::Compact | Cleanup::CompactOften => {
                        self.todo.push_back(Job::Consider(partition()))
                    }
                    Cleanup::Delete(after) => {
                        self.todo.push_back(Job::Expire(partition(), now - millis(*after)))
                    }
                    Cleanup::CompactDelete(after) => {
                        self.todo.push_back(Job::Expire(partition(), now - millis(*after)));
                        self.todo.push_back(Job::Consider(partition()));
                    }
                }
            }
        }
    }
}

/// Drops rows that were written before `before` and are synced, oldest first.
/// True: there may be more.
fn expire(shared: &Shared, partition: &Partition, before: i64) -> Result<bool, LogError> {
    let bounds = partition.bounds();
    let durable = partition.visible(Visibility::Durable, Isolation::ReadCommitted);
    let (mut start, mut bytes, mut more) = (bounds.start, 0, false);
    let mut visit = |key: &[u8], value: &[u8]| {
        let batch = keys::row_base(key).and_then(|base| Batch::decode(base, value));
        let Some(batch) = batch else { return ControlFlow::Break(()) };
        if batch.written_at() >= before || batch.last >= durable {
            return ControlFlow::Break(());
        }
        start = batch.last + 1;
        bytes += value.len();
        more = bytes >= shared.options.maintenance_step_bytes;
        if more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    shared
        .engine
        .scan(&partition.row(0), Some(&partition.row(bounds.next)), Direction::Forward, &mut visit)
        .map_err(|error| LogError::Fatal(format!("retention of {}: {error}", partition.at)))?;
    if start > bounds.start {
        tracing::debug!(partition = %partition.at, from = bounds.start, to = start, "expired records dropped");
        shared.clean(partition, |bounds, batch| {
            bounds.start = start;
            bounds.clean_to = bounds.clean_to.max(start);
            batch.delete_range(&partition.row(0), &partition.row(start));
        })?;
    }
    Ok(more)
}

/// Drops what lies below `before`. What isn't synced yet stays: a durable
/// reader hasn't seen it.
pub(super) fn delete_records(
    shared: &Shared,
    at: &TopicPartition,
    before: i64,
) -> Result<(), LogError> {
    let topic = shared.topics.get(&at.topic)?;
    if matches!(*topic.cleanup.read(), Cleanup::Compact | Cleanup::CompactOften) {
        return Err(LogError::Fatal(format!(
            "deleting records of {at}: the topic is compacted and keeps the last of each key; write tombstones"
        )));
    }
    let partition = topic.partition(at.partition)?;
    let _one_at_a_time = shared.maintenance.lock();
    let bounds = partition.bounds();
    if !(0..=bounds.next).contains(&before) {
        return Err(LogError::Fatal(format!(
            "deleting records of {at} below {before}: it ends at {}",
            bounds.next
        )));
    }
    let start = before.min(partition.visible(Visibility::Durable, Isolation::ReadCommitted));
    if start <= bounds.start {
        return Ok(());
    }
    // The batch that holds `start` stays whole; readers skip its first records.
    let below = partition.row(start);
    let mut kept = below;
    let mut visit = |key: &[u8], value: &[u8]| {
        let batch = keys::row_base(key).and_then(|base| Batch::decode(base, value));
        if let Some(batch) = batch.filter(|batch| batch.last >= start) {
            kept = partition.row(batch.base);
        }
        ControlFlow::Break(())
    };
    shared
        .engine
        .scan(&partition.row(0), Some(&below), Direction::Reverse, &mut visit)
        .map_err(|error| LogError::Fatal(format!("deleting records of {at}: {error}")))?;
    shared.clean(partition, |bounds, batch| {
        bounds.start = start;
        bounds.clean_to = bounds.clean_to.max(start);
        batch.delete_range(&partition.row(0), &kept);
    })
}
