//! Appending messages to the log.
//!
//! Invariant: a message counts as sent only when the log acknowledged it; what
//! was not acknowledged in time may still arrive, so every message can be
//! recognised as a repeat by its id.

use std::sync::Arc;
use std::time::Duration;

use log::{AppendExt as _, Appender, Header, Log, LogError, NewRecord};
use schemas::Micros;
use schemas::avro::{AvroError, Encoder, Message, SchemaSource};
use schemas::topics::Topic;

use crate::http::ApiError;

/// A topic with its encoder.
#[derive(Debug)]
pub struct Typed<V> {
    name: &'static str,
    encoder: Encoder<V>,
}

impl<V: Message> Typed<V> {
    /// Looks the topic's schema up.
    ///
    /// # Errors
    /// The schema registry has no answer.
    pub fn new(topic: &Topic<V>, schemas: &dyn SchemaSource) -> Result<Self, AvroError> {
        Ok(Self { name: topic.name(), encoder: Encoder::for_topic(topic, schemas)? })
    }
}

/// The ingress's one producer (client id `order-api-producer`, R268).
#[derive(Clone)]
pub struct Sender {
    appender: Arc<dyn Appender>,
    patience: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Sender {
    /// Opens the producer; `patience` is how long an acknowledgement may take.
    ///
    /// # Errors
    /// The log can't be reached.
    pub fn open(log: &dyn Log, patience: Duration) -> Result<Self, LogError> {
        Ok(Self { appender: Arc::from(log.appender("order-api-producer")?), patience })
    }

    /// Appends a message (none = tombstone); where it is once acknowledged.
    ///
    /// # Errors
    /// 503 if the log didn't acknowledge in time or refused for now; 422 if the
    /// message is too large for it.
    pub async fn send<V: Message>(
        &self,
        topic: &Typed<V>,
        key: &str,
        message: Option<&V>,
        headers: &[Header<'_>],
        now: Micros,
    ) -> Result<(u32, i64), ApiError> {
        let value = message
            .map(|message| topic.encoder.encode_to_vec(message))
            .transpose()
            .map_err(|error| ApiError::internal(&error))?;
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: value.as_deref(),
            timestamp: now.as_millis(),
            headers,
        };
        let acknowledged = self.appender.appended(topic.name, None, record);
        match tokio::time::timeout(self.patience, acknowledged).await {
            Ok(Ok((partition, offset))) => {
                tracing::debug!(topic = topic.name, partition, offset, "message delivered");
                Ok((partition, offset))
            }
            Ok(Err(LogError::Refused(cause))) => {
                tracing::warn!(topic = topic.name, cause, "message delivery failed");
                Err(ApiError::invalid_field(
                    "",
                    "too_large",
                    "the request is too large to be recorded",
                ))
            }
            Ok(Err(error)) => Err(not_acknowledged(topic.name, &error)),
            Err(_) => Err(not_acknowledged(topic.name, &"no acknowledgement in time")),
        }
    }
}

fn not_acknowledged(topic: &str, cause: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(topic, %cause, "message delivery failed");
    ApiError::unavailable(
        "log_unavailable",
        "The request could not be recorded in time; repeat it with the same Idempotency-Key",
    )
}
