//! Transactions that lie open in the log, as on Kafka: with
//! [`open_transactions`](super::EmbeddedOptions::open_transactions), what is delivered gets its offsets at once, and the
//! end of the transaction is a marker per partition, which may come late.
//!
//! Invariants: the last stable offset of a partition is the first offset of what is open there, so nothing above it is
//! ever shown as committed; a decision (commit or abort) is written before any of its markers, survives the log's crash,
//! and is never taken back; what was aborted is removed from the engine with its marker, its offsets stay used.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{Direction, Engine};

use super::faults::{Fault, Operation};
use super::keys;
use super::options::millis;
use super::partition::{Mark, Partition};
use super::shared::{Core, Shared, Write};
use super::topics::Topics;
use crate::LogError;

/// Every transaction whose last marker isn't written, by transactional id.
#[derive(Default)]
pub(super) struct OpenTransactions {
    by_id: BTreeMap<String, Open>,
    numbers: u64,
}

/// One of them.
#[derive(Default)]
struct Open {
    /// Tells it from the others in a partition.
    number: u64,
    since: i64,
    /// True: committed, false: aborted, None: neither yet.
    committed: Option<bool>,
    /// By topic number and partition, unless its marker is there: the base offsets of what was delivered.
    delivered: BTreeMap<(u32, u32), (Arc<Partition>, Vec<i64>)>,
    /// By key in the engine: the group's offsets that come with the commit.
    offsets: BTreeMap<Vec<u8>, i64>,
}

impl OpenTransactions {
    /// What the log held when it was ended.
    pub(super) fn recover(
        engine: &dyn Engine,
        topics: &Topics,
        now: i64,
    ) -> Result<Self, LogError> {
        let mut rows = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            let id = String::from_utf8_lossy(&key[keys::OPEN.len()..]).into_owned();
            rows.push((id, value.to_vec()));
            ControlFlow::Continue(())
        };
        engine
            .scan(keys::OPEN, Some(keys::OPEN_END), Direction::Forward, &mut visit)
            .map_err(|error| LogError::Fatal(format!("reading open transactions: {error}")))?;
        let mut found = Self::default();
        for (id, row) in rows {
            let open = Open { since: now, ..found.opened(&id, now) };
            let open = open.decode(&row, topics).ok_or_else(|| {
                LogError::Fatal(format!(
                    "the open transaction of `{id}` is damaged; restore the data folder"
                ))
            })?;
            for (partition, bases) in open.delivered.values() {
                let first = bases.iter().copied().min().unwrap_or_default();
                partition.reopen(open.number, first);
            }
            found.by_id.insert(id, open);
        }
        Ok(found)
    }

    /// True while a transaction will decide what the group has committed here.
    pub(super) fn may_change(&self, offset_key: &[u8]) -> bool {
        self.by_id.values().any(|open| open.offsets.contains_key(offset_key))
    }

    fn opened(&mut self, id: &str, now: i64) -> Open {
        self.by_id.remove(id).unwrap_or_else(|| {
            self.numbers += 1;
            Open { number: self.numbers, since: now, ..Open::default() }
        })
    }
}

impl Shared {
    /// Puts records of a transaction into their partitions, behind nothing's marker. Gives, per write, the offset of its
    /// first record.
    pub(super) fn deliver(
        &self,
        core: &mut Core,
        id: &str,
        mut writes: Vec<Write>,
    ) -> Result<Vec<i64>, LogError> {
        self.complete(core, id)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut open = core.open.opened(id, self.now());
        for write in &mut writes {
            let place = (write.partition.topic, write.partition.at.partition);
            let (_, bases) = open
                .delivered
                .entry(place)
                .or_insert_with(|| (Arc::clone(&write.partition), Vec::new()));
            let mut base = write.partition.bounds().next;
            for batch in &write.batches {
                bases.push(base);
                base += i64::from(batch.records());
            }
            (write.holes, write.mark) = (0, Mark::Opens(open.number));
        }
        let row = open.encode();
        core.open.by_id.insert(id.to_owned(), open);
        self.write(core, writes, |batch| batch.put(&keys::open(id), &row))
    }

    /// Offsets that the transaction will commit; until it ends they are unstable.
    pub(super) fn promise(
        &self,
        core: &mut Core,
        id: &str,
        offsets: Vec<(Vec<u8>, i64)>,
    ) -> Result<(), LogError> {
        self.complete(core, id)?;
        let mut open = core.open.opened(id, self.now());
        open.offsets.extend(offsets);
        let row = open.encode();
        core.open.by_id.insert(id.to_owned(), open);
        self.write(core, Vec::new(), |batch| batch.put(&keys::open(id), &row)).map(drop)
    }

