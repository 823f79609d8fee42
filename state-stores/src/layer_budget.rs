//! One bound for the committed layers of all state folders of a process.
//!
//! Of its bytes three eighths are for *live* rows, which aren't in the base yet, three eighths for *settled* ones, which
//! the last write-back wrote and which are kept for reading, and a quarter for clean rows (`clean_rows`).
//!
//! Live rows can't be dropped, so a folder writes them back when all together are too many and it has at least an equal
//! part of them: while the bound is exceeded there is always one that has. Settled rows can be: those of the folder that
//! wrote back last stay, the others make room.
//!
//! Invariant: no row that a layer holds is missing in the counts; some that it let go may still be in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::clean_rows::CleanBudget;

/// Memory of the committed layers of all [`StateDir`](crate::StateDir)s that are opened with it.
#[derive(Debug)]
pub struct LayerBudget {
    bytes: usize,
    live: AtomicUsize,
    settled: AtomicUsize,
    clean: Arc<CleanBudget>,
    folders: AtomicUsize,
    /// Folders so far.
    numbers: AtomicU64,
    /// Number of the folder that wrote back last.
    latest: AtomicU64,
    /// Folders that are writing back.
    writers: AtomicUsize,
}

impl LayerBudget {
    /// For at most about this many bytes: what one commit brings comes on top.
    #[must_use]
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            live: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            clean: CleanBudget::new(bytes / 4),
            folders: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            writers: AtomicUsize::new(0),
        })
    }

    /// What the layers of all folders hold.
    pub fn used(&self) -> usize {
        self.live.load(Relaxed) + self.settled.load(Relaxed) + self.clean.used()
    }

    /// For live rows; as much again is for settled ones.
    fn share(&self) -> usize {
        self.bytes / 8 * 3
    }
}

/// What one folder has of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct LayerShare {
    budget: Arc<LayerBudget>,
    number: u64,
    live: AtomicUsize,
    settled: AtomicUsize,
}

impl LayerShare {
    pub(crate) fn new(budget: &Arc<LayerBudget>) -> Self {
        budget.folders.fetch_add(1, Relaxed);
        let number = budget.numbers.fetch_add(1, Relaxed) + 1;
        let (live, settled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { budget: Arc::clone(budget), number, live, settled }
    }

    pub(crate) fn budget(&self) -> &LayerBudget {
        &self.budget
    }

    pub(crate) fn clean(&self) -> &Arc<CleanBudget> {
        &self.budget.clean
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    pub(crate) fn settled(&self) -> usize {
        self.settled.load(Relaxed)
    }

    /// A live layer that had `before` bytes has `after` now.
    pub(crate) fn live_changed(&self, before: usize, after: usize) {
        // Wrapping arithmetic makes the sum right for a smaller layer too.
        let more = after.wrapping_sub(before);
        self.live.fetch_add(more, Relaxed);
        self.budget.live.fetch_add(more, Relaxed);
    }

    /// The folder's settled rows have this many bytes now.
    pub(crate) fn settled_is(&self, bytes: usize) {
        let before = self.settled.swap(bytes, Relaxed);
        self.budget.settled.fetch_add(bytes.wrapping_sub(before), Relaxed);
    }

    /// The folder writes back until this is dropped.
    pub(crate) fn writing(&self) -> Writing<'_> {
        self.budget.writers.fetch_add(1, Relaxed);
        self.budget.latest.store(self.number, Relaxed);
        Writing(&self.budget)
    }

    /// Whether a folder is writing back: the engines' write buffers are meant for one at a time.
    pub(crate) fn is_being_written(&self) -> bool {
        self.budget.writers.load(Relaxed) > 0
    }

    /// Whether this folder has to write its live rows back. While one is doing so the others wait, but not at any price: where
    /// the disk is slower than they are, they stand in line for it rather than fill the memory.
    pub(crate) fn is_full(&self) -> bool {
        let patience = if self.is_being_written() { 2 } else { 1 };
        let (own, share) = (self.live(), patience * self.budget.share());
        own > 0
            && self.budget.live.load(Relaxed) >= share
            && own >= share / self.budget.folders.load(Relaxed).max(1)
    }

    /// Whether this folder has to let its settled rows go.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.settled() > 0
            && self.budget.latest.load(Relaxed) != self.number
            && self.budget.settled.load(Relaxed) > self.budget.share()
    }
}

/// See [`LayerShare::writing`].
pub(crate) struct Writing<'b>(&'b LayerBudget);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Relaxed);
    }
}

impl Drop for LayerShare {
    fn drop(&mut self) {
        self.live_changed(self.live(), 0);
        self.settled_is(0);
        self.budget.folders.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fills_the_memory_waits_for_a_slow_disk() {
        let budget = LayerBudget::new(800);
        let (slow, other) = (LayerShare::new(&budget), LayerShare::new(&budget));
        slow.live_changed(0, 300);
        assert!(slow.is_full() && !other.is_full());
        slow.live_changed(300, 0);
        let writing = slow.writing();
        other.live_changed(0, 599);
        assert!(!other.is_full(), "one at a time");
        other.live_changed(599, 600);
        assert!(other.is_full(), "there is no room for more");
        drop(writing);
        other.live_changed(600, 300);
        assert!(other.is_full());
    }
}
