//! Tables and aggregations without windows.

use operators::{I64Be, KGroupedTable, KTable, StreamsBuilder, Topology};

use super::{Case, ValueKind, builder, case, longs, shown, store, strings, text_store, texts};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("table_source", table, ValueKind::Long),
        case("table_source_materialized", table, ValueKind::Long),
        case("versioned_table_source", versioned, ValueKind::Long),
        case("table_filter", filter, ValueKind::Long),
        case("table_filter_materialized", filter_materialized, ValueKind::Long),
        case("table_map_values", map_values, ValueKind::Text),
        case("to_table", to_table, ValueKind::Long),
        case("table_group_count", table_count, ValueKind::Long),
        case("table_group_reduce", table_reduce, ValueKind::Long),
        case("table_group_aggregate", table_aggregate, ValueKind::Text),
        case("table_table_inner", join_inner, ValueKind::Text),
        case("table_table_left", join_left, ValueKind::Text),
        case("table_table_outer", join_outer, ValueKind::Text),
        case("table_table_chain", join_chain, ValueKind::Text),
        case("foreign_key_inner", foreign_inner, ValueKind::Text),
        case("foreign_key_left", foreign_left, ValueKind::Text),
        case("cogroup", cogroup, ValueKind::Text),
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

fn versioned() -> Topology {
    let builder = builder();
    builder.versioned_table("t", &longs("in"), 300).to_stream().to(&longs("out"));
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
    let named = table.map_values_with_key(|k, v| format!("{k}={v}"));
    named.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn filter_materialized() -> Topology {
    let builder = builder();
    let even = builder.table("t", &longs("in")).filter(|_, v| v % 2 == 0);
    even.materialize(&store("even")).to_stream().to(&longs("out"));
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

fn by_rest(builder: &StreamsBuilder) -> KGroupedTable<str, i64, str, i64> {
    let table = builder.table("t", &longs("in"));
    table.group_by::<str, i64>(|_, v| (format!("g{}", v % 3), *v)).with_value_serde(I64Be)
}

fn table_count() -> Topology {
    let builder = builder();
    by_rest(&builder).count(&store("c")).to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn table_reduce() -> Topology {
    let builder = builder();
    let sums = by_rest(&builder).reduce(
        &store("r"),
        |agg, v| agg.wrapping_add(*v),
        |agg, v| agg.wrapping_sub(*v),
    );
    sums.to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn table_aggregate() -> Topology {
    let builder = builder();
    let lists = by_rest(&builder).aggregate(
        &text_store("a"),
        String::new,
        |_, v, agg| format!("{agg}+{v}"),
        |_, v, agg| format!("{agg}-{v}"),
    );
    lists.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn sides(builder: &StreamsBuilder) -> (KTable<str, str>, KTable<str, str>) {
    (builder.table("l", &texts("left")), builder.table("r", &texts("right")))
}

fn join_inner() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let joined = left.join("j", &right, |l, r| format!("{l}|{r}"));
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn join_left() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let joined = left.left_join("j", &right, |l, r| format!("{l}|{}", shown(r)));
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn join_outer() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let joined = left.outer_join("j", &right, |l, r| format!("{}|{}", shown(l), shown(r)));
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn join_chain() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let third = builder.table("x", &texts("third"));
    let two = left.join("j", &right, |l, r| format!("{l}|{r}"));
    let joined = two.left_join("k", &third, |l, r| format!("{l}|{}", shown(r)));
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

/// The text before the colon; `-` refers to nothing.
fn reference(_: &str, left: &str) -> Option<String> {
    let (key, _) = left.split_once(':').unwrap();
    (key != "-").then(|| key.to_owned())
}

fn foreign_inner() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let both = |l: &str, r: &str| format!("{l}|{r}");
    let joined = left.join_foreign_key(&text_store("j"), &right, reference, both);
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn foreign_left() -> Topology {
    let builder = builder();
    let (left, right) = sides(&builder);
    let both = |l: &str, r: Option<&str>| format!("{l}|{}", shown(r));
    let joined = left.left_join_foreign_key(&text_store("j"), &right, reference, both);
    joined.to_stream().to(&strings("out"));
    builder.build().unwrap()
}

fn cogroup() -> Topology {
    let builder = builder();
    let a = builder.stream(&longs("a")).group_by_key();
    let b = builder.stream(&texts("b")).group_by_key();
    let both = a.cogroup("a", |_, v, agg: &String| format!("{agg}a{v}"));
    let both = both.cogroup("b", &b, |_, v, agg| format!("{agg}b{v}"));
    both.aggregate(&text_store("c"), String::new).to_stream().to(&strings("out"));
    builder.build().unwrap()
}
