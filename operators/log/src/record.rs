//! Records and places on the log.

use std::fmt;
use std::sync::Arc;

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Counts from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A header: a name and bytes. Names may repeat; order is kept.
pub type Header<'a> = (&'a str, &'a [u8]);

/// What is written: bytes with a time.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// None is allowed on topics that aren't compacted.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970. Kafka's client takes 0 for "now", so there it is
    /// written as 1.
    pub timestamp: i64,
    /// In the order they are kept.
    pub headers: &'a [Header<'a>],
}

/// What is read, borrowed from the client for the length of one callback.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// Increases along the partition, with holes (markers, aborted records,
    /// compaction).
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// As written.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// As written.
    pub headers: &'a [Header<'a>],
}

/// A record that outlives its poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// As [`ConsumedRecord::offset`].
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// None where the record has none.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In the order they are kept.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl OwnedRecord {
    /// Copies what a poll lends.
    #[must_use]
    pub fn of(record: ConsumedRecord<'_>) -> Self {
        Self {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
        }
    }

    /// Lends it as a poll does.
    pub fn lend(&self, visit: &mut dyn FnMut(ConsumedRecord<'_>)) {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
        visit(ConsumedRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        });
    }
}
