//! Joins of a stream with a table.

use operators::{Joined, Topology};

use super::{Case, ValueKind, builder, case, longs, shown, strings, texts};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("stream_table_inner", inner, ValueKind::Text),
        case("stream_table_left", left, ValueKind::Text),
        case("stream_global_inner", global_inner, ValueKind::Text),
        case("stream_global_left", global_left, ValueKind::Text),
        case("versioned_stream_table_inner", || versioned_inner("j".into()), ValueKind::Text),
        case("versioned_stream_table_left", || versioned_left("j".into()), ValueKind::Text),
        case("versioned_stream_table_inner_grace", || versioned_inner(grace()), ValueKind::Text),
        case("versioned_stream_table_left_grace", || versioned_left(grace()), ValueKind::Text),
    ]
}

fn inner() -> Topology {
    let builder = builder();
    let table = builder.table("t", &texts("table"));
    let joined = builder.stream(&texts("stream")).join("j", &table, |l, r| format!("{l}|{r}"));
    joined.to(&strings("out"));
    builder.build().unwrap()
}

fn left() -> Topology {
    let builder = builder();
    let table = builder.table("t", &texts("table"));
    let joined =
        builder.stream(&texts("stream")).left_join("j", &table, |l, r| format!("{l}|{}", shown(r)));
    joined.to(&strings("out"));
    builder.build().unwrap()
}

fn grace() -> Joined {
    Joined::as_("j").with_grace_period(50)
}

fn versioned_inner(joined: Joined) -> Topology {
    let builder = builder();
    let table = builder.versioned_table("t", &texts("table"), 300);
    let stream = builder.stream(&texts("stream"));
    stream.join(joined, &table, |l, r| format!("{l}|{r}")).to(&strings("out"));
    builder.build().unwrap()
}

/// The one with a grace has a filter before it, as Kafka Streams can't buffer records without key.
fn versioned_left(joined: Joined) -> Topology {
    let builder = builder();
    let table = builder.versioned_table("t", &texts("table"), 300);
    let mut stream = builder.stream(&texts("stream"));
    if joined == grace() {
        stream = stream.filter_records(|record| record.key.is_some());
    }
    stream.left_join(joined, &table, |l, r| format!("{l}|{}", shown(r))).to(&strings("out"));
    builder.build().unwrap()
}

fn name(_: Option<&str>, v: &i64) -> Option<String> {
    (v % 11 != 0).then(|| format!("k{}", v % 4))
}

fn global_inner() -> Topology {
    let builder = builder();
    let table = builder.global_table("t", &texts("table"));
    let joined =
        builder.stream(&longs("stream")).join_global("j", &table, name, |l, r| format!("{l}|{r}"));
    joined.to(&strings("out"));
    builder.build().unwrap()
}

fn global_left() -> Topology {
    let builder = builder();
    let table = builder.global_table("t", &texts("table"));
    let stream = builder.stream(&longs("stream"));
    let joined = stream.left_join_global("j", &table, name, |l, r| format!("{l}|{}", shown(r)));
    joined.to(&strings("out"));
    builder.build().unwrap()
}
