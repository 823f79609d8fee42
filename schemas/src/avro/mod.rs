//! Avro in the registry's wire format: `0x00`, the schema id as 4 bytes big
//! endian, Avro binary (`contract.md` §4).
//!
//! A [`Message`] knows its schema; an [`Encoder`] writes it under one id; a
//! [`Decoder`] reads it whatever id it was written with, resolving the
//! writer's schema to ours. Ids come from a [`SchemaSource`]: [`Local`] in
//! tests, the registry's client in production.
//!
//! Invariant: schemas are parsed once per process and type (or once per id
//! for foreign writers), never per record, and the usual path (written with
//! our own schema) goes straight from bytes to struct, along a precompiled plan.

mod compatibility;
mod compose;
mod decoder;
mod encoder;
mod error;
mod fault;
mod json;
mod plan;
mod read;
mod schema;
mod source;
mod write;

pub use compatibility::{Incompatible, can_read};
pub use compose::normalize;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{AvroError, SourceError};
pub use json::to_json;
pub use schema::{Message, MessageSchema, content_id};
pub use source::{Local, SchemaSource};

/// First byte of every value.
pub const MAGIC: u8 = 0;

/// Magic byte and schema id.
pub const HEADER_LEN: usize = 5;

/// Longest text, byte string or array that is believed before it was read:
/// no record of ours is near it, and a corrupt length must not allocate
/// gigabytes.
pub(crate) const MAX_ALLOCATION: usize = 64 * 1024 * 1024;

/// Splits a value into schema id and Avro binary.
///
/// # Errors
/// [`AvroError::TooShort`] and [`AvroError::NotWireFormat`], naming `subject`.
pub fn split<'a>(subject: &str, bytes: &'a [u8]) -> Result<(u32, &'a [u8]), AvroError> {
    match bytes {
        [MAGIC, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        [MAGIC, ..] | [] => {
            Err(AvroError::TooShort { subject: subject.to_owned(), len: bytes.len() })
        }
        [first, ..] => Err(AvroError::NotWireFormat { subject: subject.to_owned(), first: *first }),
    }
}
