//! What a task wants written, as bytes in one buffer that is reused.
//!
//! Invariant: what was added after a mark disappears when the outputs are cut
//! back to it, so a record that fails leaves no output.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::headers::Headers;

/// One record to be sent, borrowed from the task.
#[derive(Clone, Copy, Debug)]
pub struct OutputRecord<'a> {
    /// Where to.
    pub topic: &'a str,
    /// None: murmur2 of `partition_key`, as Kafka's default partitioner.
    pub partition: Option<u32>,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// The part of the key that chooses the partition: all of it, but of a windowed key the key itself.
    pub partition_key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// In order.
    pub headers: &'a Headers,
}

/// A topic that isn't there is looked for again after this time: somebody may have created it.
const LOOK_AGAIN_MS: i64 = 1_000;

/// Names that are remembered: bad data may make up any number.
const LOOKED_FOR_MAX: usize = 10_000;

/// Place of bytes in the buffer; `None` is null.
type Span = Option<(usize, usize)>;

struct Entry {
    topic: u32,
    key: Span,
    /// Bytes at the key's end that don't choose the partition.
    unpartitioned: usize,
    /// Chosen by the flow.
    partition: Option<u32>,
    value: Span,
    timestamp: i64,
}

/// A place to cut back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    entries: usize,
    bytes: usize,
}

/// The records of a task that wait to be sent, in the order they came.
#[derive(Default)]
pub struct Outputs {
    topics: Vec<Arc<str>>,
    /// How many partitions the topics have, as far as that was said.
    counts: Vec<u32>,
    /// Topics that were looked for, by name: when, and their numbers if they are there.
    looked_for: BTreeMap<Arc<str>, (i64, Option<u32>)>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Headers of entry i; kept when cleared, so that their buffers live on.
    headers: Vec<Headers>,
}

impl Outputs {
    pub(crate) fn topic(&mut self, name: &Arc<str>) -> u32 {
        let known = self.topics.iter().position(|topic| topic == name);
        known.unwrap_or_else(|| {
            self.topics.push(Arc::clone(name));
            self.topics.len() - 1
        }) as u32
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { entries: self.entries.len(), bytes: self.bytes.len() }
    }

    pub(crate) fn cut(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        self.bytes.truncate(mark.bytes);
    }

    /// Adds a record whose key and value `write` appends to the buffer, the
    /// key first; it returns where the key ends and which of the two exist.
    pub(crate) fn add<E>(
        &mut self,
        topic: u32,
        timestamp: i64,
        headers: &Headers,
        mut key: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
        mut value: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mark = self.mark();
        let written = (|| {
            let has_key = key(&mut self.bytes)?;
            let middle = self.bytes.len();
            let has_value = value(&mut self.bytes)?;
            Ok((
                has_key.then_some((mark.bytes, middle)),
                has_value.then_some((middle, self.bytes.len())),
            ))
        })();
        let (key, value) = written.inspect_err(|_| self.bytes.truncate(mark.bytes))?;
        let place = self.entries.len();
        if place == self.headers.len() {
            self.headers.push(Headers::new());
        }
        self.headers[place].copy_from(headers);
        self.entries.push(Entry {
            topic,
            key,
            unpartitioned: 0,
            partition: None,
            value,
            timestamp,
        });
        Ok(())
    }

    /// Leaves the last bytes of the key that was added last out of the choice of its partition.
    pub(crate) fn partition_without(&mut self, bytes: usize) {
        if let Some(entry) = self.entries.last_mut() {
            entry.unpartitioned = bytes;
        }
    }

    /// Sends the record that was added last to a partition of the flow's choice.
    pub(crate) fn choose_partition(&mut self, partition: u32) {
        if let Some(entry) = self.entries.last_mut() {
            entry.partition = Some(partition);
        }
    }

    pub(crate) fn set_partitions(&mut self, of: &dyn Fn(&str) -> Option<u32>) {
        self.counts = self.topics.iter().map(|topic| of(topic).unwrap_or(1)).collect();
    }

    /// Remembers whether a topic that a record names is there.
    pub(crate) fn describe(&mut self, name: &Arc<str>, partitions: Option<u32>, now_ms: i64) {
        if self.looked_for.len() == LOOKED_FOR_MAX {
            self.looked_for.clear();
        }
        let number = partitions.map(|count| {
            let number = self.topic(name);
            self.counts.resize(self.topics.len(), 1);
            self.counts[number as usize] = count;
            number
        });
        self.looked_for.insert(Arc::clone(name), (now_ms, number));
    }

    /// The number of a topic that a record names, `Some(None)` if it isn't there, and `None` if that isn't known.
    pub(crate) fn found(&self, name: &str, now_ms: i64) -> Option<Option<u32>> {
        let (at, number) = self.looked_for.get(name)?;
        (number.is_some() || now_ms < at + LOOK_AGAIN_MS).then_some(*number)
    }

    /// Name of a topic, and how many partitions it has (1 unless that was said).
    pub(crate) fn partitions(&self, topic: u32) -> (&str, u32) {
        let topic = topic as usize;
        (&self.topics[topic], self.counts.get(topic).copied().unwrap_or(1))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Hands out all, oldest first, and forgets them.
    pub fn drain(&mut self, mut visit: impl FnMut(OutputRecord<'_>)) {
        for (entry, headers) in self.entries.iter().zip(&self.headers) {
            visit(OutputRecord {
                topic: &self.topics[entry.topic as usize],
                partition: entry.partition,
                key: entry.key.map(|(from, to)| &self.bytes[from..to]),
                partition_key: entry.key.map(|(from, to)| {
                    &self.bytes[from..from.max(to.saturating_sub(entry.unpartitioned))]
                }),
                value: entry.value.map(|(from, to)| &self.bytes[from..to]),
                timestamp: entry.timestamp,
                headers,
            });
        }
        self.entries.clear();
        self.bytes.clear();
    }
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outputs")
            .field("waiting", &self.entries.len())
            .field("topics", &self.topics)
            .finish()
    }
}
