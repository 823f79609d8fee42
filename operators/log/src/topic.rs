//! What a topic is.

use std::time::Duration;

/// What happens to old records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Dropped when older than this.
    Delete(Duration),
    /// Kept for ever.
    Keep,
    /// The last record of each key stays; tombstones go after a day.
    Compact,
    /// As [`Self::Compact`], for a few keys that are written again and again: Kafka closes the segment that compaction
    /// leaves alone after ten minutes instead of seven days.
    CompactOften,
    /// Compacted, and dropped when older than this.
    CompactDelete(Duration),
}

impl Cleanup {
    /// Whether the last record of each key stays when older ones go.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        !matches!(self, Self::Delete(_) | Self::Keep)
    }
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// At least 1.
    pub partitions: u32,
    /// Kafka only.
    pub replication: i32,
    /// What happens to old records.
    pub cleanup: Cleanup,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Changes when a topic is deleted and made again. Empty where the broker
    /// doesn't tell.
    pub id: String,
    /// How many.
    pub partitions: u32,
}
