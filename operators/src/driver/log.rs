//! The test driver's log: topics in memory, all partitions, nothing ever removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::partition::partition_for_key;

use crate::headers::Headers;

/// A record on an in-memory topic.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
    pub(super) headers: Headers,
}

#[derive(Default)]
pub(super) struct MemoryLog {
    topics: BTreeMap<Arc<str>, Vec<Vec<Stored>>>,
    partitions: u32,
    counts: BTreeMap<Arc<str>, u32>,
    /// Topic, partition and offset of every record in the order they were appended.
    history: Vec<(Arc<str>, u32, usize)>,
}

impl MemoryLog {
    pub(super) fn new(partitions: u32, counts: BTreeMap<Arc<str>, u32>) -> Self {
        Self { partitions, counts, ..Self::default() }
    }

    pub(super) fn partitions(&self, topic: &str) -> u32 {
        self.counts.get(topic).copied().unwrap_or(self.partitions)
    }

    pub(super) fn append(&mut self, topic: &Arc<str>, partition: Option<u32>, record: Stored) {
        let count = self.partitions(topic);
        let by_key = || record.key.as_ref().map_or(0, |key| partition_for_key(key, count));
        let partition = partition.unwrap_or_else(by_key);
        let partitions = self
            .topics
            .entry(Arc::clone(topic))
            .or_insert_with(|| vec![Vec::new(); count as usize]);
        let records = &mut partitions[partition as usize];
        self.history.push((Arc::clone(topic), partition, records.len()));
        records.push(record);
    }

    /// Records of one partition, by offset.
    pub(super) fn records(&self, topic: &str, partition: u32) -> &[Stored] {
        self.topics
            .get(topic)
            .and_then(|topic| topic.get(partition as usize))
            .map_or(&[], Vec::as_slice)
    }

    /// Records of all partitions of a topic in the order they were appended, after the `seen` first.
    pub(super) fn after<'a>(
        &'a self,
        topic: &'a str,
        seen: usize,
    ) -> impl Iterator<Item = (u32, &'a Stored)> {
        let of_topic = self.history.iter().filter(move |(name, _, _)| &**name == topic);
        of_topic.skip(seen).map(move |(_, partition, offset)| {
            (*partition, &self.records(topic, *partition)[*offset])
        })
    }

    /// Names of topics that have records.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }
}
