//! Aggregations over tumbling, hopping and session windows.

use operators::{
    Closes, EmitStrategy, I64Be, KTable, Materialized, SessionWindowedKStream, SessionWindows,
    SlidingWindows, StreamsBuilder, TimeWindowedKStream, TimeWindows, Topic, Topology, Utf8,
    Windowed, Windows,
};

use super::{Case, KeyKind, ValueKind, builder, longs, shown, store, text_store, texts};

const HOUR_MS: i64 = 3_600_000;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, flow, key, value| Case { name, flow, outputs: vec![("out", key, value)] };
    let (window, session) = (KeyKind::Window(100), KeyKind::Session);
    vec![
        case("tumbling_count", || count(tumbling()), window, ValueKind::Long),
        case("hopping_count", || count(hopping()), window, ValueKind::Long),
        case("sliding_count", || count(sliding()), window, ValueKind::Long),
        case("tumbling_aggregate", || aggregate(tumbling()), window, ValueKind::Text),
        case("hopping_aggregate", || aggregate(hopping()), window, ValueKind::Text),
        case("sliding_aggregate", || aggregate(sliding()), window, ValueKind::Text),
        case("tumbling_reduce", reduce, window, ValueKind::Long),
        case("cogroup_tumbling", cogroup, window, ValueKind::Text),
        case("session_count", session_count, session, ValueKind::Long),
        case("session_aggregate", session_aggregate, session, ValueKind::Text),
        case("tumbling_emit_final", || on_close(tumbling(), None), window, ValueKind::Long),
        case("hopping_emit_final", || on_close(hopping(), None), window, ValueKind::Long),
        case("sliding_emit_final", || on_close(sliding(), None), window, ValueKind::Long),
        case("session_emit_final", session_on_close, session, ValueKind::Long),
        case(
            "tumbling_emit_final_retained",
            || on_close(tumbling(), Some(HOUR_MS)),
            window,
            ValueKind::Long,
        ),
        case(
            "hopping_emit_final_retained",
            || on_close(hopping(), Some(HOUR_MS)),
            window,
            ValueKind::Long,
        ),
        case(
            "sliding_emit_final_retained",
            || on_close(sliding(), Some(HOUR_MS)),
            window,
            ValueKind::Long,
        ),
        case("session_emit_final_retained", session_on_close, session, ValueKind::Long),
    ]
}

pub(super) fn tumbling() -> TimeWindows {
    TimeWindows::of_size(100).grace(50)
}

pub(super) fn hopping() -> TimeWindows {
    tumbling().advance_by(30)
}

fn sliding() -> SlidingWindows {
    SlidingWindows::of_time_difference(100).grace(50)
}

pub(super) fn windowed<W: Into<Windows>>(
    builder: &StreamsBuilder,
    windows: W,
) -> TimeWindowedKStream<str, i64, W> {
    builder.stream(&longs("in")).group_by_key().windowed_by(windows)
}

pub(super) fn sessions(builder: &StreamsBuilder) -> SessionWindowedKStream<str, i64> {
    builder
        .stream(&longs("in"))
        .group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(50).grace(30))
}

/// Writes results with the keys they have.
pub(super) fn long_out(builder: StreamsBuilder, table: &KTable<Windowed<str>, i64>) -> Topology {
    table.to_stream().to(&Topic::new("out", table.key_serde().unwrap(), I64Be));
    builder.build().unwrap()
}

fn text_out(builder: StreamsBuilder, table: &KTable<Windowed<str>, String>) -> Topology {
    table.to_stream().to(&Topic::new("out", table.key_serde().unwrap(), Utf8));
    builder.build().unwrap()
}

fn count<W: Into<Windows> + Copy>(windows: W) -> Topology {
    let builder = builder();
    let counts = windowed(&builder, windows).count(&store("w"));
    long_out(builder, &counts)
}

fn aggregate<W: Into<Windows> + Copy>(windows: W) -> Topology {
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

fn on_close<W: Closes + Copy>(windows: W, retention_ms: Option<i64>) -> Topology {
    let builder = builder();
    let windowed = windowed(&builder, windows).emit_strategy(EmitStrategy::OnWindowClose);
    let counts = windowed.count(&kept(retention_ms));
    long_out(builder, &counts)
}

fn session_on_close() -> Topology {
    let builder = builder();
    let sessions = sessions(&builder).emit_strategy(EmitStrategy::OnWindowClose);
    let counts = sessions.count(&kept(Some(HOUR_MS)));
    long_out(builder, &counts)
}

fn kept(retention_ms: Option<i64>) -> Materialized<str, i64> {
    retention_ms.map_or_else(|| store("w"), |ms| store("w").retention_ms(ms))
}

fn cogroup() -> Topology {
    let builder = builder();
    let a = builder.stream(&longs("a")).group_by_key();
    let b = builder.stream(&texts("b")).group_by_key();
    let both = a.cogroup_records("a", |_, v, agg: &String| format!("{agg}a{}", shown(v)));
    let both = both.cogroup_records("b", &b, |_, v, agg| format!("{agg}b{}", shown(v)));
    let lists = both.windowed_by(tumbling()).aggregate(&text_store("c"), String::new);
    text_out(builder, &lists)
}
