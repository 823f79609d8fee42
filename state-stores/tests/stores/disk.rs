//! Engines under test, with what a crash leaves of them.

use state_stores::{Crash, Engine, MemoryEngine};

/// Where the base is kept.
pub(crate) trait Disk: Sized {
    type Engine: Engine + 'static;

    /// An empty one, opened.
    fn create() -> (Self, Self::Engine);

    /// The process ends and another one opens the same files.
    fn reopen(&mut self, engine: Self::Engine) -> Self::Engine;

    /// The process is killed; of the batches that nobody flushed, the engine had put this many into files by itself.
    fn crash(&mut self, engine: Self::Engine, in_files: usize) -> Self::Engine;
}

pub(crate) struct Memory;

impl Disk for Memory {
    type Engine = MemoryEngine;

    fn create() -> (Self, MemoryEngine) {
        (Self, MemoryEngine::with_crashes())
    }

    fn reopen(&mut self, engine: MemoryEngine) -> MemoryEngine {
        engine
    }

    fn crash(&mut self, engine: MemoryEngine, in_files: usize) -> MemoryEngine {
        engine.crash(Crash::AfterPrefix(in_files));
        engine
    }
}

#[cfg(feature = "rocksdb")]
pub(crate) mod rocks {
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::io::ErrorKind;
    use std::path::Path;

    use state_stores::{RocksEngine, RocksOptions};
    use tempfile::TempDir;

    use super::Disk;

    /// A folder. What a killed process leaves is what its folder holds while the engine is still open.
    pub(crate) struct Rocks(TempDir);

    fn open(folder: &TempDir) -> RocksEngine {
        let options = RocksOptions {
            cache_bytes: 1 << 20,
            write_buffer_bytes: 4 << 20,
            ..RocksOptions::default()
        };
        RocksEngine::open(folder.path(), options).unwrap()
    }

    /// The files as they were at one moment, which a kill would have left; None if the engine's own threads made or
    /// deleted one meanwhile.
    fn copy_of_one_moment(folder: &Path) -> Option<TempDir> {
        let names = || -> BTreeSet<OsString> {
            let files = std::fs::read_dir(folder).unwrap();
            files.map(|file| file.unwrap().file_name()).collect()
        };
        let (left, before) = (tempfile::tempdir().unwrap(), names());
        for name in &before {
            match std::fs::copy(folder.join(name), left.path().join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                copied => drop(copied.unwrap()),
            }
        }
        (names() == before).then_some(left)
    }

    impl Disk for Rocks {
        type Engine = RocksEngine;

        fn create() -> (Self, RocksEngine) {
            let folder = tempfile::tempdir().unwrap();
            let engine = open(&folder);
            (Self(folder), engine)
        }

        fn reopen(&mut self, engine: RocksEngine) -> RocksEngine {
            drop(engine);
            open(&self.0)
        }

        fn crash(&mut self, engine: RocksEngine, _in_files: usize) -> RocksEngine {
            let left = loop {
                if let Some(left) = copy_of_one_moment(self.0.path()) {
                    break left;
                }
            };
            drop(engine);
            self.0 = left;
            open(&self.0)
        }
    }
}
