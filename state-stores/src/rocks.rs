//! The engine on files: RocksDB, one database per folder.
//!
//! Settings are those measured for this system (one column family, universal compaction, lz4, bloom filters of 10 bits,
//! memtables of 16 MiB). Rows of one key of a window or session store lie together and have a bloom filter of their own
//! (`key_of`): a join looks for a key that mostly isn't there. Compactions drop what has expired. The write-buffer budget is
//! *not* charged to the block cache: a budget that isn't much smaller than the cache starves index and filter blocks,
//! silently and tenfold.
//!
//! Indexes and filters lie beside the block cache (about two bytes a row; in pieces in the cache they cost a quarter more
//! CPU), so the cache has what they leave of the bytes that are for both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, CompactionDecision, DB, DBCompactionStyle, DBCompressionType,
    LogLevel, Options, Range, SliceTransform, WriteBufferManager, WriteOptions, properties,
};

use crate::base::row_key;
use crate::engine::Visit;
use crate::rocks_scan::{Reach, Scans};
use crate::{
    BatchOp, Direction, Durability, Engine, EngineMemory, Extent, Horizons, StoreError, WriteBatch,
};

/// At most; a memtable never has more than half of what all may have.
const MEMTABLE_BYTES: usize = 16 << 20;
/// One written to, two being flushed, where there is room for so many: a write waits for the flush of the others.
const MEMTABLES: usize = 3;
/// The cache keeps this part of its bytes, however much indexes and filters take.
const CACHE_KEEPS: usize = 4;
const BLOOM_BITS: f64 = 10.0;
/// Bounds the file handles; tables beyond it are reopened on demand.
const OPEN_FILES: i32 = 512;
/// Of which one compacts: the filter of expired rows is a closure that more must not share.
const BACKGROUND_THREADS: i32 = 2;

/// Settings of a [`RocksEngine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RocksOptions {
    /// Memory for blocks read from files.
    pub cache_bytes: usize,
    /// Memory for rows not yet in files.
    pub write_buffer_bytes: usize,
    /// Whether there is a write-ahead log. State needs none, the embedded log does.
    pub wal: bool,
}

impl Default for RocksOptions {
    /// For state: 64 MiB of cache, 48 MiB of write buffers, no write-ahead log.
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, write_buffer_bytes: 48 << 20, wal: false }
    }
}

/// Shared with the compactions' filter.
type Expired = Arc<RwLock<Arc<Horizons>>>;
/// Memory of the databases that are opened with it, together.
#[derive(Clone)]
pub struct RocksMemory {
    cache: Cache,
    /// For the cache, and for what lies beside it.
    cache_bytes: usize,
    /// Indexes and filters of all databases.
    tables: Arc<AtomicUsize>,
    buffers: WriteBufferManager,
}

impl RocksMemory {
    /// Bytes for blocks read from files with indexes and filters, and for rows not yet in files. The second is a bound for each database; together
    /// they stay below it as long as no two are written back at once.
    #[must_use]
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        let buffers = WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false);
        let cache = Cache::new_lru_cache(cache_bytes);
        Self { cache, cache_bytes, tables: Arc::default(), buffers }
    }

    /// The indexes and filters of one database, which were `before`, have so many bytes now: the cache makes room.
    fn tables_are(&self, before: usize, now: usize) {
        // Wrapping arithmetic makes the sum right for smaller ones too.
        let more = now.wrapping_sub(before);
        let all = self.tables.fetch_add(more, Ordering::Relaxed).wrapping_add(more);
        let left = self.cache_bytes.saturating_sub(all).max(self.cache_bytes / CACHE_KEEPS);
        self.cache.clone().set_capacity(left);
    }
}

impl std::fmt::Debug for RocksMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksMemory")
            .field("cache", &self.cache.get_usage())
            .field("write_buffers", &self.buffers.get_usage())
            .finish_non_exhaustive()
    }
}

/// A RocksDB database. Its folder stays locked until this is dropped.
pub struct RocksEngine {
    scans: Scans,
    db: Arc<DB>,
    path: PathBuf,
    wal: bool,
    /// What compactions may drop.
    expired: Expired,
    memory: RocksMemory,
    /// Bytes of indexes and filters, at the last flush.
    tables: AtomicUsize,
}

impl std::fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksEngine")
            .field("path", &self.path)
            .field("wal", &self.wal)
            .finish_non_exhaustive()
    }
}

impl RocksEngine {
    /// Opens the database in `path`, creating folder and database if they are missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when it is open elsewhere, [`StoreError::Engine`] for everything else.
    pub fn open(path: impl AsRef<Path>, options: RocksOptions) -> Result<Self, StoreError> {
        let memory = RocksMemory::new(options.cache_bytes, options.write_buffer_bytes);
        Self::open_within(path, &memory, options.wal)
    }

