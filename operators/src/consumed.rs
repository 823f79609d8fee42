//! How a topic is read: where a record's time comes from, whether its key is where it belongs, and where to begin.

use std::sync::Arc;

use crate::record::Record;

/// A timestamp made of a record and the partition time: the highest timestamp taken from its partition before it.
pub(crate) type Extract<K, V> = dyn for<'a> Fn(Record<'a, K, V>, Option<i64>) -> i64 + Send + Sync;

/// Where a source's timestamps come from (P07).
///
/// A record whose timestamp comes out negative follows the source's [`ErrorPolicy`](crate::ErrorPolicy), which is to
/// bury it unless set otherwise with [`KStream::on_error`](crate::KStream::on_error).
pub enum TimestampExtractor<K: ?Sized, V: ?Sized> {
    /// What the log says of the record.
    Embedded,
    /// What the log says; if that is negative, the partition time, which is durable.
    UsePartitionTime,
    /// The task's clock when the record is next in its partition. A record that is processed again after an abort or a
    /// crash may get another time than before.
    WallClock,
    /// See [`Self::custom`].
    Custom(Arc<Extract<K, V>>),
}

impl<K: ?Sized, V: ?Sized> TimestampExtractor<K, V> {
    /// Milliseconds since 1970 from a record, whose timestamp is what the log says, and the partition time: the highest
    /// timestamp taken from its partition before. `None`: it is the first record ever taken. Partition time is durable.
    pub fn custom(
        extract: impl for<'a> Fn(Record<'a, K, V>, Option<i64>) -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(Arc::new(extract))
    }

    /// Whether the result depends on the partition time.
    pub(crate) fn needs_time(&self) -> bool {
        matches!(self, Self::UsePartitionTime | Self::Custom(_))
    }
}

impl<K: ?Sized, V: ?Sized> Clone for TimestampExtractor<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Embedded => Self::Embedded,
            Self::UsePartitionTime => Self::UsePartitionTime,
            Self::WallClock => Self::WallClock,
            Self::Custom(extract) => Self::Custom(Arc::clone(extract)),
        }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TimestampExtractor<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Embedded => "Embedded",
            Self::UsePartitionTime => "UsePartitionTime",
            Self::WallClock => "WallClock",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Where an application begins to read a topic of which it has committed nothing (KIP-1106).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// With the first record there is.
    #[default]
    Earliest,
    /// With the first record that is committed to the log after the application has begun. Until it has committed for
    /// the first time, a restart begins anew. The test driver's topics are empty when it begins, so there it's all one.
    Latest,
}

/// How [`StreamsBuilder::stream_with`](crate::StreamsBuilder::stream_with) reads a topic.
///
/// ```
/// use operators::{Consumed, TimestampExtractor};
///
/// let by_value = TimestampExtractor::custom(|record, _| *record.value.unwrap_or(&-1));
/// let consumed = Consumed::<str, i64>::with_timestamps(by_value).check_partitions();
/// # let _ = consumed;
/// ```
#[derive(Debug)]
pub struct Consumed<K: ?Sized, V: ?Sized> {
    pub(crate) timestamps: TimestampExtractor<K, V>,
    pub(crate) checks_partitions: bool,
    pub(crate) offset_reset: OffsetReset,
}

impl<K: ?Sized, V: ?Sized> Consumed<K, V> {
    /// Timestamps from this extractor.
    pub fn with_timestamps(timestamps: TimestampExtractor<K, V>) -> Self {
        Self { timestamps, checks_partitions: false, offset_reset: OffsetReset::Earliest }
    }

    /// Checks that each key lies in the partition it hashes to (murmur2, as Kafka's own producers do; J23). A record
    /// elsewhere follows the source's [`ErrorPolicy`](crate::ErrorPolicy), with a message that says where it belongs.
    /// Without the check joins and aggregations miss such records in silence. Costs one hash per record.
    ///
    /// Topics that are partitioned otherwise on purpose are read without it, and repartitioned where keys must meet.
    pub fn check_partitions(self) -> Self {
        Self { checks_partitions: true, ..self }
    }

    /// Begins there where nothing was committed yet.
    pub fn with_offset_reset(self, offset_reset: OffsetReset) -> Self {
        Self { offset_reset, ..self }
    }
}

impl<K: ?Sized, V: ?Sized> Default for Consumed<K, V> {
    /// As [`StreamsBuilder::stream`](crate::StreamsBuilder::stream): timestamps of the log, no check, all records.
    fn default() -> Self {
        Self::with_timestamps(TimestampExtractor::Embedded)
    }
}

impl<K: ?Sized, V: ?Sized> Clone for Consumed<K, V> {
    fn clone(&self) -> Self {
        Self { timestamps: self.timestamps.clone(), ..*self }
    }
}
