//! State follows names: stateless operators around a stateful one are added, taken away and renamed, other topics are
//! read before it, so that every number in the topology changes, and the result is that of a flow that never changed.
//!
//! Each restart is done twice: on the state folder of before, and with nothing but the changelogs.

use std::time::Duration;

use operators::{
    I64Be, Input, JoinWindows, KStream, Materialized, StreamsBuilder, TimeWindows, Topic, Topology,
    Utf8,
};

use crate::machine::{Machine, PARTITIONS};

const TOPICS: [&str; 6] = ["extra", "in", "other", "out", "table", "aside"];

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

/// The part with state: reads the stream, and of the builder what else it needs.
type Kernel = fn(&StreamsBuilder, KStream<str, i64>) -> KStream<str, i64>;

const KERNELS: [(&str, Kernel); 7] = [
    ("count", |_, stream| stream.group_by_key().count(&store("counts")).to_stream()),
    ("windowed count", |_, stream| {
        let windows = TimeWindows::of_size(100).grace(50);
        let counts = stream.group_by_key().windowed_by(windows).count(&store("counts"));
        let named = counts.to_stream();
        named.map::<str, i64>(|key, n| (format!("{}@{}", key.key(), key.window.start), *n))
    }),
    ("count of another key", |_, stream| {
        let groups = stream.group_by::<str>(|_, n| (n % 3).to_string());
        groups.count(&store("counts")).to_stream()
    }),
    ("table join", |builder, stream| {
        let table = builder.table("rows", &numbers("table"));
        stream.join("joined", &table, |n, row| n * 1_000 + row)
    }),
    ("stream join", |builder, stream| {
        let other = builder.stream(&numbers("other"));
        let windows = JoinWindows::of_time_difference(100);
        stream.join_stream("pairs", &other, windows, |a, b| a * 1_000 + b)
    }),
    ("left stream join", |builder, stream| {
        let other = builder.stream(&numbers("other"));
        let windows = JoinWindows::of_time_difference(100).grace(10);
        let joined = |a: &i64, b: Option<&i64>| a * 1_000 + b.unwrap_or(&0);
        stream.left_join_stream("pairs", &other, windows, joined)
    }),
    ("state machine", |_, stream| {
        stream.state_machine::<i64, i64>("sums", I64Be, |_, sum, input, ctx| match input {
            Input::Message(n) => {
                let sum = sum.unwrap_or(&0) + n;
                ctx.set(sum);
                ctx.deadline(Some(ctx.now() + 1_000));
                ctx.emit(sum).at(0);
            }
            Input::Timer(_) => {
                ctx.emit(-sum.unwrap_or(&0)).at(0);
                ctx.delete();
            }
        })
    }),
];

/// What stands around the kernel.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    /// Operators before and after, and another sub-topology in front.
    Operators,
    /// As before, under other names.
    Renamed,
    /// Another source in front.
    Source,
}

fn topology(kernel: Kernel, around: Around) -> Topology {
    let builder = StreamsBuilder::new("app");
    if !matches!(around, Around::Nothing) {
        builder.stream(&numbers("aside")).filter(|_, n| *n > 0).to(&numbers("aside-positive"));
    }
    let named = |name: &str| {
        let split = builder.stream(&numbers("in")).peek(|_| {}).split();
        let all = split.branch(name, |_, _| true);
        all.map_values(|n| n + 1).map_values(|n| n - 1).with_value_serde(I64Be)
    };
    let input = match around {
        Around::Nothing => builder.stream(&numbers("in")),
        Around::Operators => named("all"),
        Around::Renamed => named("everything").filter_not(|_, _| false),
        Around::Source => builder.stream(&numbers("extra")).merge(&builder.stream(&numbers("in"))),
    };
    let result = kernel(&builder, input).with_key_serde(Utf8).with_value_serde(I64Be);
    match around {
        Around::Operators | Around::Renamed => result.filter(|_, _| true).to(&numbers("out")),
        Around::Nothing | Around::Source => result.to(&numbers("out")),
    }
    builder.build().unwrap()
}

/// Runs the first half of the input, restarts with `then`, runs the second half: what is in `out`.
fn run(kernel: Kernel, first: Around, then: Around, keeps_files: bool) -> Vec<(String, i64, i64)> {
    let mut machine = Machine::new(&[&TOPICS[..], &["aside-positive"]].concat());
    machine.start(&topology(kernel, first)).unwrap();
    let keys = ["anna", "bert", "carl"];
    let feed = |machine: &mut Machine, range: std::ops::Range<i64>| {
        for n in range {
            let key = keys[n as usize % keys.len()];
            machine.append("table", key, 7 * n, 10 * n);
            machine.append("other", key, n + 500, 10 * n + 5);
            machine.settle().unwrap();
            machine.append("in", key, n, 10 * n);
            machine.settle().unwrap();
        }
    };
    feed(&mut machine, 0..12);
    machine.stop();
    if !keeps_files {
        machine.new_disk();
    }
    machine.start(&topology(kernel, then)).unwrap();
    feed(&mut machine, 12..24);
    machine.pass(Duration::from_secs(2).as_millis() as i64);
    let rows = machine.read("out", PARTITIONS).into_iter().map(|(key, value, timestamp)| {
        let number = i64::from_be_bytes(value.try_into().unwrap());
        (String::from_utf8(key).unwrap(), number, timestamp)
    });
    rows.collect()
}

fn check(first: Around, then: Around) {
    for (name, kernel) in KERNELS {
        let expected = run(kernel, first, first, true);
        assert!(expected.len() >= 10, "{name}: {expected:?}");
        for keeps_files in [true, false] {
            let result = run(kernel, first, then, keeps_files);
            assert_eq!(result, expected, "{name}, {first:?} → {then:?}, files kept: {keeps_files}");
        }
    }
}

#[test]
fn operators_are_added() {
    check(Around::Nothing, Around::Operators);
}

#[test]
fn operators_are_taken_away() {
    check(Around::Operators, Around::Nothing);
}

#[test]
fn operators_are_renamed() {
    check(Around::Operators, Around::Renamed);
}

#[test]
fn another_topic_is_read_first() {
    check(Around::Nothing, Around::Source);
}

/// A row of a join is told apart by where it was read. That is a topic, not the number of a source: else the first
/// record of a topic that is read from now on would replace the first one of another.
#[test]
fn a_row_of_one_topic_does_not_replace_that_of_another() {
    let kernel: Kernel = |builder, stream| {
        let windows = JoinWindows::of_time_difference(100);
        stream.join_stream("pairs", &builder.stream(&numbers("other")), windows, |a, b| a + b)
    };
    let mut machine = Machine::new(&[&TOPICS[..], &["aside-positive"]].concat());
    machine.start(&topology(kernel, Around::Nothing)).unwrap();
    machine.append("in", "anna", 1, 10);
    machine.settle().unwrap();
    machine.stop();
    machine.start(&topology(kernel, Around::Source)).unwrap();
    machine.append("extra", "anna", 2, 10);
    machine.settle().unwrap();
    machine.append("other", "anna", 100, 10);
    machine.settle().unwrap();
    let mut sums: Vec<i64> = machine
        .read("out", PARTITIONS)
        .into_iter()
        .map(|(_, value, _)| i64::from_be_bytes(value.try_into().unwrap()))
        .collect();
    sums.sort_unstable();
    assert_eq!(sums, [101, 102]);
}
