//! What several parts of one operator keep follows their names, not their places: streams of a cogroup and schedules of
//! a processor are written in another order, and each finds its own again.

use operators::{
    BoxError, Headers, I64Be, Materialized, Processor, ProcessorContext, Punctuation,
    PunctuationType, Record, StoreDef, StreamsBuilder, TimeWindows, Topic, Topology, Utf8,
};

use crate::machine::{Machine, PARTITIONS};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn values(machine: &Machine) -> Vec<i64> {
    let records = machine.read("out", PARTITIONS).into_iter();
    records.map(|(_, value, _)| i64::from_be_bytes(value.try_into().unwrap())).collect()
}

/// Sums of windows of 10 ms, which close at once: start × 1,000 + sum.
fn cogroup(streams: [&str; 2]) -> Topology {
    let builder = StreamsBuilder::new("app");
    let [first, second] = streams.map(|name| {
        let sign = if name == "plus" { 1 } else { -1 };
        (builder.stream(&numbers(name)).group_by_key(), move |_: &str, n: &i64, sum: &i64| {
            sum + sign * n
        })
    });
    let both = first.0.cogroup(streams[0], first.1).cogroup(streams[1], &second.0, second.1);
    let store = Materialized::as_("sums", Utf8, I64Be).retention_ms(1_000);
    let sums = both.windowed_by(TimeWindows::of_size(10)).aggregate(&store, || 0);
    let shown = sums
        .to_stream()
        .map::<str, i64>(|key, sum| (key.key().to_owned(), key.window.start * 1_000 + sum));
    shown.with_key_serde(Utf8).with_value_serde(I64Be).to(&numbers("out"));
    builder.build().unwrap()
}

#[test]
fn streams_of_a_cogroup_change_places_and_keep_their_time() {
    let mut machine = Machine::new(&["plus", "minus", "out"]);
    machine.start(&cogroup(["plus", "minus"])).unwrap();
    machine.append("plus", "k", 1, 100);
    machine.append("minus", "k", 2, 5);
    machine.settle().unwrap();
    machine.stop();
    machine.start(&cogroup(["minus", "plus"])).unwrap();
    machine.append("plus", "k", 4, 5);
    machine.append("minus", "k", 8, 6);
    machine.settle().unwrap();
    let mut seen = values(&machine);
    seen.sort_unstable();
    assert_eq!(seen, [-10, -2, 100_001], "late for `plus`, and for `minus` not");
}

/// Says which of its schedules called it.
struct Called;

impl Processor<str, i64, str, i64> for Called {
    fn process(
        &mut self,
        _: Record<'_, str, i64>,
        _: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: i64,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), BoxError> {
        let (key, value) = (Some("k"), Some(&punctuation.interval_ms));
        ctx.forward(Record { key, value, timestamp, headers: &Headers::new() });
        Ok(())
    }
}

fn schedules(kind: PunctuationType, intervals: &[i64]) -> Topology {
    let builder = StreamsBuilder::new("app");
    let stores: Vec<StoreDef> =
        intervals.iter().map(|interval| StoreDef::punctuate(kind, *interval)).collect();
    let called = builder.stream(&numbers("in")).process("p", &stores, |_| Box::new(Called));
    called.to(&numbers("out"));
    builder.build().unwrap()
}

#[test]
fn schedules_by_stream_time_change_places_and_keep_their_next_calls() {
    let kind = PunctuationType::StreamTime;
    let mut machine = Machine::new(&["in", "out"]);
    machine.start(&schedules(kind, &[10, 1_000])).unwrap();
    machine.append("in", "k", 0, 5);
    machine.settle().unwrap();
    assert_eq!(values(&machine), [10, 1_000], "the first record");
    machine.stop();
    machine.start(&schedules(kind, &[1_000, 10, 10])).unwrap();
    machine.append("in", "k", 0, 12);
    machine.settle().unwrap();
    assert_eq!(values(&machine)[2..], [10]);
    machine.stop();
    machine.start(&schedules(kind, &[7, 1_000])).unwrap();
    machine.append("in", "k", 0, 13);
    machine.settle().unwrap();
    assert_eq!(values(&machine)[3..], [7], "a new one begins with the next record");
}

#[test]
fn schedules_by_the_wall_clock_change_places_and_keep_their_next_calls() {
    let kind = PunctuationType::WallClockTime;
    let mut machine = Machine::new(&["in", "out"]);
    machine.start(&schedules(kind, &[100, 1_000])).unwrap();
    machine.pass(50);
    machine.stop();
    machine.start(&schedules(kind, &[1_000, 100])).unwrap();
    machine.pass(50);
    let one_each = |interval| vec![interval; PARTITIONS as usize];
    assert_eq!(values(&machine), one_each(100));
    machine.stop();
    machine.start(&schedules(kind, &[1_000])).unwrap();
    machine.pass(900);
    assert_eq!(
        values(&machine)[PARTITIONS as usize..],
        one_each(1_000),
        "on the grid of the first start"
    );
}
