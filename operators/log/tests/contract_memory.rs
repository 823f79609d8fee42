//! The contract, judged on the embedded log in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use operators_log::Log;
use operators_log::contract::{LogFixture, Victim};
use operators_log::embedded::{EmbeddedLog, EmbeddedOptions};
use state_stores::{Crash, Engine, MemoryEngine};

struct Memory {
    engine: Arc<MemoryEngine>,
    log: Arc<EmbeddedLog>,
}

impl Memory {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::with_crashes());
        let log = Arc::new(open(&engine));
        Self { engine, log }
    }
}

fn open(engine: &Arc<MemoryEngine>) -> EmbeddedLog {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    EmbeddedLog::open(engine, EmbeddedOptions::default()).unwrap()
}

impl LogFixture for Memory {
    fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log) as _
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn kill_in_transaction(&self, victim: &Victim) -> Arc<dyn Log> {
        victim.run(self.log(), self, || {
            self.log.crash();
            self.engine.crash(Crash::Process);
        });
        Arc::new(open(&self.engine))
    }
}

operators_log::contract_tests!(Memory::new());
