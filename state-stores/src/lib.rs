//! Where state lives.

mod batch;
pub mod codec;
mod engine;
mod error;
pub mod keys;
mod memory;
pub mod partition;
mod spec;

pub use batch::{BatchOp, WriteBatch};
pub use codec::{
    Codec, CodecError, Decoder, Encoder, I32Be, I64Be, RawBytes, Serde, U32Be, U64Be, Unit, Utf8,
};
pub use engine::{Direction, Durability, Engine, Visit};
pub use error::StoreError;
pub use memory::{Crash, MemoryEngine};
pub use spec::{StoreIndex, StoreKind, StoreSpec};
