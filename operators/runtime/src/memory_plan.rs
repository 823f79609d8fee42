//! How the memory of a process is shared out: one number, a part of it for everything that grows with the load.
//!
//! Invariant: the parts add up to no more than the whole. Beside it a process holds what doesn't grow with tasks or keys: its
//! code, threads, clients and what the allocator keeps, some tens of MiB (`load-tests/RESULTS.md`, *Memory*).

/// Parts of the memory of one process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Committed layers of all applications ([`LayerBudget`](state_stores::LayerBudget)).
    pub layers: usize,
    /// Blocks of RocksDB's files with their indexes and filters, of all applications.
    pub cache: usize,
    /// RocksDB's write buffers, of all applications.
    pub write_buffers: usize,
    /// Open transactions' rows, of one worker ([`staged_bytes_max`](crate::WorkerSettings::staged_bytes_max)).
    pub staged: usize,
    /// Records that wait in tasks, of one worker ([`buffered_bytes_max`](crate::WorkerSettings::buffered_bytes_max)).
    pub buffered: usize,
    /// Records that a worker's consumer has fetched ahead (`KafkaOptions::fetch_bytes`).
    pub fetched: usize,
    /// Records that a worker's producer has to send (`KafkaOptions::send_bytes`).
    pub sent: usize,
}

/// The whole is shared out in so many parts.
const PARTS: usize = 32;

impl MemoryPlan {
    /// For a process of so many worker threads, those of all its applications counted.
    #[must_use]
    pub fn of(bytes: usize, workers: usize) -> Self {
        let part = bytes / PARTS;
        let own = |parts: usize| parts * part / workers.max(1);
        Self {
            layers: 14 * part,
            // Two memtables, each large enough for the small rows of one write-back: it makes one file then.
            write_buffers: 6 * part,
            cache: 3 * part,
            staged: own(2),
            buffered: own(1),
            fetched: own(2),
            sent: own(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_no_more_than_the_whole() {
        for (bytes, workers) in [(128 << 20, 1), (64 << 20, 8), (1 << 30, 24), (100, 64)] {
            let plan = MemoryPlan::of(bytes, workers);
            let own = plan.staged + plan.buffered + plan.fetched + plan.sent;
            let all = plan.layers + plan.cache + plan.write_buffers + own * workers;
            assert!(all <= bytes, "{plan:?}");
            assert!(bytes < 1 << 20 || all > bytes / 10 * 9, "little is left over: {plan:?}");
        }
    }
}
