//! Windows, sessions and joins against naive recomputation, on random input that is out of order,
//! with commits, aborts, crashes and restores as a random seed has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;

use operators::{
    DriverOptions, I64Be, KTable, Materialized, SessionWindows, StreamsBuilder, TimeWindows, Topic,
    Topology, TopologyTestDriver, Utf8, Windowed,
};
use proptest::prelude::*;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A record: key, value, time.
type Step = (usize, i64, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..KEYS.len(), -9i64..10, 0i64..60, -40i64..30);
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut clock = 0;
        let at = |(key, value, ahead, back): (usize, i64, i64, i64)| {
            clock += ahead / 4;
            (key, value, (clock + back).max(0))
        };
        steps.into_iter().map(at).collect()
    })
}

/// Records of a table, `true`, and of a stream that looks into it: key and value.
fn lookups() -> impl Strategy<Value = Vec<(usize, Option<i64>, bool)>> {
    prop::collection::vec((0..KEYS.len(), prop::option::of(-9i64..10), any::<bool>()), 1..60)
}

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn finish(
    builder: StreamsBuilder,
    table: &KTable<Windowed<str>, i64>,
) -> (Topology, Topic<Windowed<str>, i64>) {
    let out = Topic::new("out", table.key_serde().unwrap(), I64Be);
    table.to_stream().to(&out);
    (builder.build().unwrap(), out)
}

fn pipe(driver: &TopologyTestDriver, steps: &[Step]) {
    for (key, value, time) in steps {
        driver.input(&numbers("in")).pipe_at(KEYS[*key], value, *time);
    }
}

/// Window → last value, of what came out.
fn last(
    driver: &TopologyTestDriver,
    out: &Topic<Windowed<str>, i64>,
) -> BTreeMap<(String, i64, i64), i64> {
    let mut rows = BTreeMap::new();
    for (key, value) in driver.output(out).read_key_values() {
        let key = key.unwrap();
        let place = (key.key().to_owned(), key.window.start, key.window.end);
        match value {
            Some(value) => rows.insert(place, value),
            None => rows.remove(&place),
        };
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn windows_hold_the_sum_of_what_was_in_time(steps in steps(), seed: u64, hop in prop::sample::select(vec![20i64, 7])) {
        let builder = StreamsBuilder::new("test");
        let windows = TimeWindows::of_size(20).advance_by(hop).grace(15);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        let sums = grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let (topology, out) = finish(builder, &sums);
        let driver = TopologyTestDriver::with(&topology, DriverOptions::seeded(seed));
        pipe(&driver, &steps);

        let mut expected = BTreeMap::new();
        let mut stream_time = i64::MIN;
        for (key, value, time) in &steps {
            stream_time = stream_time.max(*time);
            for start in (0..=*time).filter(|start| start % hop == 0 && start + 20 > *time) {
                if start + 20 + 15 > stream_time {
                    *expected.entry((KEYS[*key].to_owned(), start, start + 20)).or_insert(0) += value;
                }
            }
        }
        prop_assert_eq!(last(&driver, &out), expected);
    }

    #[test]
    fn sessions_are_the_connected_records_that_were_in_time(steps in steps(), seed: u64) {
        let builder = StreamsBuilder::new("test");
        let windows = SessionWindows::of_gap(5).grace(12);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by_sessions(windows);
        // Nothing expires from the store, so that every session seen is compared.
        let kept = Materialized::as_("sum", Utf8, I64Be).retention_ms(1_000_000);
        let sums = grouped.reduce(&kept, |a, b| a + b);
        let (topology, out) = finish(builder, &sums);
        let driver = TopologyTestDriver::with(&topology, DriverOptions::seeded(seed));
        pipe(&driver, &steps);

        let mut sessions: Vec<(usize, i64, i64, i64)> = Vec::new();
        let mut stream_time = i64::MIN;
        for (key, value, time) in &steps {
            stream_time = stream_time.max(*time);
            let touches = |s: &(usize, i64, i64, i64)| s.0 == *key && s.1 <= time + 5 && s.2 >= time - 5;
            let (met, rest): (Vec<_>, Vec<_>) = sessions.iter().copied().partition(touches);
            let whole = met.iter().fold((*key, *time, *time, *value), |whole, met| {
                (*key, whole.1.min(met.1), whole.2.max(met.2), whole.3 + met.3)
            });
            if whole.2 >= stream_time - 5 - 12 {
                sessions = rest;
                sessions.push(whole);
            }
        }
        let expected: BTreeMap<_, _> = sessions
            .into_iter()
            .map(|(key, start, end, sum)| ((KEYS[key].to_owned(), start, end), sum))
            .collect();
        prop_assert_eq!(last(&driver, &out), expected);
    }

    #[test]
    fn a_join_sees_the_last_row_of_its_key(
        steps in lookups(), partitions in 1u32..4, seed: u64,
    ) {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("table"));
        let joined = builder.stream(&numbers("in")).left_join("j", &table, |n, row| n * 100 + row.unwrap_or(&50));
        joined.to(&numbers("out"));
        let options = DriverOptions { partitions, ..DriverOptions::seeded(seed) };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        let (mut rows, mut expected) = (BTreeMap::new(), Vec::new());
        for (key, value, to_table) in steps {
            let topic = numbers(if to_table { "table" } else { "in" });
            driver.input(&topic).try_pipe(Some(KEYS[key]), value.as_ref(), 0, &Default::default()).unwrap();
            match (to_table, value) {
                (true, value) => { rows.insert(key, value); }
                (false, Some(value)) => expected.push(value * 100 + rows.get(&key).copied().flatten().unwrap_or(50)),
                (false, None) => {}
            }
        }
        prop_assert_eq!(driver.output(&numbers("out")).read_values(), expected);
    }

    #[test]
    fn a_global_join_sees_the_last_row_of_the_key_it_selects(
        steps in lookups(), partitions in 1u32..4, seed: u64,
    ) {
        let builder = StreamsBuilder::new("test");
        let table = builder.global_table("t", &numbers("table"));
        // Mostly another key than the record's, whose row is in another partition; for a quarter none.
        let select = |_: Option<&str>, n: &i64| KEYS.get(n.rem_euclid(4) as usize).map(|key| (*key).to_owned());
        let stream = builder.stream(&numbers("in"));
        stream.join_global("i", &table, select, |n, row| n * 100 + row).to(&numbers("inner"));
        stream.left_join_global("l", &table, select, |n, row| n * 100 + row.unwrap_or(&50)).to(&numbers("left"));
        let options = DriverOptions { partitions, ..DriverOptions::seeded(seed) };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        let (mut rows, mut inner, mut left) = ([None; 3], Vec::new(), Vec::new());
        for (key, value, to_table) in steps {
            let topic = numbers(if to_table { "table" } else { "in" });
            driver.input(&topic).try_pipe(Some(KEYS[key]), value.as_ref(), 0, &Default::default()).unwrap();
            match (to_table, value) {
                (true, value) => rows[key] = value,
                (false, Some(n)) => {
                    let row = rows.get(n.rem_euclid(4) as usize).copied().flatten();
                    inner.extend(row.map(|row| n * 100 + row));
                    left.push(n * 100 + row.unwrap_or(50));
                }
                (false, None) => {}
            }
        }
        prop_assert_eq!(driver.output(&numbers("inner")).read_values(), inner);
        prop_assert_eq!(driver.output(&numbers("left")).read_values(), left);
    }
}
