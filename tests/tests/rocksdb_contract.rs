//! The log's contract suite against the embedded log on RocksDB. A process that
//! owns the folder is killed with SIGKILL in the middle of a transaction; the
//! successor opens what it left.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use log::Log;
use log::contract::{LogFixture, Victim, kill::Killed};
use log::embedded::{EmbeddedLog, EmbeddedOptions};
use state_stores::{Engine, RocksEngine, RocksOptions};
use tempfile::TempDir;

/// Set in the child that is to be killed: the victim's name and its folder.
const VICTIM: &str = "ROCKSDB_CONTRACT_VICTIM";
const FOLDER: &str = "ROCKSDB_CONTRACT_FOLDER";

struct Rocks {
    log: Arc<dyn Log>,
    /// Removed after the log above was closed: fields drop in order.
    folder: TempDir,
}

impl Rocks {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the log");
        Self { log: open(&folder.path().join("log")), folder }
    }
}

fn open(path: &Path) -> Arc<dyn Log> {
    let options = RocksOptions { wal: true, ..RocksOptions::default() };
    let engine: Arc<dyn Engine> =
        Arc::new(RocksEngine::open(path, options).expect("the folder can be opened"));
    Arc::new(EmbeddedLog::open(engine, EmbeddedOptions::default()).expect("the log can be opened"))
}

impl LogFixture for Rocks {
    fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn kill_in_transaction(&self, victim: &Victim) -> Arc<dyn Log> {
        let folder = self.folder.path().join("victim");
        let mut child = Command::new(std::env::current_exe().expect("this test's own program"));
        child
            .args(["--exact", "the_victim", "--nocapture"])
            .env(VICTIM, &victim.name)
            .env(FOLDER, &folder);
        Killed::after_report(child);
        open(&folder)
    }
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_victim() {
    let (Ok(name), Ok(folder)) = (std::env::var(VICTIM), std::env::var(FOLDER)) else {
        return;
    };
    let fixture = Rocks::new();
    Victim { name }.run_until_killed(open(Path::new(&folder)), &fixture);
}

log::contract_tests!(Rocks::new());
