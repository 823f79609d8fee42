//! What a record costs in a task, per operator: `cargo run --release -p operators --example cost`.
//!
//! Time is that of one thread, from `Task::push` to drained outputs, commits every 1,000 records
//! included, on the memory engine.

use std::sync::Arc;
use std::time::Instant;

use operators::{
    Globals, I64Be, Input, InputRecord, KStream, Materialized, StreamsBuilder, TaskId, Topic,
    TopologyError, Utf8,
};
use state_stores::{MemoryEngine, StateDir, StateOptions, StoreError};

const RECORDS: i64 = 1_000_000;
const KEYS: i64 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = || Materialized::<str, i64>::as_("count", Utf8, I64Be);
    measure("source and sink only", |stream| stream)?;
    measure("+ 1 filter", |stream| stream.filter(|_, n| *n >= 0))?;
    measure("+ 8 filters", |stream| {
        (0..8).fold(stream, |stream, _| stream.filter(|_, n| *n >= 0))
    })?;
    measure("+ merge of two branches", |stream| {
        stream.filter(|_, n| n % 2 == 0).merge(&stream.filter(|_, n| n % 2 != 0))
    })?;
    measure("count by key", |stream| stream.group_by_key().count(&store()).to_stream())?;
    measure("state machine, no deadline", |stream| {
        stream.state_machine::<i64, i64>("sum", I64Be, |_, sum, input, ctx| {
            if let Input::Message(n) = input {
                ctx.set(sum.unwrap_or(&0) + n);
                ctx.emit(*n);
            }
        })
    })?;
    measure("state machine, deadline moved each time", |stream| {
        stream.state_machine::<i64, i64>("sum", I64Be, |_, sum, input, ctx| {
            if let Input::Message(n) = input {
                ctx.set(sum.unwrap_or(&0) + n);
                ctx.deadline(Some(1_000_000 + ctx.timestamp()));
                ctx.emit(*n);
            }
        })
    })?;
    Ok(())
}

fn measure(
    name: &str,
    flow: impl FnOnce(KStream<str, i64>) -> KStream<str, i64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let topic = |name: &str| Topic::<str, i64>::new(name, Utf8, I64Be);
    let builder = StreamsBuilder::new("cost");
    flow(builder.stream(&topic("in"))).to(&topic("out"));
    let topology = builder.build().map_err(|error: TopologyError| error.to_string())?;
    let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log"))?;
    let state = dir
        .task_state(0, &topology.subtopologies()[0].stores)
        .map_err(|error: StoreError| error.to_string())?;
    let id = TaskId { subtopology: 0, partition: 0 };
    let mut task = topology.task(id, state, Arc::new(Globals::new(&topology)));
    let keys: Vec<String> = (0..KEYS).map(|key| format!("customer-{key:06}")).collect();
    let mut sent = 0;
    let begun = Instant::now();
    for offset in 0..RECORDS {
        let (key, value) = (&keys[(offset * 7919 % KEYS) as usize], offset.to_be_bytes());
        let (key, value) = (Some(key.as_bytes()), Some(&value[..]));
        task.push(0, InputRecord { offset, timestamp: offset, key, value, headers: &[] });
        task.run_once(0)?;
        task.outputs().drain(|_| sent += 1);
        if offset % 1000 == 999 {
            task.committed(&[]);
        }
    }
    let nanoseconds = begun.elapsed().as_nanos() as f64 / RECORDS as f64;
    println!("{name:<42} {nanoseconds:7.0} ns per record  ({sent} sent)");
    Ok(())
}
