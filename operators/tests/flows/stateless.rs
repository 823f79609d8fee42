//! Stateless cases.

use operators::Topology;

use super::{Case, KeyKind, ValueKind, builder, case, longs, shown, store, strings};

pub(super) fn cases() -> Vec<Case> {
    let long = |topic| (topic, KeyKind::Text, ValueKind::Long);
    let several = |name, flow: fn() -> Topology, topics: &[&'static str]| Case {
        name,
        flow,
        outputs: topics.iter().map(|topic| long(*topic)).collect(),
    };
    vec![
        several("filter", filter, &["out", "out-not"]),
        case("map", map, ValueKind::Long),
        case("map_values", map_values, ValueKind::Text),
        case("flat_map", flat_map, ValueKind::Long),
        case("flat_map_values", flat_map_values, ValueKind::Long),
        several("split", || split(true), &["out-a", "out-b", "out-c"]),
        several("split_no_default", || split(false), &["out-a", "out-b"]),
        case("merge", merge, ValueKind::Long),
        several("repartition", repartition, &["ks-oracle-rp-repartition", "out"]),
        several("select_key_count", select_key_count, &["ks-oracle-cnt-repartition", "out"]),
    ]
}

fn filter() -> Topology {
    let builder = builder();
    let input = builder.stream(&longs("in"));
    input.filter_records(|record| record.value.is_some_and(|v| v % 2 == 0)).to(&longs("out"));
    input.filter_records(|record| record.value.is_none_or(|v| v % 2 != 0)).to(&longs("out-not"));
    builder.build().unwrap()
}

fn map() -> Topology {
    let builder = builder();
    builder
        .stream(&longs("in"))
        .flat_map_records::<str, i64>(|record, emit| {
            let key = format!("{}-{}", shown(record.key), shown(record.value.map(|v| v % 3)));
            emit(Some(&key), Some(&record.value.map_or(-1, |v| v * 2)));
        })
        .to(&longs("out"));
    builder.build().unwrap()
}

fn map_values() -> Topology {
    let builder = builder();
    builder
        .stream(&longs("in"))
        .flat_map_records::<str, String>(|record, emit| {
            emit(record.key, Some(&format!("{}={}", shown(record.key), shown(record.value))));
        })
        .to(&strings("out"));
    builder.build().unwrap()
}

fn flat_map() -> Topology {
    let builder = builder();
    builder
        .stream(&longs("in"))
        .flat_map_records::<str, i64>(|record, emit| {
            for i in 0..record.value.map_or(0, |v| v % 4) {
                emit(
                    Some(&format!("{}#{i}", shown(record.key))),
                    record.value.map(|v| v + i).as_ref(),
                );
            }
        })
        .to(&longs("out"));
    builder.build().unwrap()
}

fn flat_map_values() -> Topology {
    let builder = builder();
    let flow = builder.stream(&longs("in")).flat_map_values::<i64>(|v, emit| {
        emit(v);
        emit(&(v + 100));
    });
    flow.to(&longs("out"));
    builder.build().unwrap()
}

fn split(with_rest: bool) -> Topology {
    let builder = builder();
    let split = builder.stream(&longs("in")).split();
    split
        .branch_records("a", |record| record.value.is_some_and(|v| v % 3 == 0))
        .to(&longs("out-a"));
    split
        .branch_records("b", |record| record.value.is_some_and(|v| v % 2 == 0))
        .to(&longs("out-b"));
    if with_rest {
        split.default_branch("c").to(&longs("out-c"));
    }
    builder.build().unwrap()
}

fn merge() -> Topology {
    let builder = builder();
    let b = builder.stream(&longs("b")).map_values(|v| v + 100);
    builder.stream(&longs("a")).merge(&b).to(&longs("out"));
    builder.build().unwrap()
}

fn repartition() -> Topology {
    let builder = builder();
    let rekeyed = builder.stream(&longs("in")).select_key::<str>(|_, v| format!("g{}", v % 3));
    rekeyed.with_key_serde(operators::Utf8).repartition("rp").to(&longs("out"));
    builder.build().unwrap()
}

fn select_key_count() -> Topology {
    let builder = builder();
    let rekeyed = builder.stream(&longs("in")).select_key::<str>(|_, v| format!("g{}", v % 5));
    rekeyed.group_by_key().count(&store("cnt")).to_stream().to(&longs("out"));
    builder.build().unwrap()
}
