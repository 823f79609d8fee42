//! What a producer has queued: batches by partition, without offsets yet.

use std::sync::Arc;

use super::appender;
use super::batch::Builder;
use super::partition::Mark;
use super::shared::{Shared, Write};
use super::topics::Topic;
use crate::{LogError, NewRecord, TopicPartition};

#[derive(Default)]
pub(super) struct Outbox {
    /// By name; kept over transactions.
    topics: hashbrown::HashMap<Box<str>, Slots>,
}

struct Slots {
    topic: Arc<Topic>,
    /// By partition.
    batches: Vec<Vec<Builder>>,
}

impl Outbox {
    pub(super) fn push(
        &mut self,
        shared: &Shared,
        topic: &str,
        partition: u32,
        record: &NewRecord<'_>,
    ) -> Result<(), LogError> {
        if !self.topics.contains_key(topic) {
            let found = shared.topics.get(topic)?;
            let batches = found.partitions.iter().map(|_| Vec::new()).collect();
            self.topics.insert(topic.into(), Slots { topic: found, batches });
        }
        let Some(slots) = self.topics.get_mut(topic) else { return Ok(()) };
        appender::check(&slots.topic, partition, record, shared.options.max_record_bytes)?;
        let batches = &mut slots.batches[partition as usize];
        match batches.last_mut() {
            Some(batch) if !batch.is_full() => batch.push(record),
            _ => {
                let mut batch = Builder::new();
                batch.push(record);
                batches.push(batch);
            }
        }
        Ok(())
    }

    /// What was sent, in a fixed order with so many holes behind it in each partition, and forgets it.
    pub(super) fn take(&mut self, holes: i64) -> Vec<Write> {
        let mut writes: Vec<Write> = self
            .topics
            .values_mut()
            .flat_map(|slots| slots.topic.partitions.iter().zip(&mut slots.batches))
            .filter(|(_, batches)| !batches.is_empty())
            .map(|(partition, batches)| Write {
                partition: Arc::clone(partition),
                batches: std::mem::take(batches),
                holes,
                mark: Mark::Whole,
            })
            .collect();
        writes.sort_unstable_by_key(|write| (write.partition.topic, write.partition.at.partition));
        writes
    }
}

/// How many records go to each partition.
pub(super) fn counts(writes: &[Write]) -> Vec<(TopicPartition, i64)> {
    writes.iter().map(|write| (write.partition.at.clone(), records(&write.batches))).collect()
}

pub(super) fn records(batches: &[Builder]) -> i64 {
    batches.iter().map(|batch| i64::from(batch.records())).sum()
}
