//! Compaction of one partition: the last record of each key stays; a tombstone
//! goes when it has been there for the tombstone retention.
//!
//! First the new part of the partition is indexed (key → last offset), then the
//! rows are rewritten from the start without what the index outdates. Offsets
//! never change. Invariant: each rewritten row is correct on its own, so a crash
//! between two steps only leaves work undone. Time counts from when the log
//! wrote a record, not from the record's timestamp: a replay of old data must
//! not lose its tombstones before anybody has read them.

use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;
use state_stores::{Direction, Durability, WriteBatch};
use uuid::Uuid;

use super::batch::{Batch, Entry};
use super::keys;
use super::options::millis;
use super::partition::Partition;
use super::shared::Shared;
use crate::{Isolation, LogError, Visibility};

/// Keys one round indexes at most; what lies behind waits for the next round.
const MOST_KEYS: usize = 500_000;

/// A compaction that is going on.
pub(super) struct Compaction {
    partition: Arc<Partition>,
    /// Digest of the key → its last offset.
    last: HashMap<u128, i64>,
    phase: Phase,
    /// Next offset to look at in this phase.
    at: i64,
    /// The round compacts below this.
    end: i64,
    tombstones_due: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Index,
    Rewrite,
}

impl Compaction {
    /// Begins if enough is new, or a tombstone may go.
    pub(super) fn begin(shared: &Shared, partition: Arc<Partition>, now: i64) -> Option<Self> {
        let bounds = partition.bounds();
        let end = partition.visible(Visibility::Durable, Isolation::ReadCommitted);
        let new = end - bounds.clean_to;
        // A long clean part is rewritten only for a worthwhile new part.
        let worthwhile =
            shared.options.compaction_min_offsets.max((bounds.clean_to - bounds.start) / 4);
        if (new == 0 || new < worthwhile) && bounds.tombstones_due > now {
            return None;
        }
        let last = HashMap::new();
        Some(Self {
            partition,
            last,
            phase: Phase::Index,
            at: bounds.clean_to,
            end,
            tombstones_due: i64::MAX,
        })
    }

    /// One bounded step. True: more follows.
    pub(super) fn step(&mut self, shared: &Shared, now: i64) -> Result<bool, LogError> {
        let (batches, through) = self.load(shared)?;
        match self.phase {
            Phase::Index => {
                batches.iter().for_each(|batch| self.index(batch));
                if self.last.len() >= MOST_KEYS {
                    self.end = self.at;
                }
                if through || self.last.len() >= MOST_KEYS {
                    self.phase = Phase::Rewrite;
                    self.at = self.partition.bounds().start;
                }
                Ok(true)
            }
            Phase::Rewrite => {
                self.rewrite(shared, &batches, now)?;
                if through {
                    self.done(shared)?;
                }
                Ok(!through)
            }
        }
    }

    /// The next rows below `end`; true when there are no more.
    fn load(&mut self, shared: &Shared) -> Result<(Vec<Batch>, bool), LogError> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        let limit = shared.options.maintenance_step_bytes;
        let mut visit = |key: &[u8], value: &[u8]| {
            bytes += value.len();
            batches.extend(keys::row_base(key).and_then(|base| Batch::decode(base, value)));
            if bytes >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (from, to) = (self.partition.row(self.at), self.partition.row(self.end));
        shared.engine.scan(&from, Some(&to), Direction::Forward, &mut visit).map_err(|error| {
            LogError::Fatal(format!("compaction of {}: {error}", self.partition.at))
        })?;
        self.at = batches.last().map_or(self.end, |batch| batch.last + 1);
        Ok((batches, bytes < limit))
    }

    fn index(&mut self, batch: &Batch) {
        let mut at = super::batch::HEAD;
        while let Some((entry, next)) = batch.entry(at) {
            if let Some(key) = entry.key {
                self.last.insert(digest(key), entry.offset);
            }
            at = next;
        }
    }

    fn rewrite(&mut self, shared: &Shared, batches: &[Batch], now: i64) -> Result<(), LogError> {
        let retention = millis(shared.options.tombstone_retention);
        let mut write = WriteBatch::new();
        for batch in batches {
            let goes_at = batch.written_at().saturating_add(retention);
            let (kept, records) = batch.retain(|entry| self.keeps(entry, goes_at, now));
            let key = self.partition.row(batch.base);
            if records == 0 {
                write.delete(&key);
            } else if records < batch.records() {
                write.put(&key, &kept.bytes);
            }
        }
        if write.is_empty() {
            return Ok(());
        }
        let written = shared.engine.write(&write, Durability::Wal);
        written.map_err(|error| {
            shared.end(&format!("the log could not be compacted and has stopped: {error}"))
        })
    }

    fn keeps(&mut self, entry: &Entry<'_>, goes_at: i64, now: i64) -> bool {
        let Some(key) = entry.key else { return true };
        if self.last.get(&digest(key)).is_some_and(|last| *last > entry.offset) {
            return false;
        }
        if entry.value.is_none() {
            if goes_at <= now {
                return false;
            }
            self.tombstones_due = self.tombstones_due.min(goes_at);
        }
        true
    }

    fn done(&mut self, shared: &Shared) -> Result<(), LogError> {
        let (end, due) = (self.end, self.tombstones_due);
        tracing::debug!(partition = %self.partition.at, end, "compacted");
        shared.clean(&self.partition, |bounds, _| {
            bounds.clean_to = bounds.clean_to.max(end);
            bounds.tombstones_due = due;
        })
    }
}

/// 128 bits of SHA-1: equal digests of different keys don't happen.
fn digest(key: &[u8]) -> u128 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key).as_u128()
}
