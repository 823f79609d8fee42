//! Stateless chains of borrowed codecs allocate nothing per record once their buffers are warm.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "../../state-stores/benches/stores/counting.rs"]
#[expect(
    unsafe_code,
    reason = "a global allocator that counts can't be written without; it only hands on"
)]
mod counting;

use std::ops::Range;
use std::sync::Arc;

use counting::allocations;
use operators::{Globals, I64Be, InputRecord, StreamsBuilder, Task, TaskId, Topic, Topology, Utf8};
use state_stores::{MemoryEngine, StateDir, StateOptions};

fn task(topology: &Topology) -> (Task, Arc<StateDir>) {
    let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
    let state = dir.task_state(0, &topology.subtopologies()[0].stores).unwrap();
    let id = TaskId { subtopology: 0, partition: 0 };
    (topology.task(id, state, Arc::new(Globals::new(topology))), dir)
}

/// Runs records of these offsets through the task; the sum of value lengths and how often memory was allocated.
fn run(task: &mut Task, offsets: Range<i64>) -> (usize, u64) {
    let before = allocations();
    let mut bytes = 0;
    for offset in offsets {
        let value = offset.to_be_bytes();
        let headers =
            [("traceparent", &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..])];
        let (key, value) = (Some(&b"some key"[..]), Some(&value[..]));
        task.push(0, InputRecord { offset, timestamp: offset, key, value, headers: &headers });
        task.run_once(0).unwrap();
        task.outputs().drain(|record| bytes += record.value.map_or(0, <[u8]>::len));
    }
    (bytes, allocations() - before)
}

// One test, so that no other thread of this process allocates meanwhile.
#[test]
fn a_warm_stateless_chain_allocates_nothing() {
    let builder = StreamsBuilder::new("test");
    let input = builder.stream(&Topic::<str, i64>::new("in", Utf8, I64Be));
    let even = input.filter(|key, n| !key.is_empty() && n % 2 == 0).map_values(|n| n + 1);
    let odd = input.filter_not(|_, n| n % 2 == 0).peek(|record| assert!(record.key.is_some()));
    let merged = even.merge(&odd).flat_map_values::<i64>(|n, emit| {
        emit(n);
        emit(&-n);
    });
    let split = merged.split();
    split.branch("positive", |_, n| *n > 0).to(&Topic::new("positive", Utf8, I64Be));
    split.default_branch("rest").to(&Topic::new("rest", Utf8, I64Be));
    let (mut task, _dir) = task(&builder.build().unwrap());
    run(&mut task, 0..1_000);
    let (bytes, allocations) = run(&mut task, 1_000..101_000);
    assert_eq!(bytes, 100_000 * 2 * 8);
    assert!(allocations < 10, "{allocations} allocations for 100,000 records");

    // The counter counts: a chain that makes a String per record allocates once per record.
    let builder = StreamsBuilder::new("test");
    let input = builder.stream(&Topic::<str, i64>::new("in", Utf8, I64Be));
    input.map_values(|n| format!("{n:08}")).to(&Topic::new("out", Utf8, Utf8));
    let (mut task, _dir) = crate::task(&builder.build().unwrap());
    run(&mut task, 0..1_000);
    let (_, allocations) = run(&mut task, 1_000..2_000);
    assert!((1000..3000).contains(&allocations), "{allocations} allocations for 1,000 records");
}
