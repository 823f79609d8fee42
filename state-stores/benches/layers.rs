//! What one get and put of a hot key costs: through all layers, and on the bare engine.
//!
//! `cargo bench -p state-stores --bench layers [--features rocksdb]`. Keys of 12 bytes, values of 100, 100,000 keys; a
//! commit every 3,000 operations, as the runtime does under load.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use state_stores::{
    Durability, Engine, MemoryEngine, StateDir, StateOptions, StoreIndex, StoreKind, StoreSpec,
    WriteBatch,
};

const KEYS: u64 = 100_000;
const PER_COMMIT: u64 = 3_000;
const VALUE: [u8; 100] = [7; 100];

/// Keys in no order, without a random number generator in the measured path.
fn key(operation: u64) -> [u8; 12] {
    let mut key = [b'k'; 12];
    key[4..].copy_from_slice(&(operation.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS).to_be_bytes());
    key
}

fn layers(criterion: &mut Criterion, name: &str, engine: Arc<dyn Engine>) {
    let dir = StateDir::open(engine, StateOptions::new("bench")).expect("an empty engine opens");
    let spec = StoreSpec {
        name: "hot".into(),
        changelog_topic: "hot-changelog".into(),
        kind: StoreKind::KeyValue,
    };
    let mut state = dir.task_state(0, &[spec]).expect("the store is free");
    let (store, mut operation) = (StoreIndex(0), 0);
    criterion.bench_function(&format!("get+put/{name}/layers"), |bencher| {
        bencher.iter(|| {
            operation += 1;
            let key = key(operation);
            let _savepoint = state.savepoint();
            let length = state
                .get_with(store, &key, |value| value.map_or(0, <[u8]>::len))
                .expect("readable");
            state.put(store, &key, Some(&VALUE));
            if operation.is_multiple_of(PER_COMMIT) {
                state.apply(&[(store, operation.cast_signed())]);
            }
            length
        });
    });
}

fn bare(criterion: &mut Criterion, name: &str, engine: &dyn Engine) {
    let (mut batch, mut operation) = (WriteBatch::new(), 0u64);
    criterion.bench_function(&format!("get+put/{name}/bare"), |bencher| {
        bencher.iter(|| {
            operation += 1;
            let key = key(operation);
            let mut length = 0;
            engine.get_with(&key, &mut |value| length = value.len()).expect("readable");
            batch.put(&key, &VALUE);
            if operation.is_multiple_of(PER_COMMIT) {
                engine.write(&batch, Durability::None).expect("writable");
                batch.clear();
            }
            length
        });
    });
}

fn memory(criterion: &mut Criterion) {
    layers(criterion, "memory", Arc::new(MemoryEngine::new()));
    bare(criterion, "memory", &MemoryEngine::new());
}

#[cfg(feature = "rocksdb")]
fn rocks(criterion: &mut Criterion) {
    use state_stores::{RocksEngine, RocksOptions};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |name: &str| {
        RocksEngine::open(folder.path().join(name), RocksOptions::default())
            .expect("a new database opens")
    };
    layers(criterion, "rocksdb", Arc::new(open("layers")));
    bare(criterion, "rocksdb", &open("bare"));
}

#[cfg(not(feature = "rocksdb"))]
fn rocks(_criterion: &mut Criterion) {}

criterion_group!(benches, memory, rocks);
criterion_main!(benches);
