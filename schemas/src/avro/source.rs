//! Where schema ids come from.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{MessageSchema, SourceError, content_id};

/// Knows schemas by id. Synchronous: a miss may block while a registry is
/// asked; answers are cached by the implementation.
pub trait SchemaSource: Send + Sync {
    /// The id of one of our schemas under a subject; registers it where it is
    /// new and the source can.
    ///
    /// # Errors
    /// The registry is unreachable, or refuses the schema as incompatible.
    fn id_of(&self, subject: &str, schema: &MessageSchema) -> Result<u32, SourceError>;

    /// The text of the schema with an id; `None` if there is no such id.
    ///
    /// # Errors
    /// The registry is unreachable.
    fn schema(&self, id: u32) -> Result<Option<Arc<str>>, SourceError>;
}

/// Schemas without a registry, for tests: an id is derived from the schema's
/// text ([`content_id`]), the same in every process and in the embedded
/// registry.
#[derive(Debug, Default)]
pub struct Local {
    schemas: RwLock<BTreeMap<u32, Arc<str>>>,
}

impl Local {
    /// Knows all schemas of the catalogue.
    #[must_use]
    pub fn new() -> Self {
        let local = Self::default();
        for schema in crate::topics::ALL.iter().filter_map(|topic| topic.schema()) {
            local.insert(schema.content_id(), schema.text());
        }
        local
    }

    /// [`Local::new`] behind the trait.
    #[must_use]
    pub fn source() -> Arc<dyn SchemaSource> {
        Arc::new(Self::new())
    }

    /// Adds a schema, as another writer would have registered it.
    pub fn add(&self, text: &str) -> u32 {
        let id = content_id(text);
        self.insert(id, text);
        id
    }

    fn insert(&self, id: u32, text: &str) {
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        schemas.entry(id).or_insert_with(|| text.into());
    }
}

impl SchemaSource for Local {
    fn id_of(&self, _subject: &str, schema: &MessageSchema) -> Result<u32, SourceError> {
        self.insert(schema.content_id(), schema.text());
        Ok(schema.content_id())
    }

    fn schema(&self, id: u32) -> Result<Option<Arc<str>>, SourceError> {
        let schemas = self.schemas.read().unwrap_or_else(PoisonError::into_inner);
        Ok(schemas.get(&id).cloned())
    }
}
