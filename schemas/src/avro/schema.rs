//! A message type's schema: text for the registry, parsed form for the codecs.

use std::fmt;
use std::sync::Once;

use apache_avro::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::plan::Plan;
use super::{MAX_ALLOCATION, compose};

/// A type that is written as Avro. Implement it with
/// [`avro_message!`](crate::avro_message).
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The schema, composed and parsed once per process.
    fn schema() -> &'static MessageSchema;
}

/// Implements [`Message`] for a type from the text of its `.avsc`, which may
/// name the shared types of `schemas/avro/`. Record and field names must be
/// those of the Rust type (as serde sees them).
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Seen {
///     price: schemas::Money,
/// }
/// schemas::avro_message!(
///     Seen,
///     r#"{"type": "record", "name": "Seen", "namespace": "orders.v1",
///         "fields": [{"name": "price", "type": "Money"}]}"#
/// );
/// assert!(<Seen as schemas::avro::Message>::schema().text().contains("minor"));
/// ```
#[macro_export]
macro_rules! avro_message {
    ($type:ty, $avsc:expr) => {
        impl $crate::avro::Message for $type {
            fn schema() -> &'static $crate::avro::MessageSchema {
                static SCHEMA: ::std::sync::LazyLock<$crate::avro::MessageSchema> =
                    ::std::sync::LazyLock::new(|| {
                        $crate::avro::MessageSchema::embedded(stringify!($type), $avsc)
                    });
                &SCHEMA
            }
        }
    };
}

/// The schema of one message type. Self-contained: shared types are written
/// out where they are first used, so that a registry needs no references.
pub struct MessageSchema {
    name: String,
    text: String,
    id: u32,
    schema: Schema,
    plan: Plan,
}

impl MessageSchema {
    /// Composes and parses the text compiled into the program.
    ///
    /// # Panics
    /// If the text is not a schema: the program was built wrong, which the
    /// crate's tests find for every type of the catalogue.
    #[must_use]
    pub fn embedded(type_name: &str, avsc: &str) -> Self {
        limit_allocations();
        match Self::parse(avsc) {
            Ok(schema) => schema,
            Err(cause) => panic!("the embedded schema of {type_name} is not valid: {cause}"),
        }
    }

    fn parse(avsc: &str) -> Result<Self, String> {
        let text = compose::compose(avsc)?;
        let schema = parse(&text)?;
        let name = schema.name().map_or_else(|| "(unnamed)".to_owned(), ToString::to_string);
        Ok(Self { name, id: content_id(&text), plan: Plan::of(&schema)?, schema, text })
    }

    /// Full name, e.g. `orders.v1.OrderEvent`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Self-contained JSON text: what is registered.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The id the embedded registry and [`Local`](super::Local) give it.
    #[must_use]
    pub fn content_id(&self) -> u32 {
        self.id
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl fmt::Debug for MessageSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSchema")
            .field("name", &self.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// An id made of the schema's text alone (31 bits of SHA-256 of the
/// normalized JSON), so that a registry that lost its file, and every other
/// embedded registry, gives the same schema the same id.
#[must_use]
pub fn content_id(text: &str) -> u32 {
    let normalized = compose::normalize(text).unwrap_or_else(|_| text.to_owned());
    let digest = Sha256::digest(normalized.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    // 0 and values above i32::MAX are not ids for Confluent's clients.
    (u32::from_be_bytes([a, b, c, d]) >> 1).max(1)
}

pub(crate) fn parse(text: &str) -> Result<Schema, String> {
    limit_allocations();
    Schema::parse_str(text).map_err(|e| e.to_string())
}

fn limit_allocations() {
    static LIMIT: Once = Once::new();
    LIMIT.call_once(|| {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
    });
}
