//! What is refused, and what it says: every message in full. Each names the node or topic, and the remedy.
//! (What is said of a changed topology: `manifest.rs`.)

#![allow(clippy::unwrap_used, reason = "a test fails where something fails")]

mod names;
mod own_topics;

use operators::{
    BufferConfig, Consumed, I64Be, JoinWindows, Joined, KStream, Materialized, StreamsBuilder,
    Suppressed, TimeWindows, Topic, Utf8,
};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

/// What `build` says about a flow on the stream of topic `in`.
fn said(flow: impl FnOnce(&StreamsBuilder, &KStream<str, i64>)) -> String {
    let builder = StreamsBuilder::new("app");
    flow(&builder, &builder.stream(&numbers("in")));
    builder.build().expect_err("this can't be built").to_string()
}

/// What the start says when topic `many` has six partitions and all others have three.
fn said_at_start(flow: impl FnOnce(&StreamsBuilder, &KStream<str, i64>)) -> String {
    let builder = StreamsBuilder::new("app");
    flow(&builder, &builder.stream(&numbers("in")));
    let topology = builder.build().unwrap();
    let of = |topic: &str| Some(if topic == "many" { 6 } else { 3 });
    topology.check_partitions(&of).expect_err("the counts differ").to_string()
}

fn check(cases: &[(&str, String)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(expected, said)| expected != said)
        .map(|(expected, said)| format!("expected: {expected}\nsaid:     {said}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn topics_that_meet_have_one_partition_count() {
    let counts = |node: &str, first: (&str, u32), second: (&str, u32)| {
        format!(
            "topics `{}` ({} partitions) and `{}` ({} partitions) meet at `{node}` and must have one partition count; \
             recreate one of them, or put `.repartition(…)` behind one",
            first.0, first.1, second.0, second.1
        )
    };
    let many = numbers("many");
    check(&[
        (
            &counts("merge-3", ("in", 3), ("many", 6)),
            said_at_start(|b, s| drop(s.filter(|_, _| true).merge(&b.stream(&many)))),
        ),
        (
            &counts("priced", ("in", 3), ("many", 6)),
            said_at_start(|b, s| drop(s.join("priced", &b.table("prices", &many), |a, b| a + b))),
        ),
        (
            &counts("pair-other", ("in", 3), ("many", 6)),
            said_at_start(|b, s| {
                let windows = JoinWindows::of_time_difference(10);
                drop(s.join_stream("pair", &b.stream(&many), windows, |a, b| a + b));
            }),
        ),
    ]);
}

#[test]
fn circles_and_types() {
    let circle = said(|b, s| s.merge(&b.stream(&numbers("retry"))).to(&numbers("retry")));
    let two_types = said(|b, _| drop(b.stream(&Topic::<str, str>::new("in", Utf8, Utf8))));
    let two_globals = said(|b, _| {
        b.global_table("first", &numbers("shared"));
        b.global_table("second", &numbers("shared"));
    });
    let read_again = said(|b, _| {
        b.stream_with(&numbers("in"), Consumed::default());
    });
    let other = StreamsBuilder::new("other");
    let foreign = other.stream(&numbers("in"));
    check(&[
        (
            "the flow is a circle: `sink-retry-3` writes what it came from (topics retry); if that is meant, declare \
             one of them with `StreamsBuilder::feedback`",
            circle,
        ),
        (
            "topic `in` is read with two different key or value types; read it once and map the stream",
            two_types,
        ),
        (
            "topic `in` is read already; say how it is read (`stream_with`) where it is read first, and once",
            read_again,
        ),
        (
            "topic `shared` is read by the global tables `first` and `second`; make one and use it twice",
            two_globals,
        ),
        (
            "operator `merge` combines streams of two builders; make both from one StreamsBuilder",
            said(|_, s| drop(s.merge(&foreign))),
        ),
        (
            "the topology reads no topic; begin with StreamsBuilder::stream or table",
            StreamsBuilder::new("app").build().unwrap_err().to_string(),
        ),
    ]);
}

#[test]
fn codecs_and_rows() {
    let lost_codec = said(|_, s| {
        let text = s.map_values(|n| n.to_string());
        text.group_by::<str>(|_, n| n.clone()).count(&store("c"));
    });
    let unreadable = said(|b, _| {
        let table = b.table("t", &numbers("t"));
        let changes_with_it = table.filter(|_, n| *n > 0);
        let joined = table.join("pairs", &changes_with_it, |a, b| a + b);
        let joined = joined.group_by::<str, i64>(|key, n| (key.to_owned(), *n));
        joined.reduce(&store("j"), |a, b| a + b, |a, b| a - b);
    });
    let without_history = said(|b, s| {
        let waits = Joined::as_("j").with_grace_period(10);
        s.join(waits, &b.versioned_table("t", &numbers("t"), 9), |a, b| a + b);
    });
    let windows = |b: &StreamsBuilder| {
        let grouped = b.stream(&numbers("in")).group_by_key();
        grouped.windowed_by(TimeWindows::of_size(10)).count(&store("counts")).key_serde().unwrap()
    };
    let never_closed = said(|b, _| {
        let read = b.table("read", &Topic::new("windows", windows(b), I64Be));
        read.suppress("final", Suppressed::until_window_closes(BufferConfig::unbounded()));
    });
    check(&[
        (
            "operator `c` has no codec for the values of its input; attach one with `with_value_serde` before it",
            lost_codec,
        ),
        (
            "operator `j` needs the rows of a table that can't be read by key, or what they were before, which isn't \
             known; put `.materialize(…)` behind that table",
            unreadable,
        ),
        (
            "join `j` has a grace of 10 ms, but its table keeps 9 ms of history; make it with `versioned_table` and a \
             history retention of at least the grace",
            without_history,
        ),
        (
            "operator `final` waits for windows to close, but no windowed aggregation above it says when they do; \
             suppress the table that `windowed_by(…)` and its aggregation gave",
            never_closed,
        ),
    ]);
}
