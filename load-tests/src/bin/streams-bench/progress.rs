//! Counts the records that passed a source, and keeps the clocks of the first one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use load_tests::process::Snapshot;

/// Shared by the sources of a run; never goes back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    seen: AtomicU64,
    first: OnceLock<Snapshot>,
}

impl Progress {
    /// A record passed.
    pub(crate) fn tick(&self) {
        self.begin();
        self.0.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// The first record is being read.
    pub(crate) fn begin(&self) {
        self.0.first.get_or_init(Snapshot::now);
    }

    pub(crate) fn seen(&self) -> u64 {
        self.0.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn first(&self) -> Option<Snapshot> {
        self.0.first.get().copied()
    }
}
