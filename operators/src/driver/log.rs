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

struct MemoryTopic {
    partitions: Vec<Vec<Stored>>,
    /// Partition and offset of every record in the order they were appended.
    history: Vec<(u32, usize)>,
}

#[derive(Default)]
pub(super) struct MemoryLog {
    topics: BTreeMap<Arc<str>, MemoryTopic>,
    partitions: u32,
    counts: BTreeMap<Arc<str>, u32>,
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
        let topic = self.topics.entry(Arc::clone(topic)).or_insert_with(|| MemoryTopic {
            partitions: vec![Vec::new(); count as usize],
            history: Vec::new(),
        });
        let records = &mut topic.partitions[partition as usize];
        topic.history.push((partition, records.len()));
        records.push(record);
    }

    /// Records of one partition, by offset.
    pub(super) fn records(&self, topic: &str, partition: u32) -> &[Stored] {
        self.topics
            .get(topic)
            .and_then(|topic| topic.partitions.get(partition as usize))
            .map_or(&[], Vec::as_slice)
    }

    /// Records of all partitions of a topic in the order they were appended, after the `seen` first.
    pub(super) fn after(&self, topic: &str, seen: usize) -> impl Iterator<Item = (u32, &Stored)> {
        self.topics.get(topic).into_iter().flat_map(move |topic| {
            let history = topic.history.get(seen..).unwrap_or_default();
            history.iter().map(|(partition, offset)| {
                (*partition, &topic.partitions[*partition as usize][*offset])
            })
        })
    }

    /// Names of topics that have records.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }
}
