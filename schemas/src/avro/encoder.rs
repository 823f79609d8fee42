//! Message → bytes.

use std::fmt;
use std::marker::PhantomData;

use super::write::write;
use super::{AvroError, MAGIC, Message, SchemaSource};
use crate::topics::Topic;

/// Writes messages of one type under one schema id. Cheap to clone.
#[derive(Clone)]
pub struct Encoder<V> {
    subject: String,
    id: u32,
    value: PhantomData<fn(&V)>,
}

impl<V: Message> Encoder<V> {
    /// For a subject: asks `source` for the id of the type's schema.
    ///
    /// # Errors
    /// [`AvroError::Source`] if the source has no answer.
    pub fn new(subject: impl Into<String>, source: &dyn SchemaSource) -> Result<Self, AvroError> {
        let subject = subject.into();
        match source.id_of(&subject, V::schema()) {
            Ok(id) => Ok(Self::with_id(subject, id)),
            Err(source) => Err(AvroError::Source { subject, id: 0, source }),
        }
    }

    /// For a topic of the catalogue.
    ///
    /// # Errors
    /// [`AvroError::Source`] if the source has no answer.
    pub fn for_topic(topic: &Topic<V>, source: &dyn SchemaSource) -> Result<Self, AvroError> {
        Self::new(topic.subject(), source)
    }

    /// With an id that is already known to stand for the type's schema.
    #[must_use]
    pub fn with_id(subject: impl Into<String>, id: u32) -> Self {
        Self { subject: subject.into(), id, value: PhantomData }
    }

    /// The schema id written.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Appends magic byte, id and Avro binary to `out`. On an error `out` is
    /// as before.
    ///
    /// # Errors
    /// [`AvroError::Encode`] if the type and its `.avsc` differ.
    pub fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), AvroError> {
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&self.id.to_be_bytes());
        let plan = V::schema().plan();
        write(plan, value, out).map_err(|fault| {
            out.truncate(start);
            let cause = format!("{}: {}", fault.path(plan.name()), fault.cause());
            AvroError::Encode { subject: self.subject.clone(), id: self.id, cause }
        })
    }

    /// [`Encoder::encode`] into a buffer of its own.
    ///
    /// # Errors
    /// [`AvroError::Encode`] if the type and its `.avsc` differ.
    pub fn encode_to_vec(&self, value: &V) -> Result<Vec<u8>, AvroError> {
        let mut out = Vec::with_capacity(512);
        self.encode(value, &mut out)?;
        Ok(out)
    }
}

impl<V> fmt::Debug for Encoder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("subject", &self.subject).field("id", &self.id).finish()
    }
}
