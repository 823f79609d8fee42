//! How long it takes to build the projections anew (`orders sink rebuild`), with one thread that decodes and with two.
//!
//! `cargo bench --workspace --all-features --bench projection`: wall time, so on a quiet machine. The log is in memory, the
//! database is SQLite in a file; one iteration reads and applies [`RECORDS`] records of `user_feed`.
#![allow(clippy::unwrap_used, reason = "a bench may fail by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{World, entries, order, user};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use egress::sink::{SinkSettings, rebuild, run_sink};
use schemas::UserId;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const ORDERS: u128 = 2_000;
/// Each order goes through all of its statuses.
const EVENTS: i64 = 7;
const RECORDS: u64 = ORDERS as u64 * EVENTS as u64;

/// From empty projections until the sink has applied all there is.
async fn build_anew(world: &World, decoding_threads: usize) -> Duration {
    rebuild(&world.database).await.unwrap();
    let mut last = world.database.applied().watch_order(order(ORDERS));
    let shutdown = CancellationToken::new();
    let settings = SinkSettings { decoding_threads, ..SinkSettings::default() };
    let (log, database) = (Arc::clone(&world.log), world.database.clone());
    let begun = Instant::now();
    let sink =
        tokio::spawn(run_sink(log, database, world.codecs.clone(), settings, shutdown.clone()));
    let patience = tokio::time::Instant::now() + Duration::from_secs(120);
    last.reached(EVENTS, patience).await.unwrap();
    let took = begun.elapsed();
    shutdown.cancel();
    sink.await.unwrap().unwrap();
    took
}

fn projection(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    // All of one user, so in one partition: what is applied last is known.
    let one: UserId = user(1);
    let world = runtime.block_on(async {
        let world = World::new().await;
        for number in 1..=ORDERS {
            world.feed(&entries(one, order(number), 1, EVENTS)).await;
        }
        world
    });
    let mut group = criterion.benchmark_group("projection");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    for threads in [1, 2] {
        group.bench_function(format!("{threads} decoding"), |bencher| {
            bencher.iter_custom(|count| {
                (0..count).map(|_| runtime.block_on(build_anew(&world, threads))).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, projection);
criterion_main!(benches);
