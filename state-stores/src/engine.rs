//! The door to an ordered map of bytes. Everything that is kept, state and embedded log alike, is kept through it.
//!
//! Invariant: a batch is atomic, and what survives a crash is a *prefix* of what was written with one durability.
//! The order of write-back (rows, then the offsets they stand for) relies on that.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{Horizons, StoreError, WriteBatch};

/// Which way a scan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Reverse,
}

/// What a write survives once it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing until [`Engine::flush`]. For state, which the changelog can bring back.
    None,
    /// The end of the process (`kill -9`). The end of the machine only after [`Engine::sync`].
    Wal,
    /// The end of the machine: the write-ahead log was synced.
    Synced,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes, on disk where the engine has files: without what waits in its memory.
    pub bytes: u64,
    /// Rows, where they can be counted without reading them.
    pub rows: Option<u64>,
}

/// What an engine holds in memory, in bytes; several that share something all count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// Rows that aren't in files yet, in all states of being written.
    pub write_buffers: usize,
    /// Blocks read from files, with the indexes and filters that lie in the same cache.
    pub cache: usize,
    /// Indexes and filters beside the cache.
    pub tables: usize,
}

/// What a scan calls for each row; `Break` ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Ordered bytes to bytes. Keys order as unsigned bytes.
///
/// Implementations: [`MemoryEngine`](crate::MemoryEngine) and, with the feature `rocksdb`, `RocksEngine`.
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// Calls `read` with the value of `key` if there is one; says whether there was. Copies nothing.
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError>;

    /// A copy of the value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut value = None;
        self.get_with(key, &mut |bytes| value = Some(bytes.to_vec()))?;
        Ok(value)
    }

    /// Visits the rows of `[from, to)` in order, or in reverse, until `visit` breaks. `to = None`: to the end.
    ///
    /// `visit` may read the engine but must not write to it.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// About how much lies in `[from, to)`, without reading it. `None`: this engine can't tell.
    fn extent(&self, _from: &[u8], _to: &[u8]) -> Option<Extent> {
        None
    }

    /// What it holds in memory beside its rows; nothing where the rows are all there is.
    fn memory(&self) -> EngineMemory {
        EngineMemory::default()
    }

    /// Applies the whole batch or nothing, operations in their order.
    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError>;

    /// Makes everything written so far with [`Durability::Wal`] survive the end of the machine.
    fn sync(&self) -> Result<(), StoreError>;

    /// Makes everything written so far, [`Durability::None`] included, survive the end of the machine.
    fn flush(&self) -> Result<(), StoreError>;

    /// From now on rows that have expired by `horizons`, and what those will come to say, may be dropped whenever it is
    /// cheap; they need not be dropped at all, for nobody reads them. Called when the state is opened.
    fn expire_by(&self, horizons: &Arc<Horizons>);

    /// The horizons may have moved. For engines that drop nothing by themselves.
    fn drop_expired(&self) {}
}
