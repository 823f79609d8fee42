//! The embedded registry: subjects, their versions, schemas by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use schemas::avro::{MessageSchema, SchemaSource, SourceError, can_read, content_id, normalize};

use super::compatibility::Level;
use super::error::RegistryError;
use super::storage::{Storage, StorageError};

/// Highest id and version of Confluent's clients.
const MAX: u32 = i32::MAX.cast_unsigned();

/// The embedded registry. Share it behind an `Arc`.
pub struct Registry {
    storage: Box<dyn Storage>,
    document: RwLock<Document>,
}

/// A schema under a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Subject.
    pub subject: String,
    /// Counts from 1.
    pub version: u32,
    /// Stands for the text, under every subject.
    pub id: u32,
    /// The text as it was registered first.
    pub schema: Arc<str>,
}

/// All there is; what the storage keeps, as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Document {
    compatibility: Level,
    subjects: BTreeMap<String, Subject>,
    schemas: BTreeMap<u32, Arc<str>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    compatibility: Option<Level>,
    /// Ids; version = index + 1.
    versions: Vec<u32>,
}

impl Registry {
    /// Opens what the storage holds.
    ///
    /// # Errors
    /// The document can't be read.
    pub fn open(storage: Box<dyn Storage>) -> Result<Self, StorageError> {
        let document = match storage.load()? {
            None => Document::default(),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|cause| StorageError {
                action: "understand",
                path: "the schema registry's document".to_owned(),
                cause: cause.to_string(),
            })?,
        };
        Ok(Self { storage, document: RwLock::new(document) })
    }

    /// Adds a version to a subject, unless it has the schema already; returns
    /// its id, the same under all subjects.
    ///
    /// # Errors
    /// Not an Avro schema; incompatible with earlier versions; storage.
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.check_schema(schema)?;
        self.change(|document| {
            if let Some((_, id)) = document.find(subject, schema) {
                return Ok(id);
            }
            let details = document.level(subject).check(&document.texts(subject), schema);
            if !details.is_empty() {
                return Err(RegistryError::Incompatible { subject: subject.to_owned(), details });
            }
            let id = document.add(schema);
            document.subjects.entry(subject.to_owned()).or_default().versions.push(id);
            Ok(id)
        })
    }

    /// The version under which a subject has this schema.
    ///
    /// # Errors
    /// Unknown subject or schema.
    pub fn lookup(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        self.check_schema(schema)?;
        let document = self.document.read();
        document.subject(subject)?;
        let (version, _) = document.find(subject, schema).ok_or(RegistryError::SchemaNotFound)?;
        document.registered(subject, version)
    }

    /// All subjects, sorted.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        self.document.read().subjects.keys().cloned().collect()
    }

    /// A subject's versions.
    ///
    /// # Errors
    /// Unknown subject.
    pub fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        let document = self.document.read();
        Ok((1..).zip(&document.subject(subject)?.versions).map(|(version, _)| version).collect())
    }

    /// One version; `latest` or `-1` is the last.
    ///
    /// # Errors
    /// Unknown subject or version, or no version at all.
    pub fn version(&self, subject: &str, version: &str) -> Result<Registered, RegistryError> {
        let document = self.document.read();
        let latest = document.subject(subject)?.versions.len();
        let number = match version {
            "latest" | "-1" => u32::try_from(latest).unwrap_or(MAX),
            _ => match version.parse::<u32>() {
                Ok(number @ 1..=MAX) => number,
                _ => return Err(RegistryError::InvalidVersion(version.to_owned())),
            },
        };
        document.registered(subject, number)
    }

    /// The text of an id.
    #[must_use]
    pub fn text(&self, id: u32) -> Option<Arc<str>> {
        self.document.read().schemas.get(&id).cloned()
    }

    /// Subjects and versions that have an id.
    #[must_use]
    pub fn uses(&self, id: u32) -> Vec<(String, u32)> {
        let document = self.document.read();
        let uses = document.subjects.iter().flat_map(|(name, subject)| {
            let versions = (1..).zip(&subject.versions).filter(move |(_, used)| **used == id);
            versions.map(|(version, _)| (name.clone(), version))
        });
        uses.collect()
    }

    /// What is wrong with a schema as the next version after `version`; empty
    /// if nothing is.
    ///
    /// # Errors
    /// Unknown subject or version; not an Avro schema.
    pub fn check(
        &self,
        subject: &str,
        version: &str,
        schema: &str,
    ) -> Result<Vec<String>, RegistryError> {
        self.check_schema(schema)?;
        let against = self.version(subject, version)?;
        let level = self.document.read().level(subject);
        Ok(level.check(&[&against.schema], schema))
    }

    /// The level of all subjects without their own.
    #[must_use]
    pub fn level(&self) -> Level {
        self.document.read().compatibility
    }

    /// A subject's own level, if it has one.
    #[must_use]
    pub fn subject_level(&self, subject: &str) -> Option<Level> {
        self.document.read().subjects.get(subject)?.compatibility
    }

    /// Sets the level of a subject, or of all without their own.
    ///
    /// # Errors
    /// Storage.
    pub fn set_level(&self, subject: Option<&str>, level: Level) -> Result<(), RegistryError> {
        self.change(|document| {
            match subject {
                None => document.compatibility = level,
                Some(name) => {
                    let subject = document.subjects.entry(name.to_owned()).or_default();
                    subject.compatibility = Some(level);
                }
            }
            Ok(())
        })
    }

    fn check_schema(&self, schema: &str) -> Result<(), RegistryError> {
        match can_read(schema, schema) {
            Ok(_) => Ok(()),
            Err(cause) => Err(RegistryError::InvalidSchema(cause.to_string())),
        }
    }

    /// Changes a copy, saves it, then lets others see it: what is shown is
    /// durable.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut current = self.document.write();
        let before = serde_json::to_vec(&*current).map_err(unwritable)?;
        let mut next = current.clone();
        let result = change(&mut next)?;
        let after = serde_json::to_vec(&next).map_err(unwritable)?;
        if after != before {
            self.storage.save(&after)?;
            *current = next;
        }
        Ok(result)
    }
}

