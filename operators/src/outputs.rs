//! What a task wants written, as bytes in one buffer that is reused.
//!
//! Invariant: what was added after a mark disappears when the outputs are cut
//! back to it, so a record that fails leaves no output.

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
