//! How much a consumer may have fetched before anybody asked for it.
//!
//! librdkafka bounds each partition alone, so its settings follow from how many there are: what all of them hold together
//! stays within one number. A record larger than a partition's part is fetched all the same, one at a time.

use rdkafka::ClientConfig;

/// librdkafka's own memory for a fetched record beside its bytes, with the record of a hundred bytes it is mostly about.
const RECORD_BYTES: usize = 640;

/// Settings of one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchAhead {
    /// Records after which a partition is fetched no further.
    records: usize,
    /// KiB after which it isn't either.
    kib: usize,
    /// Bytes that one answer holds of a partition.
    partition: usize,
    /// Bytes of one answer.
    answer: usize,
}

impl FetchAhead {
    /// For so many partitions within so many bytes. The most that is useful: what lies in the processor's caches is passed
    /// on sooner than what doesn't.
    pub(super) fn of(bytes: usize, partitions: usize) -> Self {
        let own = bytes / partitions.max(1);
        Self {
            records: (own / 4 * 3 / RECORD_BYTES).clamp(50, 3_000),
            kib: (own >> 10).clamp(64, 16 << 10),
            partition: (own / 8).clamp(16 << 10, 256 << 10),
            answer: (bytes / 4).clamp(1 << 20, 8 << 20),
        }
    }

    pub(super) fn apply(&self, config: &mut ClientConfig) {
        config
            .set("queued.min.messages", self.records.to_string())
            .set("queued.max.messages.kbytes", self.kib.to_string())
            .set("max.partition.fetch.bytes", self.partition.to_string())
            .set("fetch.max.bytes", self.answer.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_partitions_together_stay_within_the_bytes() {
        let bytes = 8 << 20;
        for partitions in [1, 3, 24, 96] {
            let FetchAhead { records, partition, .. } = FetchAhead::of(bytes, partitions);
            // Records of a hundred bytes: those waited for, and one more answer's.
            let held = (records + partition / 100) * RECORD_BYTES;
            assert!(held * partitions <= bytes * 2, "{partitions} partitions: {held} each");
        }
        let few = FetchAhead::of(bytes, 3);
        assert_eq!((few.records, few.partition), (3_000, 256 << 10), "as measured to be best");
    }
}