fn unwritable(cause: serde_json::Error) -> StorageError {
    let path = "the schema registry's document".to_owned();
    StorageError { action: "write", path, cause: cause.to_string() }
}

impl Document {
    fn subject(&self, name: &str) -> Result<&Subject, RegistryError> {
        match self.subjects.get(name) {
            Some(subject) if !subject.versions.is_empty() => Ok(subject),
            _ => Err(RegistryError::SubjectNotFound(name.to_owned())),
        }
    }

    fn level(&self, subject: &str) -> Level {
        let own = self.subjects.get(subject).and_then(|subject| subject.compatibility);
        own.unwrap_or(self.compatibility)
    }

    fn ids(&self, subject: &str) -> &[u32] {
        self.subjects.get(subject).map_or(&[], |subject| &subject.versions)
    }

    fn texts(&self, subject: &str) -> Vec<&str> {
        self.ids(subject).iter().filter_map(|id| self.schemas.get(id)).map(|text| &**text).collect()
    }

    /// Version and id under which a subject has this schema, whatever its
    /// spaces and order of members.
    fn find(&self, subject: &str, schema: &str) -> Option<(u32, u32)> {
        let versions = (1..).zip(self.ids(subject).iter().copied());
        versions.into_iter().find(|(_, id)| {
            self.schemas.get(id).is_some_and(|text| normalize(text).ok() == normalize(schema).ok())
        })
    }

    fn registered(&self, subject: &str, version: u32) -> Result<Registered, RegistryError> {
        let found = usize::try_from(version).ok().and_then(|version| {
            let id = *self.ids(subject).get(version.checked_sub(1)?)?;
            Some((id, self.schemas.get(&id)?.clone()))
        });
        let subject = subject.to_owned();
        match found {
            Some((id, schema)) => Ok(Registered { subject, version, id, schema }),
            None => Err(RegistryError::VersionNotFound { subject, version: version.to_string() }),
        }
    }

    /// The schema's id, made of its text; the next free one should two texts
    /// ever meet in 31 bits.
    fn add(&mut self, schema: &str) -> u32 {
        let mut id = content_id(schema);
        let normalized = normalize(schema).ok();
        while let Some(text) = self.schemas.get(&id) {
            if normalize(text).ok() == normalized {
                return id;
            }
            id = id % MAX + 1;
        }
        self.schemas.insert(id, schema.into());
        id
    }
}

impl SchemaSource for Registry {
    fn id_of(&self, subject: &str, schema: &MessageSchema) -> Result<u32, SourceError> {
        self.register(subject, schema.text()).map_err(|cause| SourceError {
            message: format!("embedded schema registry: {cause}"),
            retriable: false,
        })
    }

    fn schema(&self, id: u32) -> Result<Option<Arc<str>>, SourceError> {
        Ok(self.text(id))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let document = self.document.read();
        f.debug_struct("Registry")
            .field("subjects", &document.subjects.len())
            .field("schemas", &document.schemas.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileStorage, MemoryStorage, register_all};

    fn registry() -> Registry {
        Registry::open(Box::new(MemoryStorage::default())).unwrap()
    }

    #[test]
    fn ids_are_the_same_in_every_registry_whatever_the_order() {
        let (one, two) = (registry(), registry());
        register_all(&one).unwrap();
        two.register("other", r#""long""#).unwrap();
        register_all(&two).unwrap();
        for subject in one.subjects() {
            assert_eq!(
                one.version(&subject, "latest").unwrap().id,
                two.version(&subject, "latest").unwrap().id
            );
        }
    }

    #[test]
    fn registering_again_changes_nothing_and_reopening_finds_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schemas.json");
        let open = || Registry::open(Box::new(FileStorage::new(&path))).unwrap();
        let first = open();
        register_all(&first).unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        register_all(&first).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
        let again = open();
        assert_eq!(again.subjects(), first.subjects());
        let event = again.version("order_events-value", "1").unwrap();
        assert_eq!(again.text(event.id).as_deref(), Some(&*event.schema));
        assert!(again.uses(event.id).contains(&("order_created-value".to_owned(), 1)));
    }

    struct Full;

    impl Storage for Full {
        fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
            Ok(None)
        }

        fn save(&self, _: &[u8]) -> Result<(), StorageError> {
            let (path, cause) = ("x".to_owned(), "no space left".to_owned());
            Err(StorageError { action: "write", path, cause })
        }
    }

    #[test]
    fn what_could_not_be_saved_is_not_shown() {
        let registry = Registry::open(Box::new(Full)).unwrap();
        let error = registry.register("s", r#""long""#).unwrap_err();
        assert_eq!((error.code(), error.status()), (50001, 500));
        assert!(registry.subjects().is_empty());
        assert_eq!(registry.text(content_id(r#""long""#)), None);
    }

    #[test]
    fn a_torn_document_is_not_taken_for_an_empty_one() {
        let storage = MemoryStorage::default();
        storage.save(b"{\"subjects\":").unwrap();
        assert!(Registry::open(Box::new(storage)).is_err());
    }
}
