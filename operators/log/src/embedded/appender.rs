//! Appends outside transactions: written at once, acknowledged after the sync.

use std::sync::Arc;

use state_stores::partition::partition_for_key;

use super::batch::{self, Builder};
use super::faults::Operation;
use super::partition::Mark;
use super::shared::{Acknowledgement, Done, Shared, Write};
use super::topics::Topic;
use crate::{Appended, Appender, LogError, NewRecord};

pub(super) struct PlainAppender {
    pub(super) shared: Arc<Shared>,
}

impl PlainAppender {
    fn write(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: &NewRecord<'_>,
        done: Done,
    ) -> Result<(), (LogError, Done)> {
        let prepared = self.shared.begin(Operation::Append).and_then(|fault| {
            let topic = self.shared.topics.get(topic)?;
            let partition = partition.unwrap_or_else(|| choose(&topic, record));
            let partition = Arc::clone(topic.partition(partition)?);
            check(&topic, partition.at.partition, record, self.shared.options.max_record_bytes)?;
            Ok((fault, partition))
        });
        let (fault, partition) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((error, done)),
        };
        let mut builder = Builder::new();
        builder.push(record);
        let index = partition.at.partition;
        let core = &mut *self.shared.core.lock();
        let write = Write { partition, batches: vec![builder], holes: 0, mark: Mark::Whole };
        match self.shared.write(core, vec![write], |_| {}) {
            Err(error) => return Err((error, done)),
            Ok(firsts) => match self.shared.finish(fault) {
                Err(error) => return Err((error, done)),
                Ok(()) => {
                    core.acknowledgements.push(Acknowledgement { done, at: (index, firsts[0]) })
                }
            },
        }
        self.shared.alarm.written(true);
        Ok(())
    }
}

impl Appender for PlainAppender {
    fn append(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: NewRecord<'_>,
        done: Box<dyn FnOnce(Appended) + Send>,
    ) {
        if let Err((error, done)) = self.write(topic, partition, &record, done) {
            done(Err(error));
        }
    }
}

/// The key's partition; records without a key go to partition 0, so that one
/// sender's order holds.
fn choose(topic: &Topic, record: &NewRecord<'_>) -> u32 {
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    record.key.map_or(0, |key| partition_for_key(key, count))
}

/// Refuses what the topic can't hold.
pub(super) fn check(
    topic: &Topic,
    partition: u32,
    record: &NewRecord<'_>,
    limit: usize,
) -> Result<(), LogError> {
    let at = &topic.partition(partition)?.at;
    if record.key.is_none() && topic.is_compacted() {
        return Err(LogError::Refused(format!(
            "no key for {at}, whose topic is compacted; give it a key"
        )));
    }
    batch::check(record, limit, at)
}
