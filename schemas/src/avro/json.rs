//! Any value as JSON, by the schema it was written with: for people who look at one, not for the way of records (the
//! schema is parsed each time).

use apache_avro::reader::datum::GenericDatumReader;

use super::schema::parse;
use super::{AvroError, HEADER_LEN, SchemaSource, split};

/// What a value in the wire format says, named by `subject` in errors.
///
/// # Errors
/// All variants of [`AvroError`] but `Encode` and `Unreadable`.
pub fn to_json(
    subject: &str,
    bytes: &[u8],
    source: &dyn SchemaSource,
) -> Result<serde_json::Value, AvroError> {
    let named = || subject.to_owned();
    let (id, body) = split(subject, bytes)?;
    let text = source.schema(id);
    let text = text.map_err(|source| AvroError::Source { subject: named(), id, source })?;
    let text = text.ok_or_else(|| AvroError::UnknownId { subject: named(), id })?;
    let schema = parse(&text).map_err(|cause| AvroError::BadSchema { subject: named(), cause })?;
    let mut rest = body;
    let value = GenericDatumReader::builder(&schema)
        .human_readable(true)
        .build()
        .and_then(|datum| datum.read_value(&mut rest))
        .and_then(serde_json::Value::try_from);
    let offset = HEADER_LEN + body.len() - rest.len();
    match value {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => Err(AvroError::TrailingBytes { subject: named(), id, offset, extra: rest.len() }),
        Err(cause) => Err(AvroError::Decode {
            subject: named(),
            id,
            field: String::new(),
            offset,
            cause: cause.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{Encoder, Local};
    use crate::samples;
    use crate::topics;

    #[test]
    fn a_message_reads_as_it_was_written() {
        let event = samples::order_event(2);
        let source = Local::source();
        let encoder = Encoder::for_topic(&topics::ORDER_EVENTS, source.as_ref()).unwrap();
        let mut bytes = encoder.encode_to_vec(&event).unwrap();
        let json = to_json("order_events-value", &bytes, source.as_ref()).unwrap();
        assert_eq!(json["order_id"], event.order_id.to_string());
        assert_eq!(json["version"], event.version);
        bytes.push(0);
        let error = to_json("order_events-value", &bytes, source.as_ref()).unwrap_err();
        assert!(error.to_string().contains("1 bytes follow the value"), "{error}");
    }
}
