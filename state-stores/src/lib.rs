//! Where state lives.

mod base;
mod batch;
pub mod codec;
mod engine;
mod error;
pub mod keys;
mod memory;
mod overlay;
pub mod partition;
mod rebuild;
mod rows;
mod shelf;
mod spec;
mod state_dir;
mod task_state;
mod write_back;

pub use batch::{BatchOp, WriteBatch};
pub use codec::{
    Codec, CodecError, Decoder, Encoder, I32Be, I64Be, RawBytes, Serde, U32Be, U64Be, Unit, Utf8,
};
pub use engine::{Direction, Durability, Engine, Visit};
pub use error::StoreError;
pub use memory::{Crash, MemoryEngine};
pub use overlay::Savepoint;
pub use rebuild::{ChangelogRange, Rebuild, needs_rebuild};
pub use spec::{StoreIndex, StoreKind, StoreSpec};
pub use state_dir::{CommittedStore, StateDir, StateOptions};
pub use task_state::TaskState;
