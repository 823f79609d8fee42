//! What can go wrong between bytes and messages.

/// A value could not be encoded or decoded. Every variant names the subject
/// (`<topic>-value`).
#[derive(Debug, thiserror::Error)]
pub enum AvroError {
    /// Not even a header.
    #[error(
        "{subject}: {len} bytes are too short for the registry's wire format (magic byte, 4-byte schema id, Avro)"
    )]
    TooShort {
        /// Subject.
        subject: String,
        /// Length of the value.
        len: usize,
    },
    /// Written by something that doesn't use the registry.
    #[error(
        "{subject}: first byte is {first:#04x}, expected 0x00: not written in the registry's wire format"
    )]
    NotWireFormat {
        /// Subject.
        subject: String,
        /// The byte found.
        first: u8,
    },
    /// The registry does not know the id.
    #[error("{subject}: schema id {id} is not in the registry: written with another registry?")]
    UnknownId {
        /// Subject.
        subject: String,
        /// The id in the value.
        id: u32,
    },
    /// The registry could not be asked.
    #[error("{subject}: cannot resolve schema id {id}: {source}")]
    Source {
        /// Subject.
        subject: String,
        /// The id in the value; 0 when asking for our own.
        id: u32,
        /// Why.
        source: SourceError,
    },
    /// The writer's schema cannot be resolved to ours.
    #[error("{subject}: values of schema id {id} cannot be read as {reader}: {cause}")]
    Unreadable {
        /// Subject.
        subject: String,
        /// The writer's id.
        id: u32,
        /// Full name of our type.
        reader: String,
        /// Which field, and why.
        cause: String,
    },
    /// The bytes don't follow their schema.
    #[error("{subject}: schema id {id}, field {field}, byte {offset}: {cause}")]
    Decode {
        /// Subject.
        subject: String,
        /// The writer's id.
        id: u32,
        /// Path of the field, e.g. `OrderEvent.items[3].quantity`.
        field: String,
        /// Where in the value, counted from its magic byte.
        offset: usize,
        /// What was wrong.
        cause: String,
    },
    /// More bytes than the schema takes.
    #[error("{subject}: schema id {id}: {extra} bytes follow the value, at byte {offset}")]
    TrailingBytes {
        /// Subject.
        subject: String,
        /// The writer's id.
        id: u32,
        /// Where they begin, counted from the magic byte.
        offset: usize,
        /// How many.
        extra: usize,
    },
    /// The message doesn't fit its schema: type and `.avsc` differ.
    #[error("{subject}: cannot encode with schema id {id}: {cause}")]
    Encode {
        /// Subject.
        subject: String,
        /// Our id.
        id: u32,
        /// Which field, and why.
        cause: String,
    },
    /// A schema's text is not an Avro schema.
    #[error("{subject}: bad Avro schema: {cause}")]
    BadSchema {
        /// Subject, or the name of the type.
        subject: String,
        /// What the parser says.
        cause: String,
    },
}

/// The source of schemas could not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What failed, naming the registry's address.
    pub message: String,
    /// Asking again may help (the registry is down or busy).
    pub retriable: bool,
}

impl AvroError {
    /// True where the same bytes may be decoded later: the registry was not
    /// reachable. False means the record itself is bad, now and always.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Source { source, .. } if source.retriable)
    }
}
