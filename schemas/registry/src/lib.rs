//! The schema registry, both sides.
//!
//! * [`Registry`]: subjects, versions and compatibility, kept in a
//!   [`Storage`]. It serves the subset of Confluent's REST interface that
//!   clients use ([`server::router`]) and is itself a
//!   [`SchemaSource`], so that the process that
//!   embeds it needs no socket to talk to itself.
//! * [`RegistryClient`]: the same for a registry elsewhere, over
//!   `schema_registry_converter`; ours and any Confluent-compatible one alike.
//! * [`register_all`]: what every process does at start.
//!
//! Invariant: an id stands for one schema for ever. Nothing is deleted, as the
//! log may hold values of any id.
//!
//! ```
//! use schema_registry::{MemoryStorage, Registry, register_all};
//! use schemas::avro::Decoder;
//! use schemas::topics;
//! use std::sync::Arc;
//!
//! let registry = Arc::new(Registry::open(Box::new(MemoryStorage::default()))?);
//! register_all(registry.as_ref())?;
//! let decoder = Decoder::for_topic(&topics::ORDER_EVENTS, registry)?;
//! # drop(decoder);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod client;
mod compatibility;
mod error;
mod registry;
pub mod server;
mod storage;

pub use client::{ClientOptions, RegistryClient};
pub use compatibility::Level;
pub use error::RegistryError;
pub use registry::{Registered, Registry};
pub use storage::{FileStorage, MemoryStorage, Storage, StorageError};

use schemas::avro::{SchemaSource, SourceError};
use schemas::topics;

/// Registers the schema of every topic of the catalogue under
/// `<topic>-value`; returns how many there are. Repeating it changes nothing.
///
/// # Errors
/// The registry can't be reached, or refuses a schema because values written
/// before could not be read any more.
pub fn register_all(source: &dyn SchemaSource) -> Result<usize, SourceError> {
    let mut count = 0;
    for topic in topics::ALL {
        if let Some(schema) = topic.schema() {
            let id = source.id_of(&topic.subject(), schema)?;
            tracing::debug!(subject = topic.subject(), id, "schema registered");
            count += 1;
        }
    }
    tracing::info!(subjects = count, "schemas are registered");
    Ok(count)
}
