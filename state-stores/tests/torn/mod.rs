//! An engine that fails in the middle of a write-back, as on a full disk.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use state_stores::{
    BatchOp, Direction, Durability, Engine, Horizons, MemoryEngine, StoreError, Visit, WriteBatch,
};

/// An engine whose writes fail on demand, the failing ones partly done: where a write-back is cut into batches
/// is its own affair, so the state must bear any cut.
#[derive(Debug)]
pub(crate) struct TornEngine<E = MemoryEngine> {
    /// The engine behind it.
    pub(crate) behind: E,
    writes_left: Mutex<Option<usize>>,
    /// How many of a failing batch's writes are done, in quarters.
    quarters: AtomicUsize,
}

impl Default for TornEngine {
    fn default() -> Self {
        Self::over(MemoryEngine::with_crashes())
    }
}

impl<E> TornEngine<E> {
    pub(crate) fn over(behind: E) -> Self {
        Self { behind, writes_left: Mutex::new(None), quarters: AtomicUsize::new(0) }
    }

    /// Fails after this many more writes and flushes, with `quarters` of 4 of the failing batch done; `None`: never.
    pub(crate) fn fail_after(&self, writes: Option<usize>, quarters: usize) {
        self.quarters.store(quarters, Ordering::Relaxed);
        *self.writes_left.lock().unwrap() = writes;
    }

    fn count_down(&self) -> Result<(), StoreError> {
        match &mut *self.writes_left.lock().unwrap() {
            Some(0) => Err(StoreError::Full {
                operation: "write",
                place: "/the/folder".into(),
                cause: "told to".into(),
            }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl<E: Engine> Engine for TornEngine<E> {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        self.behind.get_with(key, read)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.behind.scan(from, to, direction, visit)
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let Err(failure) = self.count_down() else { return self.behind.write(batch, durability) };
        let done = batch.len() * self.quarters.load(Ordering::Relaxed) / 4;
        let mut part = WriteBatch::new();
        for op in batch.iter().take(done) {
            match op {
                BatchOp::Put(key, value) => part.put(key, value),
                BatchOp::Delete(key) => part.delete(key),
                BatchOp::DeleteRange(from, to) => part.delete_range(from, to),
            }
        }
        self.behind.write(&part, durability)?;
        Err(failure)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.behind.sync()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.count_down()?;
        self.behind.flush()
    }

    fn expire_by(&self, horizons: &Arc<Horizons>) {
        self.behind.expire_by(horizons);
    }

    fn drop_expired(&self) {
        self.behind.drop_expired();
    }
}
