//! The contract, judged on the embedded log in memory: with transactions that wait in memory, as in the default run, and
//! with transactions that lie open in the log, as in simulations.

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
    open_transactions: bool,
}

impl Memory {
    fn new(open_transactions: bool) -> Self {
        let engine = Arc::new(MemoryEngine::with_crashes());
        let log = Arc::new(open(&engine, open_transactions));
        Self { engine, log, open_transactions }
    }
}

fn open(engine: &Arc<MemoryEngine>, open_transactions: bool) -> EmbeddedLog {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    let options = EmbeddedOptions { open_transactions, ..EmbeddedOptions::default() };
    EmbeddedLog::open(engine, options).unwrap()
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
        Arc::new(open(&self.engine, self.open_transactions))
    }
}

mod transactions_wait_in_memory {
    use super::*;

    operators_log::contract_tests!(Memory::new(false));
}

mod transactions_lie_in_the_log {
    use super::*;

    operators_log::contract_tests!(Memory::new(true));
    operators_log::open_transaction_tests!(Memory::new(true));
}
