//! Atomic transactions.
//!
//! Records wait in memory and get their offsets at commit, when records,
//! markers and input offsets become one engine batch. Invariants: what is open
//! is nowhere but here, so a crash needs no undo; epoch and generations are
//! checked under the same lock as the write, so a zombie can't slip in between.
//!
//! With `open_transactions`, what was flushed lies in the log instead ([`super::open`]), and generations are checked when
//! offsets are sent, as a broker does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::{Fault, Operation};
use super::keys;
use super::outbox::{Outbox, counts, records};
use super::shared::{Core, Shared};
use crate::{GroupMetadata, LogError, NewRecord, TopicPartition, TxnProducer};

pub(super) struct Producer {
    shared: Arc<Shared>,
    transactional_id: String,
    epoch: Option<u64>,
    open: bool,
    outbox: Outbox,
    offsets: Vec<(GroupMetadata, Vec<(TopicPartition, i64)>)>,
    acknowledged: BTreeMap<TopicPartition, i64>,
}

impl Producer {
    pub(super) fn new(shared: Arc<Shared>, transactional_id: &str) -> Self {
        Self {
            shared,
            transactional_id: transactional_id.to_owned(),
            epoch: None,
            open: false,
            outbox: Outbox::default(),
            offsets: Vec::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.open {
            return Ok(());
        }
        Err(LogError::Fatal(format!(
            "`{}` has no open transaction; call begin first",
            self.transactional_id
        )))
    }

    fn check_epoch(&self, core: &Core) -> Result<(), LogError> {
        let id = &self.transactional_id;
        match self.epoch {
            None => Err(LogError::Fatal(format!("`{id}` was not initialised; call init first"))),
            Some(epoch) if core.epochs.get(id) == Some(&epoch) => Ok(()),
            Some(_) => Err(LogError::Fenced(format!("transactional id `{id}` has a newer holder"))),
        }
    }

    fn forget(&mut self) {
        self.open = false;
        self.offsets.clear();
        drop(self.outbox.take(1));
    }

    fn write_commit(&mut self) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let core = &mut *shared.core.lock();
        self.check_epoch(core)?;
        for (group, offsets) in &self.offsets {
            core.groups.check(group, offsets)?;
        }
        let rows = offset_rows(&shared, &self.offsets)?;
        let writes = self.outbox.take(1);
        if writes.is_empty() && rows.is_empty() {
            return Ok(());
        }
        let sent = counts(&writes);
        let firsts = shared.write(core, writes, |batch| {
            rows.iter().for_each(|(key, offset)| batch.put(key, &offset.to_be_bytes()));
        })?;
        self.acknowledge(sent, firsts);
        Ok(())
    }

    fn acknowledge(&mut self, sent: Vec<(TopicPartition, i64)>, firsts: Vec<i64>) {
        for ((at, records), first) in sent.into_iter().zip(firsts) {
            self.acknowledged.insert(at, first + records);
        }
    }

    fn lies_open(&self) -> bool {
        self.shared.options.open_transactions
    }

    /// Puts what is queued into the log, or what goes to half of the partitions.
    fn deliver(&mut self, torn: bool) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let core = &mut *shared.core.lock();
        self.check_epoch(core)?;
        let mut writes = self.outbox.take(1);
        if torn {
            writes.truncate(writes.len() / 2);
        }
        let sent = counts(&writes);
        let firsts = shared.deliver(core, &self.transactional_id, writes)?;
        self.acknowledge(sent, firsts);
        Ok(())
    }

    fn decide(&mut self, commit: bool) -> Result<(), LogError> {
        if commit {
            self.deliver(false)?;
        }
        let core = &mut *self.shared.core.lock();
        self.check_epoch(core)?;
        self.shared.decide(core, &self.transactional_id, commit)
    }
}

/// Where which offset of a group goes in the engine.
pub(super) fn offset_rows(
    shared: &Shared,
    offsets: &[(GroupMetadata, Vec<(TopicPartition, i64)>)],
) -> Result<Vec<(Vec<u8>, i64)>, LogError> {
    let offsets =
        offsets.iter().flat_map(|(group, offsets)| offsets.iter().map(move |of| (group, of)));
    offsets
        .map(|(group, (at, offset))| {
            let topic = shared.topics.get(&at.topic)?.number;
            Ok((keys::offset(&group.group, topic, at.partition), *offset))
        })
        .collect()
}

impl TxnProducer for Producer {
    fn init(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Init)?;
        self.forget();
        let mut core = self.shared.core.lock();
        let epoch = core.epochs.entry(self.transactional_id.clone()).or_insert(0);
        *epoch += 1;
        self.epoch = Some(*epoch);
        if self.shared.options.open_transactions {
            self.shared.decide(&mut core, &self.transactional_id, false)?;
            self.shared.complete(&mut core, &self.transactional_id)?;
        }
        drop(core);
        self.shared.finish(fault)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Begin)?;
        if self.open {
            let id = &self.transactional_id;
            return Err(LogError::Fatal(format!(
                "`{id}` has an open transaction; commit or abort it first"
            )));
        }
        self.check_epoch(&self.shared.core.lock())?;
        self.acknowledged.clear();
        self.open = true;
        self.shared.finish(fault)
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        self.check_open()?;
        self.outbox.push(&self.shared, topic, partition, &record)?;
        if self.lies_open() && self.shared.begin(Operation::Send)? == Some(Fault::Early) {
            return self.deliver(false);
        }
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.check_open()?;
        let fault = self.shared.begin(Operation::SendOffsets)?;
        {
            let core = self.shared.core.lock();
            self.check_epoch(&core)?;
            core.groups.check(group, offsets)?;
        }
        self.offsets.push((group.clone(), offsets.to_vec()));
        if self.lies_open() {
            let rows = offset_rows(&self.shared, &std::mem::take(&mut self.offsets))?;
            self.shared.promise(&mut self.shared.core.lock(), &self.transactional_id, rows)?;
        }
        self.shared.finish(fault)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Flush)?;
        self.check_epoch(&self.shared.core.lock())?;
        if self.lies_open() {
            self.deliver(fault == Some(Fault::Torn))?;
        }
        self.shared.finish(fault)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.check_open()?;
        let fault = self.shared.begin(Operation::Commit)?;
        if self.lies_open() {
            self.decide(true)?
        } else {
            self.write_commit()?
        }
        self.forget();
        self.shared.finish(fault)
    }

    /// Uses up the offsets that the records and the marker would have had, so
    /// that whoever reads copes with holes.
    fn abort(&mut self) -> Result<(), LogError> {
        let fault = self.shared.begin(Operation::Abort)?;
        self.open = false;
        self.offsets.clear();
        let mut writes = self.outbox.take(1);
        if self.lies_open() {
            self.decide(false)?;
            return self.shared.finish(fault);
        }
        for write in &mut writes {
            write.holes += records(&write.batches);
            write.batches.clear();
        }
        let core = &mut *self.shared.core.lock();
        self.check_epoch(core)?;
        if !writes.is_empty() {
            self.shared.write(core, writes, |_| {})?;
        }
        self.shared.finish(fault)
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        self.acknowledged.get(at).copied()
    }
}
