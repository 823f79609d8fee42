//! A producer without transactions: what it flushes is there, whatever becomes of it afterwards.
//!
//! Invariant: offsets are written after everything that was sent before them, and only from the present generation, as
//! those of a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::{Fault, Operation};
use super::outbox::{Outbox, counts};
use super::producer::offset_rows;
use super::shared::Shared;
use crate::{GroupMetadata, LogError, NewRecord, TopicPartition, TxnProducer};

pub(super) struct PlainProducer {
    shared: Arc<Shared>,
    outbox: Outbox,
    offsets: Vec<(GroupMetadata, Vec<(TopicPartition, i64)>)>,
    acknowledged: BTreeMap<TopicPartition, i64>,
    /// Which half a torn delivery writes: brokers take partitions in any order.
    is_upper: bool,
}

impl PlainProducer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            outbox: Outbox::default(),
            offsets: Vec::new(),
            acknowledged: BTreeMap::new(),
            is_upper: false,
        }
    }

    /// Writes what is queued, or what goes to half of the partitions, the upper and the lower in turn.
    fn deliver(&mut self, torn: bool) -> Result<(), LogError> {
        let mut writes = self.outbox.take(0);
        if torn {
            let upper = writes.split_off(writes.len() / 2);
            self.is_upper = !self.is_upper;
            if self.is_upper {
                writes = upper;
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let sent = counts(&writes);
        let firsts = self.shared.write(&mut self.shared.core.lock(), writes, |_| {})?;
        for ((at, records), first) in sent.into_iter().zip(firsts) {
            self.acknowledged.insert(at, first + records);
        }
        Ok(())
    }

    fn commit_offsets(&mut self) -> Result<(), LogError> {
        let core = &mut *self.shared.core.lock();
        for (group, offsets) in &self.offsets {
            core.groups.check(group, offsets)?;
        }
        let rows = offset_rows(&self.shared, &self.offsets)?;
        if !rows.is_empty() {
            self.shared.write(core, Vec::new(), |batch| {
                rows.iter().for_each(|(key, offset)| batch.put(key, &offset.to_be_bytes()));
            })?;
        }
        self.offsets.clear();
        Ok(())
    }
}

impl TxnProducer for PlainProducer {
    fn init(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Init)?;
        self.shared.finish(fault)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Begin)?;
        self.acknowledged.clear();
        self.offsets.clear();
        self.shared.finish(fault)
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        self.outbox.push(&self.shared, topic, partition, &record)?;
        match self.shared.begin(Operation::Send)? {
            Some(Fault::Early) => self.deliver(false),
            _ => Ok(()),
        }
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::SendOffsets)?;
        self.shared.core.lock().groups.check(group, offsets)?;
        self.offsets.push((group.clone(), offsets.to_vec()));
        self.shared.finish(fault)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Flush)?;
        self.deliver(fault == Some(Fault::Torn))?;
        self.shared.finish(fault)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Commit)?;
        self.deliver(false)?;
        self.commit_offsets()?;
        self.shared.finish(fault)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Abort)?;
        drop(self.outbox.take(0));
        self.offsets.clear();
        self.shared.finish(fault)
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        self.acknowledged.get(at).copied()
    }
}
