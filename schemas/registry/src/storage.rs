//! Where the registry keeps its document.
//!
//! Invariant: after `save` returned, `load` gives that document or a later
//! one, whatever crashed; never a part of one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Keeps one document.
pub trait Storage: Send + Sync {
    /// The last document saved.
    ///
    /// # Errors
    /// It exists and can't be read.
    fn load(&self) -> Result<Option<Vec<u8>>, StorageError>;

    /// Replaces the document, durably.
    ///
    /// # Errors
    /// The document on disk is the old one.
    fn save(&self, document: &[u8]) -> Result<(), StorageError>;
}

/// The document can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {cause}")]
pub struct StorageError {
    /// `read`, `write`, `understand`.
    pub action: &'static str,
    /// Which file.
    pub path: String,
    /// Why not.
    pub cause: String,
}

/// For tests: gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStorage(Mutex<Option<Vec<u8>>>);

impl Storage for MemoryStorage {
    fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.lock().clone())
    }

    fn save(&self, document: &[u8]) -> Result<(), StorageError> {
        *self.0.lock() = Some(document.to_vec());
        Ok(())
    }
}

/// One file, replaced by writing a new one beside it, syncing it, renaming it
/// and syncing the folder.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
}

impl FileStorage {
    /// The folder is made with the first save.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn replace(&self, document: &[u8]) -> std::io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(document)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn failed(&self, action: &'static str, cause: &std::io::Error) -> StorageError {
        StorageError { action, path: self.path.display().to_string(), cause: cause.to_string() }
    }
}

impl Storage for FileStorage {
    fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        match fs::read(&self.path) {
            Ok(document) => Ok(Some(document)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.failed("read", &cause)),
        }
    }

    fn save(&self, document: &[u8]) -> Result<(), StorageError> {
        self.replace(document).map_err(|cause| self.failed("write", &cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_and_a_torn_one_beside_it_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry/schemas.json");
        let storage = FileStorage::new(&path);
        assert!(storage.load().unwrap().is_none());
        storage.save(b"one").unwrap();
        fs::write(path.with_extension("new"), b"tw").unwrap();
        assert_eq!(FileStorage::new(&path).load().unwrap().as_deref(), Some(&b"one"[..]));
        storage.save(b"three").unwrap();
        assert_eq!(storage.load().unwrap().as_deref(), Some(&b"three"[..]));
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileStorage::new(folder.path()).load().unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
    }
}
