//! What can go wrong in a store, in classes a caller can act on.

use std::path::PathBuf;

use crate::codec::CodecError;

/// An error of an engine, a store or the state folder.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is open already, here or in another process.
    #[error(
        "the folder {} is in use by another process; stop that process (or wait until it has ended), or choose another data folder",
        path.display()
    )]
    Locked {
        /// The folder that is locked.
        path: PathBuf,
    },
    /// There is no room left. What was durable before is there still, and enough of it to go on with after a start.
    #[error(
        "{operation} in {place} failed: no room is left on its disk; make room there, then start again: nothing that was committed is lost ({cause})"
    )]
    Full {
        /// What was being done, e.g. `write`.
        operation: &'static str,
        /// The folder.
        place: String,
        /// What the engine said.
        cause: String,
    },
    /// The engine failed: a damaged file, missing rights.
    #[error("{operation} in {place} failed: {cause}")]
    Engine {
        /// What was being done, e.g. `write`.
        operation: &'static str,
        /// The folder, or `memory`.
        place: String,
        /// What the engine said.
        cause: String,
    },
    /// A durability was asked for that the engine was opened without.
    #[error(
        "the engine in {place} was opened without a write-ahead log; open it with `wal: true` for durable writes"
    )]
    NoWal {
        /// The folder.
        place: String,
    },
    /// Bytes of our own bookkeeping, or of a store's key, have no valid form.
    #[error(
        "{what} is damaged ({detail}); remove the state folder to have it rebuilt from the changelogs"
    )]
    Corrupt {
        /// What was read, with the store's name where there is one.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The state was written by a version of this crate with other layouts.
    #[error(
        "the state has format {found}, this program writes {expected}; remove the state folder to have it rebuilt from the changelogs"
    )]
    Format {
        /// What the folder holds.
        found: u32,
        /// What this program writes.
        expected: u32,
    },
    /// Two owners of one store and partition at a time.
    #[error("store `{store}` of partition {partition} is open already; drop its `TaskState` first")]
    InUse {
        /// The store's name.
        store: String,
        /// The partition.
        partition: u32,
    },
    /// The same store named twice, or opened as two kinds.
    #[error("store `{store}`: {detail}")]
    Spec {
        /// The store's name.
        store: String,
        /// What contradicts.
        detail: String,
    },
    /// A key or value could not be encoded or decoded.
    #[error("store `{store}`: {source}")]
    Codec {
        /// The store's name.
        store: String,
        /// What the codec said.
        source: CodecError,
    },
}
