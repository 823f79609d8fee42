//! Tables and aggregations without windows.

use operators::Topology;

use super::{Case, ValueKind, builder, case, longs, store, strings};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("table_source", table, ValueKind::Long),
        case("table_source_materialized", table, ValueKind::Long),
        case("table_filter", filter, ValueKind::Long),
        case("table_map_values", map_values, ValueKind::Text),
        case("to_table", to_table, ValueKind::Long),
        case("group_count", count, ValueKind::Long),
        case("group_reduce", reduce, ValueKind::Long),
        case("group_aggregate", aggregate, ValueKind::Long),
    ]
}

fn table() -> Topology {
    let builder = builder();
    builder.table("t", &longs("in")).to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn filter() -> Topology {
    let builder = builder();
    builder.table("t", &longs("in")).filter(|_, v| v % 2 == 0).to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn map_values() -> Topology {
    let builder = builder();
    let table = builder.table("t", &longs("in"));
    let named = table.to_stream().flat_map_records::<str, String>(|record, emit| {
        let value = record.key.zip(record.value).map(|(k, v)| format!("{k}={v}"));
        emit(record.key, value.as_ref());
    });
    named.to(&strings("out"));
    builder.build().unwrap()
}

fn to_table() -> Topology {
    let builder = builder();
    builder.stream(&longs("in")).to_table(&store("t")).to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn count() -> Topology {
    let builder = builder();
    builder.stream(&longs("in")).group_by_key().count(&store("c")).to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn reduce() -> Topology {
    let builder = builder();
    let grouped = builder.stream(&longs("in")).group_by_key();
    let reduced = grouped.reduce(&store("r"), |agg, v| agg.wrapping_mul(3).wrapping_add(*v));
    reduced.to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn aggregate() -> Topology {
    let builder = builder();
    let grouped = builder.stream(&longs("in")).group_by_key();
    let sums = grouped.aggregate(
        &store("a"),
        || 1000,
        |_, v, agg| (v % 7 != 0).then(|| agg.wrapping_add(*v)),
    );
    sums.to_stream().to(&longs("out"));
    builder.build().unwrap()
}
