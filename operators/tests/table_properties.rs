//! Tables, and times of sources, against naive recomputation over the whole input: random changes and tombstones, out
//! of order, on random partition counts, with commits, aborts and crashes between any two hops of the flow as a random
//! seed has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use operators::{
    Consumed, DriverOptions, ErrorPolicy, Headers, I64Be, KTable, Materialized, Record,
    StreamsBuilder, TimestampExtractor, Topic, TopologyTestDriver, Utf8,
};
use proptest::prelude::*;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Topic, key, value (none: tombstone), time, and whether the flow runs to quiet then.
type Step = (usize, usize, Option<i64>, i64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::option::weighted(0.75, 0..30i64);
    let step = (0..2usize, 0..KEYS.len(), value, 0..100i64, prop::bool::weighted(0.7));
    prop::collection::vec(step, 1..50)
}

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

/// The seed decides what is fetched and committed when, and who dies between two hops of the flow.
fn driver(builder: StreamsBuilder, counts: [u32; 2], seed: u64) -> TopologyTestDriver {
    let topics = ["left", "right"].into_iter().zip(counts);
    let topic_partitions = topics.map(|(topic, count)| (topic.into(), count)).collect();
    let options = DriverOptions { topic_partitions, ..DriverOptions::seeded(seed) };
    TopologyTestDriver::with(&builder.build().unwrap(), options)
}

/// Feeds the steps and leaves nothing on its way.
fn play(driver: &TopologyTestDriver, steps: &[Step]) {
    for (topic, key, value, time, run) in steps {
        let input = driver.input(&numbers(["left", "right"][*topic]));
        input.enqueue(Some(KEYS[*key]), value.as_ref(), *time, &Headers::new());
        if *run {
            driver.run().unwrap();
        }
    }
    driver.run().unwrap();
}

type Table = BTreeMap<String, i64>;

/// The tables that the steps make.
fn tables(steps: &[Step]) -> [Table; 2] {
    let mut tables = [Table::new(), Table::new()];
    for (topic, key, value, ..) in steps {
        match value {
            Some(value) => tables[*topic].insert(KEYS[*key].to_owned(), *value),
            None => tables[*topic].remove(KEYS[*key]),
        };
    }
    tables
}

/// Writes a table to the topic `name`, and the sum of its rows, kept by their changes, to the store `<name>-sum`.
fn watch(table: &KTable<str, i64>, name: &str) {
    table.to_stream().with_value_serde(I64Be).to(&numbers(name));
    let all = table.group_by::<str, i64>(|_, n| ("all".to_owned(), *n));
    all.reduce(&store(&format!("{name}-sum")), |sum, n| sum + n, |sum, n| sum - n);
}

fn check(driver: &TopologyTestDriver, name: &str, expected: &Table) -> Result<(), TestCaseError> {
    prop_assert_eq!(&driver.output(&numbers(name)).read_table(), expected, "rows of {}", name);
    let sum = driver.table_row(&store(&format!("{name}-sum")), "all").unwrap_or(0);
    prop_assert_eq!(sum, expected.values().sum::<i64>(), "sum of {}", name);
    Ok(())
}

fn joined(keys: &BTreeSet<&String>, join: impl Fn(&str) -> Option<i64>) -> Table {
    keys.iter().filter_map(|key| Some(((*key).clone(), join(key)?))).collect()
}

fn both(left: &i64, right: &i64) -> i64 {
    left * 100 + right
}

fn either(left: Option<&i64>, right: Option<&i64>) -> i64 {
    both(left.unwrap_or(&-1), right.unwrap_or(&-1))
}

