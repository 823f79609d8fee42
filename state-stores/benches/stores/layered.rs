//! One key-value store with all its layers, used as a task and its worker use it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use state_stores::{
    Direction, Engine, StateDir, StateOptions, StoreIndex, StoreKind, StoreSpec, TaskState,
};

use crate::{VALUE, key};

/// Operations per transaction.
const PER_COMMIT: u64 = 3_000;
const STORE: StoreIndex = StoreIndex(0);

pub(crate) struct Layered {
    dir: Arc<StateDir>,
    state: TaskState,
    begun: Instant,
    pub(crate) operation: u64,
}

impl Layered {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        let options = StateOptions::new("bench");
        let dir = StateDir::open(engine, options).expect("an empty engine opens");
        let spec = StoreSpec {
            name: "rows".into(),
            changelog_topic: "rows-changelog".into(),
            kind: StoreKind::KeyValue,
        };
        let state = dir.task_state(0, &[spec]).expect("the store is free");
        Self { dir, state, begun: Instant::now(), operation: 0 }
    }

    /// The same with the rows of these numbers in the base, and nothing above it.
    pub(crate) fn with_base(engine: Arc<dyn Engine>, rows: impl Iterator<Item = u64>) -> Self {
        let mut layered = Self::new(engine);
        rows.for_each(|row| layered.put(row));
        layered.state.apply(&[(STORE, 1)]);
        // The first one brings the rows down, the second one takes them out of memory.
        layered.write_back();
        layered.write_back();
        layered
    }

    fn write_back(&self) {
        let now_ms = self.begun.elapsed().as_millis() as i64;
        self.dir.write_back(now_ms).expect("the engine takes the rows");
    }

    /// Puts a row, as the only one of its record.
    pub(crate) fn put(&mut self, row: u64) {
        let _savepoint = self.state.savepoint();
        self.state.put(STORE, &key(row), Some(&VALUE));
        self.operation += 1;
        if self.operation.is_multiple_of(PER_COMMIT) {
            self.commit();
        }
    }

    /// Ends the transaction as a worker does.
    pub(crate) fn commit(&mut self) {
        self.state.apply(&[(STORE, self.operation.cast_signed())]);
        if self.dir.write_back_due(self.begun.elapsed().as_millis() as i64) {
            self.write_back();
        }
    }

    /// The length of a row's value; 0: there is no row.
    pub(crate) fn get(&self, row: u64) -> usize {
        let length = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
        self.state.get_with(STORE, &key(row), length).expect("readable")
    }

    /// Bytes of the values of so many rows from `first` on.
    pub(crate) fn scan(&self, first: u64, rows: u64) -> usize {
        let (from, to) = (key(first), key(first + rows));
        let mut bytes = 0;
        let mut visit = |_: &[u8], value: &[u8]| {
            bytes += value.len();
            ControlFlow::Continue(())
        };
        let scanned = self.state.scan(STORE, &from, Some(&to), Direction::Forward, &mut visit);
        scanned.expect("readable");
        bytes
    }
}