    /// Decides how the transaction ends, unless that is decided, and writes those markers that aren't late.
    pub(super) fn decide(&self, core: &mut Core, id: &str, commit: bool) -> Result<(), LogError> {
        let Some(open) = core.open.by_id.get_mut(id) else { return Ok(()) };
        if !*open.committed.get_or_insert(commit) {
            open.offsets.clear();
        }
        self.write_markers(core, id, |marker| self.is_late(marker))
    }

    /// Waits, so to speak, for the last marker of a transaction that is decided.
    pub(super) fn complete(&self, core: &mut Core, id: &str) -> Result<(), LogError> {
        match core.open.by_id.get(id) {
            Some(open) if open.committed.is_some() => self.write_markers(core, id, |_| false),
            _ => Ok(()),
        }
    }

    /// Aborts what was open for too long, fencing its producer, and goes on with markers that were late.
    pub(super) fn end_transactions(&self, now: i64) -> Result<(), LogError> {
        let core = &mut *self.core.lock();
        let before = now - millis(self.options.transaction_timeout);
        let ids: Vec<String> = core.open.by_id.keys().cloned().collect();
        for id in ids {
            match core.open.by_id.get(&id) {
                Some(open) if open.committed.is_some() => {
                    self.write_markers(core, &id, |marker| self.is_late(marker))?;
                }
                Some(open) if open.since <= before => {
                    *core.epochs.entry(id.clone()).or_insert(0) += 1;
                    self.decide(core, &id, false)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_late(&self, marker: Operation) -> bool {
        let plan = self.options.faults.as_ref();
        plan.is_some_and(|plan| plan.next(marker) == Some(Fault::Late))
    }

    fn write_markers(
        &self,
        core: &mut Core,
        id: &str,
        is_late: impl Fn(Operation) -> bool,
    ) -> Result<(), LogError> {
        let Some(mut open) = core.open.by_id.remove(id) else { return Ok(()) };
        let (number, committed) = (open.number, open.committed == Some(true));
        let (mut writes, mut gone) = (Vec::new(), Vec::new());
        open.delivered.retain(|_, (partition, bases)| {
            if is_late(Operation::Marker) {
                return true;
            }
            let aborted = if committed { Vec::new() } else { std::mem::take(bases) };
            gone.extend(aborted.iter().map(|base| partition.row(*base)));
            let mark = Mark::Ends { number, aborted };
            let partition = Arc::clone(partition);
            writes.push(Write { partition, batches: Vec::new(), holes: 1, mark });
            false
        });
        let offsets = match open.offsets.is_empty() || is_late(Operation::OffsetMarker) {
            true => BTreeMap::new(),
            false => std::mem::take(&mut open.offsets),
        };
        let done = open.delivered.is_empty() && open.offsets.is_empty();
        let row = (!done).then(|| open.encode());
        if !done {
            core.open.by_id.insert(id.to_owned(), open);
        }
        self.write(core, writes, |batch| {
            gone.iter().for_each(|row| batch.delete(row));
            offsets.iter().for_each(|(key, offset)| batch.put(key, &offset.to_be_bytes()));
            match row {
                Some(row) => batch.put(&keys::open(id), &row),
                None => batch.delete(&keys::open(id)),
            }
        })?;
        Ok(())
    }
}

impl Open {
    /// Its row: decision u8, rows u32, (topic u32, partition u32, base i64)…, (length u16, key, offset i64)…
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.committed.map_or(0, |committed| 2 - u8::from(committed))];
        let rows: usize = self.delivered.values().map(|(_, bases)| bases.len()).sum();
        bytes.extend_from_slice(&(rows as u32).to_be_bytes());
        for ((topic, partition), (_, bases)) in &self.delivered {
            for base in bases {
                bytes.extend_from_slice(&topic.to_be_bytes());
                bytes.extend_from_slice(&partition.to_be_bytes());
                bytes.extend_from_slice(&base.to_be_bytes());
            }
        }
        for (key, offset) in &self.offsets {
            bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        bytes
    }

    fn decode(mut self, row: &[u8], topics: &Topics) -> Option<Self> {
        let (decision, rest) = row.split_first()?;
        self.committed = (*decision > 0).then_some(*decision == 1);
        let (rows, mut rest) = rest.split_first_chunk::<4>()?;
        for _ in 0..u32::from_be_bytes(*rows) {
            let (topic, after) = rest.split_first_chunk::<4>()?;
            let (partition, after) = after.split_first_chunk::<4>()?;
            let (base, after) = after.split_first_chunk::<8>()?;
            rest = after;
            let place = (u32::from_be_bytes(*topic), u32::from_be_bytes(*partition));
            let partition = topics.numbered(place.0)?.partition(place.1).ok()?.clone();
            let (_, bases) = self.delivered.entry(place).or_insert_with(|| (partition, Vec::new()));
            bases.push(i64::from_be_bytes(*base));
        }
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (key, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            let (offset, after) = after.split_first_chunk::<8>()?;
            rest = after;
            self.offsets.insert(key.to_vec(), i64::from_be_bytes(*offset));
        }
        Some(self)
    }
}
