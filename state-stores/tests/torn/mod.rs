//! An engine that fails in the middle of a write-back.

use parking_lot::Mutex;
use state_stores::{
    BatchOp, Direction, Durability, Engine, MemoryEngine, StoreError, Visit, WriteBatch,
};

/// A memory engine whose writes fail on demand, the first failing one half done: where a write-back is cut into batches
/// is its own affair, so the state must bear any cut.
#[derive(Debug)]
pub struct TornEngine {
    /// The engine behind it.
    pub memory: MemoryEngine,
    writes_left: Mutex<Option<usize>>,
}

impl Default for TornEngine {
    fn default() -> Self {
        Self { memory: MemoryEngine::with_crashes(), writes_left: Mutex::new(None) }
    }
}

impl TornEngine {
    /// Fails after this many more writes and flushes; `None`: never.
    pub fn fail_after(&self, writes: Option<usize>) {
        *self.writes_left.lock() = writes;
    }

    fn count_down(&self) -> Result<(), StoreError> {
        match &mut *self.writes_left.lock() {
            Some(0) => Err(StoreError::Engine {
                operation: "write",
                place: "test".into(),
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

impl Engine for TornEngine {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        self.memory.get_with(key, read)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.memory.scan(from, to, direction, visit)
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let Err(failure) = self.count_down() else { return self.memory.write(batch, durability) };
        let mut half = WriteBatch::new();
        for op in batch.iter().take(batch.len() / 2) {
            match op {
                BatchOp::Put(key, value) => half.put(key, value),
                BatchOp::Delete(key) => half.delete(key),
                BatchOp::DeleteRange(from, to) => half.delete_range(from, to),
            }
        }
        self.memory.write(&half, durability)?;
        Err(failure)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.memory.sync()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.count_down()?;
        self.memory.flush()
    }
}
