//! What the stores cost: through all our layers, and on the bare engine below them.
//!
//! `cargo bench -p state-stores --bench stores` compares with the engine in memory; with `--workspace --all-features`
//! in place of `-p state-stores` with the bare crate `rocksdb`, too. Times are CPU time of the whole process,
//! write-backs and RocksDB's own threads included. Keys of 12 bytes, values of 100.

mod layered;
mod meter;
mod points;
mod scans;

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use state_stores::{Engine, MemoryEngine};

use layered::Layered;
use meter::Cost;

const VALUE: [u8; 100] = [7; 100];

/// The key of a number; keys order as numbers do.
fn key(number: u64) -> [u8; 12] {
    let mut key = [b'k'; 12];
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Numbers below `keys` in no order, without a random number generator in the measured path.
fn mixed(operation: u64, keys: u64) -> u64 {
    (operation.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % keys
}

/// Measures what one call costs in CPU time; `make` is called only if this one is chosen.
fn measure<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    make: impl FnOnce() -> T,
    mut call: impl FnMut(&mut T),
) {
    let (mut make, mut subject) = (Some(make), None);
    let (mut total, mut calls) = (Cost::default(), 0);
    group.bench_function(name, |bencher| {
        if let Some(make) = make.take() {
            subject = Some(make());
        }
        let Some(subject) = &mut subject else { return };
        bencher.iter_custom(|count| {
            let cost = Cost::of(|| (0..count).for_each(|_| call(subject)));
            total += cost;
            calls += count;
            cost.cpu
        });
    });
    if calls > 0 {
        println!(
            "    each {:.3} µs CPU, {:.3} µs wall, {:.2} allocations\n",
            total.cpu.as_secs_f64() * 1e6 / calls as f64,
            total.wall.as_secs_f64() * 1e6 / calls as f64,
            total.allocations as f64 / calls as f64,
        );
    }
}

/// An engine of its own in a new folder that goes with it.
#[cfg(feature = "rocksdb")]
fn rocks(folder: &tempfile::TempDir) -> Arc<dyn Engine> {
    use state_stores::{RocksEngine, RocksOptions};
    let engine = RocksEngine::open(folder.path(), RocksOptions::default());
    Arc::new(engine.expect("a new database opens"))
}

fn memory() -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::new())
}

fn stores(criterion: &mut Criterion) {
    points::all(criterion);
    scans::all(criterion);
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = settings(); targets = stores }
criterion_main!(benches);
