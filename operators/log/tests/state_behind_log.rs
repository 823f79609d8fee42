//! State never runs ahead of the log it was made from, whatever a loss of power
//! takes: a base that holds a transaction the log lost would count it twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::Simulated;
use operators_log::embedded::{Fault, FaultPlan, Operation};
use operators_log::{Cleanup, Isolation, Log, LogError, TopicPartition};
use state_stores::{
    Crash, MemoryEngine, StateDir, StateOptions, StoreError, StoreIndex, StoreKind, StoreSpec,
    TaskState,
};

const STORE: StoreIndex = StoreIndex(0);

#[derive(Debug)]
struct LogFailed(LogError);

impl From<StoreError> for LogFailed {
    fn from(error: StoreError) -> Self {
        panic!("the state's disk works: {error}")
    }
}

/// A log and a state folder on disks of their own, which lose power together.
struct Machine {
    sim: Simulated,
    disk: Arc<MemoryEngine>,
    dir: Arc<StateDir>,
    state: TaskState,
}

impl Machine {
    /// The log fails as it is told in its first sync.
    fn new(fault: Option<Fault>) -> Self {
        let sim = Simulated::new(|options| {
            options.faults = fault.map(|fault| Arc::new(FaultPlan::at(Operation::Sync, 1, fault)));
        });
        sim.topic("changelog", 1, Cleanup::Compact);
        let disk = Arc::new(MemoryEngine::with_crashes());
        let (dir, state) = open(&disk);
        Self { sim, disk, dir, state }
    }

    /// One commit of the log, then of the state, as a worker does it.
    fn count_to(&mut self, number: &str) {
        self.sim.commit("changelog", &[(0, "count", Some(number))]);
        let end = self.end();
        self.state.put(STORE, b"count", Some(number.as_bytes()));
        self.state.apply(&[(STORE, end)]);
    }

    fn write_back(&self) -> Result<(), LogFailed> {
        self.dir.write_back_after(0, || self.sim.log.sync().map_err(LogFailed))
    }

    fn lose_power(self) -> Self {
        let Self { mut sim, disk, dir, state } = self;
        drop((state, dir));
        sim.options.faults = None;
        sim.crash(Crash::Machine);
        disk.crash(Crash::Machine);
        let (dir, state) = open(&disk);
        Self { sim, disk, dir, state }
    }

    fn end(&self) -> i64 {
        let at = [TopicPartition::new("changelog", 0)];
        self.sim.log.admin().unwrap().end_offsets(&at, Isolation::ReadCommitted).unwrap()[0]
    }

    fn count(&self) -> Option<Vec<u8>> {
        self.state.get(STORE, b"count").unwrap()
    }
}

fn open(disk: &Arc<MemoryEngine>) -> (Arc<StateDir>, TaskState) {
    let dir = StateDir::open(Arc::clone(disk) as _, StateOptions::new("log")).unwrap();
    let spec = StoreSpec {
        name: "counts".into(),
        changelog_topic: "changelog".into(),
        kind: StoreKind::KeyValue,
    };
    let state = dir.task_state(0, &[spec]).unwrap();
    (dir, state)
}

#[test]
fn the_base_holds_nothing_that_the_log_lost() {
    for fault in [Fault::CrashBefore, Fault::Retriable] {
        let mut machine = Machine::new(Some(fault));
        machine.count_to("1");
        let failed = machine.write_back().expect_err("the log was not synced");
        assert!(matches!(failed.0, LogError::Fatal(_) | LogError::Retriable(_)), "{failed:?}");
        let machine = machine.lose_power();
        assert_eq!(machine.end(), 0, "{fault:?}: the log lost the transaction");
        assert_eq!(machine.state.changelog_position(STORE), None, "{fault:?}");
        assert_eq!(machine.count(), None, "{fault:?}");
    }
}

#[test]
fn what_was_written_back_is_in_the_log() {
    let mut machine = Machine::new(None);
    machine.count_to("1");
    machine.write_back().unwrap();
    machine.count_to("2");
    let machine = machine.lose_power();
    let position = machine.state.changelog_position(STORE);
    assert_eq!(position, Some(machine.end()), "both have the first and neither the second");
    assert_eq!(machine.count().as_deref(), Some(&b"1"[..]));
}
