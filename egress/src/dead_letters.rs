//! Records the egress could not read, as they were, on `dead_letters`, with
//! the headers of KIP-1034 so that the same tools show and replay them.

use std::time::Duration;

use log::{Appender, LogError, NewRecord};
use schemas::topics;

/// A record with its place.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) reason: String,
}

/// Longer than the appender's own delivery timeout, which answers first.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// Appends the records and waits until they are durable. A repeat after a
/// crash appends again: at least once.
pub(crate) fn send(
    appender: &dyn Appender,
    application: &str,
    broken: &[Broken],
    now_ms: i64,
) -> Result<(), LogError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    for record in broken {
        let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
        let timestamp = record.timestamp.to_string();
        let headers = [
            ("__streams.errors.exception", b"undecodable".as_slice()),
            ("__streams.errors.message", record.reason.as_bytes()),
            ("__streams.errors.topic", record.topic.as_bytes()),
            ("__streams.errors.partition", partition.as_bytes()),
            ("__streams.errors.offset", offset.as_bytes()),
            ("orders.timestamp", timestamp.as_bytes()),
            ("orders.node", application.as_bytes()),
            ("orders.application", application.as_bytes()),
        ];
        let new = NewRecord {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            // With the record's own time retention could take the letter before anybody reads it.
            timestamp: now_ms,
            headers: &headers,
        };
        let sender = sender.clone();
        let done = Box::new(move |result| {
            let _receiver_gone = sender.send(result);
        });
        appender.append(topics::DEAD_LETTERS.name(), None, new, done);
    }
    drop(sender);
    for record in broken {
        receiver
            .recv_timeout(ACKNOWLEDGED_WITHIN)
            .map_err(|_| LogError::Retriable("dead_letters: no acknowledgement".to_owned()))??;
        metrics::counter!("dead_letters_total", "application" => application.to_owned())
            .increment(1);
        tracing::error!(
            topic = record.topic,
            partition = record.partition,
            offset = record.offset,
            reason = record.reason,
            "record skipped; it is on dead_letters"
        );
    }
    Ok(())
}
