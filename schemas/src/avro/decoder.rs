//! Bytes → message.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde::de::IgnoredAny;

use super::fault::Fault;
use super::plan::Plan;
use super::read::read;
use super::schema::parse;
use super::{AvroError, HEADER_LEN, Message, SchemaSource, compatibility, split};
use crate::topics::Topic;

/// Reads messages of one type, whoever wrote them. Share it or clone it; a
/// clone starts with its own cache of foreign schemas.
pub struct Decoder<V> {
    subject: String,
    own_id: u32,
    source: Arc<dyn SchemaSource>,
    writers: RwLock<HashMap<u32, Writer>>,
    value: PhantomData<fn() -> V>,
}

/// How values of a foreign id are read.
#[derive(Clone)]
enum Writer {
    /// Same layout as ours: only documentation, defaults or order of JSON
    /// members differ.
    Same,
    /// Another version of our schema.
    Other(Arc<Other>),
}

struct Other {
    schema: Schema,
    /// None where the schema has types that we never write.
    plan: Option<Plan>,
}

impl<V: Message> Decoder<V> {
    /// For a subject: asks `source` for the id of the type's own schema.
    ///
    /// # Errors
    /// [`AvroError::Source`] if the source has no answer.
    pub fn new(
        subject: impl Into<String>,
        source: Arc<dyn SchemaSource>,
    ) -> Result<Self, AvroError> {
        let subject = subject.into();
        match source.id_of(&subject, V::schema()) {
            Ok(own_id) => {
                Ok(Self { subject, own_id, source, writers: RwLock::default(), value: PhantomData })
            }
            Err(source) => Err(AvroError::Source { subject, id: 0, source }),
        }
    }

    /// For a topic of the catalogue.
    ///
    /// # Errors
    /// [`AvroError::Source`] if the source has no answer.
    pub fn for_topic(topic: &Topic<V>, source: Arc<dyn SchemaSource>) -> Result<Self, AvroError> {
        Self::new(topic.subject(), source)
    }

    /// Decodes one value. Unknown ids are looked up in the source, which may
    /// block; they are not remembered as unknown.
    ///
    /// # Errors
    /// All variants of [`AvroError`] but `Encode`; see
    /// [`AvroError::is_retriable`] before calling the record bad.
    pub fn decode(&self, bytes: &[u8]) -> Result<V, AvroError> {
        let (id, body) = split(&self.subject, bytes)?;
        if id == self.own_id {
            return self.direct(id, body);
        }
        match self.writer(id)? {
            Writer::Same => self.direct(id, body),
            Writer::Other(other) => self.resolved(id, &other, body),
        }
    }

    fn direct(&self, id: u32, body: &[u8]) -> Result<V, AvroError> {
        let mut rest = body;
        let plan = V::schema().plan();
        match read::<V>(plan, &mut rest) {
            Ok(value) => self.finish(id, body, rest, value),
            Err(fault) => Err(self.failed(id, plan, body, &fault)),
        }
    }

    /// By name along the writer's plan: fields we don't have are passed over,
    /// optional ones it doesn't have are none (their default, see
    /// `compose`). What that can't do (other defaults, symbols we don't know)
    /// is left to Avro's resolution, which takes ten times as long.
    fn resolved(&self, id: u32, writer: &Other, body: &[u8]) -> Result<V, AvroError> {
        let mut rest = body;
        if let Some(plan) = &writer.plan {
            if let Ok(value) = read::<V>(plan, &mut rest) {
                return self.finish(id, body, rest, value);
            }
            rest = body;
            let broken = read::<IgnoredAny>(plan, &mut rest);
            broken.map_err(|fault| self.failed(id, plan, body, &fault))?;
            rest = body;
        }
        let value = GenericDatumReader::builder(&writer.schema)
            .reader_schema(V::schema().schema())
            .human_readable(true)
            .build()
            .and_then(|datum| datum.read_value(&mut rest))
            .and_then(|value| apache_avro::from_value::<V>(&value));
        match value {
            Ok(value) => self.finish(id, body, rest, value),
            Err(cause) => Err(AvroError::Decode {
                subject: self.subject.clone(),
                id,
                field: V::schema().plan().name().to_owned(),
                offset: HEADER_LEN + body.len() - rest.len(),
                cause: cause.to_string(),
            }),
        }
    }

    fn finish(&self, id: u32, body: &[u8], rest: &[u8], value: V) -> Result<V, AvroError> {
        if rest.is_empty() {
            return Ok(value);
        }
        Err(AvroError::TrailingBytes {
            subject: self.subject.clone(),
            id,
            offset: HEADER_LEN + body.len() - rest.len(),
            extra: rest.len(),
        })
    }

    fn failed(&self, id: u32, plan: &Plan, body: &[u8], fault: &Fault) -> AvroError {
        let left = fault.left().unwrap_or(body.len());
        AvroError::Decode {
            subject: self.subject.clone(),
            id,
            field: fault.path(plan.name()),
            offset: HEADER_LEN + body.len() - left,
            cause: fault.cause().to_owned(),
        }
    }

    fn writer(&self, id: u32) -> Result<Writer, AvroError> {
        let known = self.writers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(writer) = known {
            return Ok(writer);
        }
        let subject = || self.subject.clone();
        let text = match self.source.schema(id) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(AvroError::UnknownId { subject: subject(), id }),
            Err(source) => return Err(AvroError::Source { subject: subject(), id, source }),
        };
        let schema =
            parse(&text).map_err(|cause| AvroError::BadSchema { subject: subject(), cause })?;
        let own = V::schema();
        let writer = if schema.canonical_form() == own.schema().canonical_form() {
            Writer::Same
        } else {
            compatibility::check(&schema, own.schema()).map_err(|cause| AvroError::Unreadable {
                subject: subject(),
                id,
                reader: own.name().to_owned(),
                cause,
            })?;
            let plan = Plan::of(&schema).ok();
            Writer::Other(Arc::new(Other { schema, plan }))
        };
        self.writers.write().unwrap_or_else(PoisonError::into_inner).insert(id, writer.clone());
        Ok(writer)
    }
}

impl<V> Clone for Decoder<V> {
    fn clone(&self) -> Self {
        Self {
            subject: self.subject.clone(),
            own_id: self.own_id,
            source: self.source.clone(),
            writers: RwLock::default(),
            value: PhantomData,
        }
    }
}

impl<V> fmt::Debug for Decoder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("subject", &self.subject)
            .field("own_id", &self.own_id)
            .finish_non_exhaustive()
    }
}
