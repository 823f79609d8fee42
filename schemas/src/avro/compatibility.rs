//! Whether one schema can read what another wrote (Avro's resolution rules).

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;

use super::AvroError;
use super::schema::parse;

/// Why values can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Incompatible(
    /// Which field, and what is wrong.
    pub String,
);

/// Can values written with `writer` be read with `reader`? `Ok(Err(_))` says
/// why not.
///
/// # Errors
/// [`AvroError::BadSchema`] if a text is not a schema.
pub fn can_read(writer: &str, reader: &str) -> Result<Result<(), Incompatible>, AvroError> {
    let bad = |subject: &str| {
        let subject = subject.to_owned();
        move |cause| AvroError::BadSchema { subject, cause }
    };
    let writer = parse(writer).map_err(bad("writer"))?;
    let reader = parse(reader).map_err(bad("reader"))?;
    Ok(check(&writer, &reader).map_err(Incompatible))
}

pub(crate) fn check(writer: &Schema, reader: &Schema) -> Result<(), String> {
    SchemaCompatibility::can_read(writer, reader).map(|_| ()).map_err(|e| e.to_string())
}
