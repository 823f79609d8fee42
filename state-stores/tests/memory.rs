//! What layers say they hold is what they hold, and it keeps to its bound whatever the number of tasks.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

#[path = "heap/mod.rs"]
#[expect(
    unsafe_code,
    reason = "a global allocator that counts can't be written without; it only hands on"
)]
mod heap;

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{
    Direction, Durability, Engine, Horizons, LayerBudget, MemoryEngine, StateDir, StateOptions,
    StoreError, StoreIndex, StoreKind, StoreSpec, TaskState, Visit, WriteBatch,
};

const STORE: StoreIndex = StoreIndex(0);
const BYTES: usize = 4 << 20;
/// Of all tasks together, between two looks at the bound.
const COMMIT: u32 = 1_000;

/// Files that nobody reads: all memory is the layers'.
#[derive(Debug)]
struct Files;

impl Engine for Files {
    fn get_with(&self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: Direction,
        _: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn write(&self, _: &WriteBatch, _: Durability) -> Result<(), StoreError> {
        Ok(())
    }

    fn expire_by(&self, _: &Arc<Horizons>) {}

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn spec() -> StoreSpec {
    StoreSpec { name: "s".into(), changelog_topic: "c".into(), kind: StoreKind::KeyValue }
}

fn open(tasks: u32, dir: &StateDir) -> Vec<TaskState> {
    (0..tasks).map(|partition| dir.task_state(partition, &[spec()]).unwrap()).collect()
}

/// Reads and writes so many keys with values of this length; calls `look` after each commit.
fn work(
    dir: &StateDir,
    states: &mut [TaskState],
    (keys, value): (std::ops::Range<u32>, usize),
    mut look: impl FnMut(),
) {
    let (value, tasks) = (vec![7; value], states.len() as u32);
    for key in keys {
        let state = &mut states[(key % tasks) as usize];
        let name = format!("k{key:07}");
        assert_eq!(state.get(STORE, name.as_bytes()).unwrap(), None);
        state.put(STORE, name.as_bytes(), Some(&value));
        if key % COMMIT == COMMIT - 1 {
            states.iter_mut().for_each(|state| state.apply(&[(STORE, i64::from(key))]));
            dir.make_room();
            if dir.write_back_due(0) {
                dir.write_back(0).unwrap();
            }
            look();
        }
    }
}

// One test, so that no other thread of this process allocates meanwhile.
#[test]
fn layers_keep_to_their_bound_whatever_the_number_of_tasks() {
    for (tasks, value) in [(1, 16), (24, 16), (96, 16), (1, 300), (96, 300)] {
        let options = StateOptions { layer_bytes: BYTES, ..StateOptions::new("log") };
        let dir = StateDir::open(Arc::new(Files), options).unwrap();
        let mut states = open(tasks, &dir);
        let before = heap::bytes();
        let (mut held, mut told) = (0, 0);
        work(&dir, &mut states, (0..100_000, value), || {
            held = held.max(heap::bytes() - before);
            told = told.max(dir.layer_bytes());
        });
        // What one commit brings comes on top.
        let commit = COMMIT as usize * (160 + value);
        assert!(told <= BYTES + commit, "{tasks} tasks: {told} bytes counted");
        assert!(told >= BYTES / 2, "{tasks} tasks: {told} bytes counted: that is too careful");
        // Lists grow by doubling; what nobody has touched yet isn't memory, though it is lent out.
        let most = BYTES / 2 * 3 + commit;
        assert!(held <= most, "{tasks} tasks, values of {value}: {held} bytes, at most {most}");
    }
    folders_share_a_bound();
}

/// One folder after the other is busy; the rows of those before it are where they belong.
fn folders_share_a_bound() {
    let layers = LayerBudget::new(BYTES);
    let engines: Vec<_> = (0..5).map(|_| Arc::new(MemoryEngine::new())).collect();
    let open_folder = |engine: &Arc<MemoryEngine>| {
        StateDir::open_within(Arc::clone(engine) as _, StateOptions::new("log"), &layers).unwrap()
    };
    let dirs: Vec<_> = engines.iter().map(open_folder).collect();
    let mut states: Vec<_> = dirs.iter().map(|dir| open(2, dir)).collect();
    let mut most = 0;
    for (dir, states) in dirs.iter().zip(&mut states) {
        work(dir, states, (0..20_000, 16), || {
            dirs.iter().for_each(|dir| dir.make_room());
            most = most.max(layers.used());
        });
    }
    assert!(most <= BYTES + COMMIT as usize * 200, "{most} bytes of {BYTES}");
    for states in &states {
        let mut rows = 0;
        for state in states {
            let mut visit = |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            state.scan(STORE, &[], None, Direction::Forward, &mut visit).unwrap();
        }
        assert_eq!(rows, 20_000);
    }
    drop((states, dirs));
    assert_eq!(layers.used(), 0, "what is closed holds nothing");
}
