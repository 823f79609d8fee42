//! Kafka Streams' vectors through the real worker with log and state on RocksDB: one round of each case, the worker
//! restarted between steps on the state it left, of which part is in the base and part only in the changelogs.
//!
//! All cases share two databases, each its own range of keys there: opening a database costs more than a case.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

extern crate runtime as operators_runtime;

#[path = "../../operators/tests/flows/mod.rs"]
#[allow(dead_code, reason = "what lists cases is for the other oracle")]
mod flows;
#[path = "../../operators/runtime/tests/machine/mod.rs"]
#[allow(dead_code, reason = "other modes are for the other oracle")]
mod machine;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flows::choice::Choice;
use flows::replay::replay;
use machine::{Disks, Machine, Mode};
use state_stores::{
    BatchOp, Direction, Durability, Engine, Horizons, RocksEngine, RocksOptions, StoreError, Visit,
    WriteBatch, keys,
};

/// The keys of an engine that begin with four bytes.
#[derive(Debug)]
struct Part {
    whole: Arc<RocksEngine>,
    prefix: [u8; 4],
}

impl Part {
    fn full(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }
}

impl Engine for Part {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        self.whole.get_with(&self.full(key), read)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let to = to.map_or_else(|| keys::after_prefix(&self.prefix), |to| Some(self.full(to)));
        let mut visit = |key: &[u8], value: &[u8]| -> ControlFlow<()> {
            visit(&key[self.prefix.len()..], value)
        };
        self.whole.scan(&self.full(from), to.as_deref(), direction, &mut visit)
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut full = WriteBatch::new();
        for op in batch.iter() {
            match op {
                BatchOp::Put(key, value) => full.put_parts(&[&self.prefix, key], value),
                BatchOp::Delete(key) => full.delete_parts(&[&self.prefix, key]),
                BatchOp::DeleteRange(from, to) => {
                    full.delete_range(&self.full(from), &self.full(to));
                }
            }
        }
        self.whole.write(&full, durability)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.whole.sync()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.whole.flush()
    }

    /// Their keys lie elsewhere.
    fn expire_by(&self, _horizons: &Arc<Horizons>) {}
}

/// A machine's parts of the two databases.
struct Parts {
    log: Arc<Part>,
    state: Arc<Part>,
}

impl Disks for Parts {
    fn log(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.log) as _
    }

    /// A layer that is written back after some dozens of rows.
    fn state(&self) -> (Arc<dyn Engine>, usize) {
        (Arc::clone(&self.state) as _, 16 << 10)
    }
}

#[test]
fn kafka_streams_output_is_matched_on_rocksdb() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, wal| {
        let options = RocksOptions { wal, ..RocksOptions::default() };
        Arc::new(RocksEngine::open(folder.path().join(name), options).unwrap())
    };
    let (log, state) = (open("log", true), open("state", false));
    let machines = AtomicU32::new(0);
    let outcome = replay(&[Mode::Restarts], &Choice::All, 1, |case, topology, round, mode| {
        let prefix = machines.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let part = |whole: &Arc<RocksEngine>| Arc::new(Part { whole: Arc::clone(whole), prefix });
        let parts = Parts { log: part(&log), state: part(&state) };
        Machine::start(case, topology, round, mode, &parts).run(round)
    });
    assert_eq!(outcome, ExitCode::SUCCESS);
}
