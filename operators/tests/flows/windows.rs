//! Aggregations over tumbling, hopping and session windows.

use operators::{I64Be, KTable, StreamsBuilder, Windowed};
use operators::{
    SessionWindowedKStream, SessionWindows, TimeWindowedKStream, TimeWindows, Topic, Topology, Utf8,
};

use super::{Case, KeyKind, ValueKind, builder, longs, shown, store, text_store};

pub(super) fn cases() -> Vec<Case> {
    let case = |name, flow, key, value| Case { name, flow, outputs: vec![("out", key, value)] };
    let (window, session) = (KeyKind::Window(100), KeyKind::Session);
    vec![
        case("tumbling_count", || count(tumbling()), window, ValueKind::Long),
        case("hopping_count", || count(tumbling().advance_by(30)), window, ValueKind::Long),
        case("tumbling_aggregate", || aggregate(tumbling()), window, ValueKind::Text),
        case("hopping_aggregate", || aggregate(tumbling().advance_by(30)), window, ValueKind::Text),
        case("tumbling_reduce", reduce, window, ValueKind::Long),
        case("session_count", session_count, session, ValueKind::Long),
        case("session_aggregate", session_aggregate, session, ValueKind::Text),
    ]
}

fn tumbling() -> TimeWindows {
    TimeWindows::of_size(100).grace(50)
}

fn windowed(builder: &StreamsBuilder, windows: TimeWindows) -> TimeWindowedKStream<str, i64> {
    builder.stream(&longs("in")).group_by_key().windowed_by(windows)
}

fn sessions(builder: &StreamsBuilder) -> SessionWindowedKStream<str, i64> {
    builder
        .stream(&longs("in"))
        .group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(50).grace(30))
}

/// Writes results with the keys they have.
fn long_out(builder: StreamsBuilder, table: &KTable<Windowed<str>, i64>) -> Topology {
    table.to_stream().to(&Topic::new("out", table.key_serde().unwrap(), I64Be));
    builder.build().unwrap()
}

fn text_out(builder: StreamsBuilder, table: &KTable<Windowed<str>, String>) -> Topology {
    table.to_stream().to(&Topic::new("out", table.key_serde().unwrap(), Utf8));
    builder.build().unwrap()
}

fn count(windows: TimeWindows) -> Topology {
    let builder = builder();
    let counts = windowed(&builder, windows).count(&store("w"));
    long_out(builder, &counts)
}

fn aggregate(windows: TimeWindows) -> Topology {
    let builder = builder();
    let lists = windowed(&builder, windows).aggregate_records(
        &text_store("w"),
        |_, v, agg: Option<&String>| {
            Some(format!("{},{}", agg.map_or("", String::as_str), shown(v)))
        },
    );
    text_out(builder, &lists)
}

fn reduce() -> Topology {
    let builder = builder();
    let reduced =
        windowed(&builder, tumbling()).aggregate_records(&store("w"), |_, v, agg| match agg {
            Some(agg) => v.map(|v| agg.wrapping_mul(3).wrapping_add(*v)),
            None => v.copied(),
        });
    long_out(builder, &reduced)
}

fn session_count() -> Topology {
    let builder = builder();
    let counts = sessions(&builder).count(&store("s"));
    long_out(builder, &counts)
}

fn session_aggregate() -> Topology {
    let builder = builder();
    let lists = sessions(&builder).aggregate_records(
        &text_store("s"),
        String::new,
        |_, v, agg| Some(format!("{},{}", agg.map_or("", String::as_str), shown(v))),
        |_, a, b| format!("({a})({b})"),
    );
    text_out(builder, &lists)
}
