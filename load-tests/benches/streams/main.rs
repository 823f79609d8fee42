//! What the stream library can do: records per CPU second, and allocations, of typical flows.
//!
//! `cargo bench -p load-tests --bench streams -- count` measures the flows whose name has `count`, on stores in memory.
//! With `--workspace --all-features` in place of `-p load-tests` on RocksDB, too: for fewer packages it would be compiled
//! anew.
//!
//! One iteration is a transaction of 1,000 records; criterion's times are CPU time of the whole process. The line
//! after each flow has wall time too, and how often memory was allocated, over all iterations.

mod flows;
// One meter for the benches of both crates; a crate for it would be more than it is.
#[path = "../../../state-stores/benches/stores/meter.rs"]
mod meter;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use state_stores::{Engine, MemoryEngine};

use flows::{FLOWS, Flow};
use meter::Cost;
use worker::{RECORDS, Worker};

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    stores: &str,
    flow: &Flow,
    engine: impl Fn() -> Arc<dyn Engine>,
) {
    // Criterion calls this once per sample, and not at all for a flow that is filtered out.
    let mut warm = None;
    let (mut total, mut transactions, mut sent) = (Cost::default(), 0, 0);
    group.bench_function(stores, |bencher| {
        let worker = warm.get_or_insert_with(|| warmed_up(flow, engine()));
        bencher.iter_custom(|count| {
            let before = worker.sent;
            let cost = Cost::of(|| (0..count).for_each(|_| worker.transaction()));
            total += cost;
            transactions += count;
            sent += worker.sent - before;
            cost.cpu
        });
    });
    let records = (transactions * RECORDS as u64) as f64;
    if records > 0.0 {
        println!(
            "    {:.0} records/s, {:.0} per CPU second; per record {:.2} allocations, {:.2} outputs\n",
            records / total.wall.as_secs_f64(),
            records / total.cpu.as_secs_f64(),
            total.allocations as f64 / records,
            sent as f64 / records,
        );
    }
}

/// A worker whose state is complete, and in the engine; what it uses comes into the layers again.
fn warmed_up(flow: &Flow, engine: Arc<dyn Engine>) -> Worker {
    let topology = (flow.topology)().expect("the flow is complete");
    let mut worker = Worker::new(&topology, engine, (flow.inputs, flow.fill));
    for _ in 0..flow.warm_up / RECORDS as i64 {
        worker.transaction();
    }
    worker.settle();
    worker
}

fn flows(criterion: &mut Criterion) {
    for flow in FLOWS {
        let mut group = criterion.benchmark_group(flow.name);
        group.throughput(Throughput::Elements(RECORDS as u64));
        measure(&mut group, "memory", flow, || Arc::new(MemoryEngine::new()));
        #[cfg(feature = "rocksdb")]
        {
            let folder = tempfile::tempdir().expect("a temporary folder");
            measure(&mut group, "rocksdb", flow, || rocks(folder.path()));
        }
        group.finish();
    }
}

#[cfg(feature = "rocksdb")]
fn rocks(folder: &std::path::Path) -> Arc<dyn Engine> {
    use state_stores::{RocksEngine, RocksOptions};
    Arc::new(RocksEngine::open(folder, RocksOptions::default()).expect("a new database opens"))
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = settings(); targets = flows }
criterion_main!(benches);
