//! Kafka Streams' vectors through the real worker on the embedded log: fetching, transactions, changelogs, restore and
//! global tables stand between input and output, and nothing of it may show.
//!
//! Each case runs three times: as it is, with the worker closed and another one started between steps, and with every
//! second commit failing, after which the input is processed again.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "../../tests/flows/mod.rs"]
#[allow(dead_code, reason = "what lists cases is for the other oracle")]
mod flows;

mod machine;

use std::process::ExitCode;
use std::sync::Arc;

use flows::choice::Choice;
use flows::replay::replay;
use machine::{Disks, Machine, Mode};
use state_stores::{Engine, MemoryEngine};

/// A restarted worker finds nothing of the old state: all of it comes from the changelogs.
struct InMemory;

impl Disks for InMemory {
    fn log(&self) -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::new())
    }

    fn state(&self) -> (Arc<dyn Engine>, usize) {
        (Arc::new(MemoryEngine::new()), usize::MAX)
    }
}

#[test]
fn kafka_streams_output_is_matched_by_the_worker() {
    let modes = [Mode::Plain, Mode::Restarts, Mode::FailedCommits];
    let outcome = replay(&modes, &Choice::All, usize::MAX, |case, topology, round, mode| {
        Machine::start(case, topology, round, mode, &InMemory).run(round)
    });
    assert_eq!(outcome, ExitCode::SUCCESS);
}
