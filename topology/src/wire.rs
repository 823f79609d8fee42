//! Joins the messages of `schemas` to the operators: typed topics and codecs.
//!
//! Invariant: topics carry Avro in the registry's wire format, keys are UTF-8
//! text. State that only we read (stores and their changelogs) is JSON: it
//! names its fields, so a new optional field (`#[serde(default)]`) reads old
//! rows, and a changelog can be looked at with any consumer.

use std::sync::Arc;

use operators::{Codec, CodecError, Decoder, Encoder, Serde, Topic, Utf8, codec_fn};
use schemas::avro::{self, AvroError, Message, SchemaSource};
use schemas::topics;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Knows schema ids; makes topics for the operators.
#[derive(Clone)]
pub struct Wire {
    source: Arc<dyn SchemaSource>,
}

impl Wire {
    /// Schema ids come from `source`: the registry's client, or
    /// [`schemas::avro::Local`] in tests.
    #[must_use]
    pub fn new(source: Arc<dyn SchemaSource>) -> Self {
        Self { source }
    }

    /// A topic of the catalogue with its codecs.
    ///
    /// # Errors
    /// The source doesn't give the id of the topic's schema.
    pub fn on<V: Message + Clone>(
        &self,
        topic: &topics::Topic<V>,
    ) -> Result<Topic<str, V>, AvroError> {
        let value: Serde<V> = Arc::new(Avro {
            encoder: avro::Encoder::for_topic(topic, self.source.as_ref())?,
            decoder: avro::Decoder::for_topic(topic, Arc::clone(&self.source))?,
            format: format!("avro-{}", V::schema().name()),
        });
        Ok(Topic::new(topic.name(), Utf8, value))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

struct Avro<V> {
    encoder: avro::Encoder<V>,
    decoder: avro::Decoder<V>,
    format: String,
}

impl<V: Message + Clone> Codec<V> for Avro<V> {
    fn decoder(&self) -> Box<dyn Decoder<V>> {
        let name = self.format.clone();
        Box::new(AvroDecoder { decoder: self.decoder.clone(), name, scratch: None })
    }

    fn encoder(&self) -> Box<dyn Encoder<V>> {
        Box::new(AvroEncoder { encoder: self.encoder.clone(), name: self.format.clone() })
    }

    fn format(&self) -> &str {
        &self.format
    }
}

struct AvroDecoder<V> {
    decoder: avro::Decoder<V>,
    name: String,
    scratch: Option<V>,
}

impl<V: Message> Decoder<V> for AvroDecoder<V> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a V, CodecError> {
        let value = self.decoder.decode(bytes);
        let value = value.map_err(|error| CodecError::new(&self.name, error.to_string()))?;
        Ok(self.scratch.insert(value))
    }
}

struct AvroEncoder<V> {
    encoder: avro::Encoder<V>,
    name: String,
}

impl<V: Message> Encoder<V> for AvroEncoder<V> {
    fn encode(&mut self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let encoded = self.encoder.encode(value, out);
        encoded.map_err(|error| CodecError::new(&self.name, error.to_string()))
    }
}

/// The codec of a state record. `name` and its version stand in the manifest:
/// count the version up when old rows can't be read any more.
pub fn state<S>(name: &str, version: u32) -> Serde<S>
where
    S: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    codec_fn(
        format!("json-{name}-v{version}"),
        |value: &S, out| {
            serde_json::to_writer(out, value)
                .map_err(|_| "the state can't be written as JSON".into())
        },
        // Where it broke, not what was there: rows hold addresses.
        |bytes| {
            serde_json::from_slice(bytes)
                .map_err(|error| format!("not a row, at byte {}", error.column()).into())
        },
    )
}

#[cfg(test)]
mod tests {
    use schemas::avro::Local;

    use super::*;
    use crate::samples;

    #[test]
    fn what_is_written_is_read_and_errors_quote_no_data() {
        let wire = Wire::new(Local::source());
        let topic = wire.on(&topics::ORDER_CREATED).unwrap();
        let event = samples::created(&[("a", 2, 2_999)]);
        let mut bytes = Vec::new();
        topic.value().encoder().encode(&event, &mut bytes).unwrap();
        assert_eq!(topic.value().decoder().decode(&bytes).unwrap(), &event);

        let rows = state::<crate::analytics::Revenue>("n", 1);
        assert_eq!(rows.format(), "json-n-v1");
        let error = rows.decoder().decode(b"{\"secret street\"").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
