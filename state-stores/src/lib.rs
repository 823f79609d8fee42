//! Where state lives: ordered bytes, and on top of them the stores of a stream topology.
//!
//! * [`Engine`] is an ordered map of bytes: [`MemoryEngine`], and `RocksEngine` with the feature `rocksdb`.
//! * [`StateDir`] is the state of one application instance, [`TaskState`] that of one task. Reads look through three
//!   layers: the *overlay* of the open transaction (with a savepoint per record), the *committed layer* in memory, the
//!   *base* in the engine. A write-back brings committed rows to the base, with the changelog offsets they stand for.
//!   Rows that were read from the base stay in memory while there is room.
//! * [`KeyValueStore`], [`TimestampedKeyValueStore`], [`VersionedKeyValueStore`], [`ListStore`], [`WindowStore`] and
//!   [`SessionStore`] are typed views of it; a [`Codec`] says how keys and values become bytes. A store of your own is
//!   another view: see [`TaskState`].
//!
//! A copy of another instance's store follows its changelog as a [`StandbyState`], until a task takes the store over.
//!
//! A scan is a closure that is called for each row. It borrows the [`TaskState`], so it sees one moment: what was put
//! before it began, committed or not, and nothing that comes later. Writing meanwhile doesn't compile; there is nothing
//! to close. A write-back that another thread begins waits until the scan has ended.
//!
//! Nothing here knows a clock, a thread or a log: times are arguments, and the log's part in a commit is told by
//! [`TaskState::apply`] (it committed) or [`TaskState::discard`] (it aborted).
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use state_stores::{
//!     I64Be, KeyValueStore, MemoryEngine, Serde, StateDir, StateOptions, StoreIndex, StoreKind, StoreSpec, Utf8,
//! };
//!
//! let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("cluster-1"))?;
//! let spec = StoreSpec {
//!     name: "totals".into(),
//!     changelog_topic: "shop-totals-changelog".into(),
//!     kind: StoreKind::KeyValue,
//! };
//! let mut state = dir.task_state(0, &[spec.clone()])?;
//! let (keys, values): (Serde<str>, Serde<i64>) = (Arc::new(Utf8), Arc::new(I64Be));
//! let totals = StoreIndex(0);
//! let mut store = KeyValueStore::new(totals, &keys, &values);
//!
//! // One record, processed and committed.
//! store.put(&mut state, "anna", Some(&4200))?;
//! state.dirty(&mut |_store, key, _value| assert_eq!(key, b"anna")); // what goes to the changelog
//! state.apply(&[(totals, 1)]); // the log committed; offset 1 is the next to read
//!
//! // The next one fails, and leaves nothing behind.
//! let before = state.savepoint();
//! store.put(&mut state, "anna", None)?;
//! state.rollback_to(before);
//! assert_eq!(store.get(&state, "anna")?, Some(4200));
//!
//! // The task moves away and returns: its committed state stayed here.
//! drop(state);
//! let state = dir.task_state(0, &[spec])?;
//! assert_eq!(state.changelog_position(totals), Some(1));
//! assert_eq!(store.get(&state, "anna")?, Some(4200));
//! # Ok::<(), state_stores::StoreError>(())
//! ```

mod base;
mod batch;
mod clean_rows;
pub mod codec;
mod codec_fn;
mod coder;
mod committed;
mod engine;
mod error;
mod holder;
mod horizons;
mod key_value;
mod keyed;
pub mod keys;
mod layer_budget;
mod left_over;
mod list;
mod memory;
mod overlay;
pub mod partition;
mod rebuild;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
mod rocks_scan;
mod rows;
mod session;
mod shelf;
mod short_bytes;
mod span;
mod spec;
mod standby;
mod state_dir;
mod task_state;
mod typed;
mod versioned;
mod window;
mod write_back;

pub use batch::{BatchOp, WriteBatch};
pub use codec::{
    Codec, CodecError, Decoder, Encoder, I32Be, I64Be, RawBytes, Serde, U32Be, U64Be, Unit, Utf8,
    codec_fn,
};
pub use committed::{CommittedRow, CommittedStore, Keys, RowTime, Select};
pub use engine::{Direction, Durability, Engine, EngineMemory, Extent, Visit};
pub use error::StoreError;
pub use horizons::Horizons;
pub use key_value::{KeyValueStore, TimestampedKeyValueStore};
pub use layer_budget::LayerBudget;
pub use list::ListStore;
pub use memory::{Crash, MemoryEngine};
pub use overlay::Savepoint;
pub use rebuild::{ChangelogRange, Rebuild};
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksEngine, RocksMemory, RocksOptions};
pub use session::{Session, SessionStore};
pub use spec::{StoreIndex, StoreKind, StoreSpec};
pub use standby::StandbyState;
pub use state_dir::{StateDir, StateMemory, StateOptions, StoreExtent};
pub use task_state::{TaskState, VisitDirty};
pub use typed::TypedStore;
pub use versioned::{Put, VersionedKeyValueStore};
pub use window::WindowStore;