    /// As [`open`](Self::open), with memory that other databases of the process use as well.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_within(
        path: impl AsRef<Path>,
        memory: &RocksMemory,
        wal: bool,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let expired = Expired::default();
        match DB::open(&database_options(memory, wal, &expired), &path) {
            Ok(db) => {
                let (scans, memory) = (Scans::new(!wal), memory.clone());
                let tables = AtomicUsize::new(0);
                Ok(Self { scans, db: Arc::new(db), path, wal, expired, memory, tables })
            }
            Err(error) if is_lock_error(&error) => Err(StoreError::Locked { path }),
            Err(error) => Err(engine_error("open", &path, &error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, operation: &'static str, error: &rocksdb::Error) -> StoreError {
        engine_error(operation, &self.path, error)
    }

    /// Memory of indexes and filters.
    fn table_bytes(&self) -> usize {
        let bytes = self.db.property_int_value(properties::ESTIMATE_TABLE_READERS_MEM);
        bytes.ok().flatten().map_or(0, |bytes| bytes as usize)
    }

    fn require_wal(&self) -> Result<(), StoreError> {
        if self.wal {
            Ok(())
        } else {
            Err(StoreError::NoWal { place: self.path.display().to_string() })
        }
    }
}

fn database_options(memory: &RocksMemory, wal: bool, expired: &Expired) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    table.set_bloom_filter(BLOOM_BITS, false);
    let write_buffer_bytes = memory.buffers.get_buffer_size();
    let memtable_bytes = MEMTABLE_BYTES.min(write_buffer_bytes / 2);
    let memtables = (write_buffer_bytes / memtable_bytes.max(1)).clamp(2, MEMTABLES);
    let mut database = Options::default();
    database.create_if_missing(true);
    database.set_compaction_style(DBCompactionStyle::Universal);
    database.set_compression_type(DBCompressionType::Lz4);
    database.set_write_buffer_size(memtable_bytes);
    database.set_max_write_buffer_number(memtables as i32);
    database.set_write_buffer_manager(&memory.buffers);
    database.set_max_open_files(OPEN_FILES);
    database.increase_parallelism(BACKGROUND_THREADS);
    database.set_log_level(LogLevel::Error);
    database.set_keep_log_file_num(2);
    if !wal {
        let of_key = SliceTransform::create("rows of one key", key_of, Some(has_key));
        database.set_prefix_extractor(of_key);
        let expired = Arc::clone(expired);
        database.set_compaction_filter("expired rows", move |_level, key, _value| {
            if expired.read().is_expired(key) {
                CompactionDecision::Remove
            } else {
                CompactionDecision::Keep
            }
        });
    }
    database.set_block_based_table_factory(&table);
    database
}

/// What the rows of one key of a window or session store have in common.
fn key_of(row: &[u8]) -> &[u8] {
    row_key(row).unwrap_or(row)
}

fn has_key(row: &[u8]) -> bool {
    row_key(row).is_some()
}

/// True if all rows of `[from, to)` are those of one key.
fn is_one_key(from: &[u8], to: &[u8]) -> bool {
    row_key(from).is_some_and(|key| to.starts_with(key))
}

/// RocksDB has no code of its own for a lock that is held, only this text.
fn is_lock_error(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    error.kind() == rocksdb::ErrorKind::IOError
        && text.contains("LOCK")
        && (text.contains("lock file") || text.contains("lock hold"))
        && !text.contains("Permission denied")
        && !text.contains("No such file")
}

/// RocksDB has a code for a full disk, which its C interface doesn't pass on; the text is the operating system's.
fn is_full(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    let full = ["No space left on device", "Disk quota exceeded"];
    full.iter().any(|full| text.contains(full))
}

fn engine_error(operation: &'static str, path: &Path, error: &rocksdb::Error) -> StoreError {
    let (place, cause) = (path.display().to_string(), error.as_ref().to_owned());
    if is_full(error) {
        StoreError::Full { operation, place, cause }
    } else {
        StoreError::Engine { operation, place, cause }
    }
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        self.memory.tables_are(self.tables.swap(0, Ordering::Relaxed), 0);
    }
}

impl Engine for RocksEngine {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        let value = self.db.get_pinned(key).map_err(|error| self.error("get", &error))?;
        if let Some(value) = &value {
            read(value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        // Files whose filter doesn't know the key are left out; of any other range that would lose rows.
        let one_key = direction == Direction::Forward && to.is_some_and(|to| is_one_key(from, to));
        let reach = if one_key { Reach::OnePrefix } else { Reach::Any };
        self.scans
            .scan(&self.db, (from, to, direction), reach, visit)
            .map_err(|error| self.error("scan", &error))
    }

    fn extent(&self, from: &[u8], to: &[u8]) -> Option<Extent> {
        let sizes = self.db.get_approximate_sizes(&[Range::new(from, to)]);
        Some(Extent { bytes: sizes.first().copied()?, rows: None })
    }

    fn memory(&self) -> EngineMemory {
        EngineMemory {
            write_buffers: self.memory.buffers.get_usage(),
            cache: self.memory.cache.get_usage(),
            tables: self.table_bytes(),
        }
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        match durability {
            Durability::None => options.disable_wal(true),
            Durability::Wal => self.require_wal()?,
            Durability::Synced => {
                self.require_wal()?;
                options.set_sync(true);
            }
        }
        let mut native = rocksdb::WriteBatch::default();
        for op in batch.iter() {
            match op {
                BatchOp::Put(key, value) => native.put(key, value),
                BatchOp::Delete(key) => native.delete(key),
                BatchOp::DeleteRange(from, to) if from < to => native.delete_range(from, to),
                BatchOp::DeleteRange(..) => {}
            }
        }
        let written = self.db.write_opt(native, &options);
        self.scans.written();
        written.map_err(|error| self.error("write", &error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.require_wal()?;
        self.db.flush_wal(true).map_err(|error| self.error("sync", &error))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.db.flush();
        self.scans.written();
        let tables = self.table_bytes();
        self.memory.tables_are(self.tables.swap(tables, Ordering::Relaxed), tables);
        flushed.map_err(|error| self.error("flush", &error))
    }

    fn expire_by(&self, horizons: &Arc<Horizons>) {
        *self.expired.write() = Arc::clone(horizons);
    }
}
