//! A slow task doesn't stop its neighbours, and what waits for it stays within its bounds (B: bounded buffers, pausing).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings, WorkerStatus};
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::Scene;

const RECORDS: usize = 4_000;
const PARTITIONS: u32 = 4;
const RECORD_BYTES: usize = 500;
const BUFFERED_BYTES: usize = 256 << 10;
const POLLED: usize = 100;

/// Takes a millisecond of the processor for each value that begins with an `s`, and counts them.
fn topology(slow: &Arc<AtomicU64>) -> Topology {
    let builder = StreamsBuilder::new("pressed");
    let slow = Arc::clone(slow);
    let slow = move |value: &str| {
        let begun = Instant::now();
        while value.starts_with('s') && begun.elapsed() < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
        slow.fetch_add(u64::from(value.starts_with('s')), Ordering::Relaxed);
        value.len().to_string()
    };
    builder
        .stream(&Topic::<str, str>::new("in", Utf8, Utf8))
        .map_values(slow)
        .to(&Topic::new("out", Utf8, Utf8));
    builder.build().unwrap()
}

/// Committed records of partition 0, whose task is slow, and of the others together.
fn committed(status: &WorkerStatus) -> (i64, i64) {
    let next = |slow: bool| {
        let of = status.tasks.iter().filter(move |task| task.id.ends_with("_0") == slow);
        of.flat_map(|task| &task.inputs).map(|(_, next)| *next).sum()
    };
    (next(true), next(false))
}

#[test]
fn a_slow_task_stops_neither_its_neighbours_nor_is_it_drowned() {
    let scene = Scene::new(&[("in", PARTITIONS), ("out", PARTITIONS)]);
    for partition in 0..PARTITIONS {
        let first = if partition == 0 { "s" } else { "q" };
        let value = |number| format!("{first}{number:0>RECORD_BYTES$}");
        scene.append(("in", partition), 1_000, (0..RECORDS).map(value));
    }
    let options = StateOptions::new(scene.0.log_id());
    let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
    let settings = WorkerSettings {
        poll_records_max: POLLED,
        buffered_bytes_max: BUFFERED_BYTES,
        turn: Some(Duration::from_millis(4)),
        ..WorkerSettings::new("here")
    };
    let mut worker =
        Worker::new(topology(&Arc::default()), scene.0.log.clone(), state, settings, 1);
    // A task's part, and what one poll brings: keys are their values.
    let most = BUFFERED_BYTES / PARTITIONS as usize + POLLED * (2 * RECORD_BYTES + 200);
    let others = RECORDS as i64 * i64::from(PARTITIONS - 1);
    let (mut slow, mut seen) = (0, 0);
    let mut statuses = Vec::new();
    while statuses.last().map(committed).is_none_or(|(_, quick)| quick < others) {
        scene.0.step_until(&mut worker, |_| true);
        let status = worker.status();
        for task in &status.tasks {
            let bytes = task.buffered_bytes as usize;
            assert!(bytes <= most, "{}: {bytes} bytes wait, at most {most}", task.id);
            seen = seen.max(bytes);
        }
        slow = committed(&status).0;
        statuses = vec![status];
    }
    assert!(slow > 0, "the slow one goes on");
    assert!(slow < RECORDS as i64 / 4, "its neighbours waited for {slow} of its records");
    assert!(seen > BUFFERED_BYTES / PARTITIONS as usize / 2, "something was to wait: {seen}");
}

#[test]
fn quick_records_buy_slow_ones_no_longer_turn() {
    const QUICK: usize = 130;
    const TURN_MS: u64 = 4;
    let scene = Scene::new(&[("in", 1), ("out", 1)]);
    let value = |number| format!("{}{number}", if number < QUICK { 'q' } else { 's' });
    scene.append(("in", 0), 1_000, (0..2 * QUICK).map(value));
    let options = StateOptions::new(scene.0.log_id());
    let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
    let turn = Some(Duration::from_millis(TURN_MS));
    let settings = WorkerSettings { turn, ..WorkerSettings::new("here") };
    let slow = Arc::new(AtomicU64::new(0));
    let mut worker = Worker::new(topology(&slow), scene.0.log.clone(), state, settings, 1);
    let mut before = 0;
    scene.0.step_until(&mut worker, |_| {
        let now = slow.load(Ordering::Relaxed);
        // A millisecond each, or more where the machine has other things to do; then up to seven before the next look.
        assert!(now - before <= TURN_MS + 7, "{} in one turn", now - before);
        before = now;
        now == QUICK as u64
    });
}