/// The right row that a left value refers to, if it does.
fn reference(left: i64) -> Option<&'static str> {
    KEYS.get((left % 6) as usize).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn groups_hold_what_is_in_them(steps in steps(), seed: u64, partitions in 1..4u32, least in 0..10i64) {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("left")).filter(move |_, n| *n >= least);
        let grouped = table.group_by::<str, i64>(|_, n| (format!("g{}", n % 3), *n));
        grouped.count(&store("counts")).to_stream().to(&numbers("counted"));
        grouped.reduce(&store("sums"), |sum, n| sum + n, |sum, n| sum - n);
        let _ = builder.table("u", &numbers("right"));
        let driver = driver(builder, [partitions, 1], seed);
        play(&driver, &steps);
        let [left, _] = tables(&steps);
        for group in 0..3 {
            let name = format!("g{group}");
            let rows: Vec<i64> = left.values().copied().filter(|n| *n >= least && n % 3 == group).collect();
            let sum = driver.table_row(&store("sums"), &name).unwrap_or(0);
            prop_assert_eq!(sum, rows.iter().sum::<i64>(), "sum of {}", name);
            let count = driver.output(&numbers("counted")).read_table().get(&name).copied().unwrap_or(0);
            prop_assert_eq!(count, rows.len() as i64, "count of {}", name);
        }
    }

    #[test]
    fn joined_tables_are_the_join_of_their_rows(steps in steps(), seed: u64, partitions in 1..4u32) {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        let even = right.filter(|_, n| n % 2 == 0);
        watch(&left.join("inner", &right, both), "inner-out");
        watch(&left.left_join("left-join", &even, |l, r| either(Some(l), r)), "left-out");
        let outer = left.outer_join("outer", &right, either);
        watch(&outer, "outer-out");
        // Both sides of these change with one table: what a row was before takes a store.
        let chain = outer.left_join("chain", &even.map_values(|n| n + 1), |l, r| either(Some(l), r));
        watch(&chain.materialize(&store("chain-rows")), "chain-out");
        watch(&right.join("self", &even, both).materialize(&store("self-rows")), "self-out");
        let driver = driver(builder, [partitions; 2], seed);
        play(&driver, &steps);
        let [left, right] = tables(&steps);
        let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        let even = |key: &str| right.get(key).filter(|n| *n % 2 == 0);
        let outer = |key: &str| either(left.get(key), right.get(key));
        check(&driver, "inner-out", &joined(&keys, |key| Some(both(left.get(key)?, right.get(key)?))))?;
        check(&driver, "left-out", &joined(&keys, |key| Some(either(Some(left.get(key)?), even(key)))))?;
        check(&driver, "outer-out", &joined(&keys, |key| Some(outer(key))))?;
        check(&driver, "self-out", &joined(&keys, |key| even(key).map(|n| both(n, n))))?;
        let next = |key: &str| even(key).map(|n| n + 1);
        check(&driver, "chain-out", &joined(&keys, |key| Some(either(Some(&outer(key)), next(key).as_ref()))))?;
    }

    #[test]
    fn foreign_keys_join_whatever_overtakes_what(steps in steps(), seed: u64, counts in [1..4u32, 1..4u32]) {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        let refer = |_: &str, n: &i64| reference(*n).map(str::to_owned);
        watch(&left.join_foreign_key(&store("inner"), &right, refer, both), "inner-out");
        let odd = right.filter(|_, n| n % 2 == 1);
        let left_join = left.left_join_foreign_key(&store("left-join"), &odd, refer, |l, r| either(Some(l), r));
        watch(&left_join, "left-out");
        let driver = driver(builder, counts, seed);
        play(&driver, &steps);
        let [left, right] = tables(&steps);
        let keys: BTreeSet<&String> = left.keys().collect();
        let referred = |key: &str| reference(left[key]).and_then(|key| right.get(key));
        check(&driver, "inner-out", &joined(&keys, |key| Some(both(&left[key], referred(key)?))))?;
        let odd = |key: &str| referred(key).filter(|n| *n % 2 == 1);
        check(&driver, "left-out", &joined(&keys, |key| Some(either(Some(&left[key]), odd(key)))))?;
    }

    #[test]
    fn a_timestamp_may_depend_on_all_that_was_taken_before(steps in steps(), seed: u64) {
        let extract = |time: i64, value: Option<&i64>, known: Option<i64>| match value {
            Some(n) => known.unwrap_or(1000) / 2 + time + n,
            None => -1,
        };
        let by_time = TimestampExtractor::custom(move |record: Record<'_, str, i64>, known| {
            extract(record.timestamp, record.value, known)
        });
        let builder = StreamsBuilder::new("test");
        let left = builder.stream_with(&numbers("left"), Consumed::with_timestamps(by_time));
        left.on_error(ErrorPolicy::Skip).to(&numbers("out"));
        let standing = Consumed::with_timestamps(TimestampExtractor::UsePartitionTime);
        builder.stream_with(&numbers("right"), standing).to(&numbers("same"));
        let driver = driver(builder, [1, 1], seed);
        play(&driver, &steps);
        let (mut known, mut expected) = (None, Vec::new());
        for (_, _, value, time, _) in steps.iter().filter(|step| step.0 == 0 && step.2.is_some()) {
            let time = extract(*time, value.as_ref(), known);
            known = known.max(Some(time));
            expected.push(time);
        }
        let out = driver.output(&numbers("out")).read_records();
        prop_assert_eq!(out.iter().map(|record| record.timestamp).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_cogroup_adds_up_what_all_streams_say(steps in steps(), seed: u64, partitions in 1..4u32) {
        let builder = StreamsBuilder::new("test");
        let plus = builder.stream(&numbers("left")).group_by_key();
        let minus = builder.stream(&numbers("right")).group_by::<str>(|key, _| key.unwrap_or("-").to_owned());
        let both = plus.cogroup("plus", |_, n, sum: &i64| sum + n).cogroup("minus", &minus, |_, n, sum| sum - n);
        let sums = both.aggregate(&store("sums"), || 0);
        watch(&sums, "out");
        let driver = driver(builder, [partitions; 2], seed);
        play(&driver, &steps);
        let mut expected = Table::new();
        for (topic, key, value, ..) in &steps {
            if let Some(value) = value {
                *expected.entry(KEYS[*key].to_owned()).or_insert(0) += if *topic == 0 { *value } else { -value };
            }
        }
        check(&driver, "out", &expected)?;
    }
}
