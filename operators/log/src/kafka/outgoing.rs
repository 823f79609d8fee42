//! What both producers do with a record: check its size, turn it into
//! librdkafka's form, report its delivery (R269).

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header as NativeHeader, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;

use crate::error::LogError;
use crate::record::NewRecord;

use super::metadata::native;
use super::settings::MAX_RECORD_BYTES;

/// librdkafka takes 0 for "now", so the first millisecond of 1970 becomes the
/// second.
const EARLIEST: i64 = 1;

/// A record on its way to a partition (None: librdkafka chooses).
pub(super) fn outgoing<'a, D: IntoOpaque>(
    topic: &'a str,
    partition: Option<u32>,
    record: &NewRecord<'a>,
    opaque: D,
) -> BaseRecord<'a, [u8], [u8], D> {
    let mut outgoing = BaseRecord::with_opaque_to(topic, opaque).timestamp(timestamp_of(record));
    outgoing.partition = partition.map(native);
    outgoing.key = record.key;
    outgoing.payload = record.value;
    outgoing.headers = headers_of(record);
    outgoing
}

/// As librdkafka takes it.
pub(super) fn timestamp_of(record: &NewRecord<'_>) -> i64 {
    if record.timestamp == 0 { EARLIEST } else { record.timestamp }
}

/// As librdkafka takes them; None without any.
pub(super) fn headers_of(record: &NewRecord<'_>) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (name, value) in record.headers {
        headers = headers.insert(NativeHeader { key: name, value: Some(*value) });
    }
    Some(headers)
}

/// Refuses what no topic of ours would take.
pub(super) fn check_size(topic: &str, record: &NewRecord<'_>) -> Result<(), LogError> {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers;
    if size <= MAX_RECORD_BYTES {
        return Ok(());
    }
    Err(LogError::Refused(format!("{topic}: {size} bytes, at most {MAX_RECORD_BYTES} are sent")))
}

/// Logs a delivery report as the guide has it.
pub(super) fn report(delivered: Result<&BorrowedMessage<'_>, (&KafkaError, &BorrowedMessage<'_>)>) {
    match delivered {
        Ok(message) if tracing::enabled!(tracing::Level::DEBUG) => {
            let (topic, partition) = (message.topic(), message.partition());
            let offset = message.offset();
            tracing::debug!(topic, partition, offset, "Message delivered to {topic} [{partition}]");
        }
        Ok(_) => {}
        Err((error, message)) => {
            let (topic, partition) = (message.topic(), message.partition());
            tracing::error!(topic, partition, %error, "Message delivery failed");
        }
    }
}
