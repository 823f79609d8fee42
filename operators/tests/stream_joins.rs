//! Joins of streams, joins with versioned tables and punctuation against naive recomputation, on random input that is out of order and has
//! tombstones and null keys, with commits, aborts, crashes and restores as a random seed has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;

use operators::{
    BoxError, DriverOptions, Headers, I64Be, JoinWindows, Joined, Processor, ProcessorContext,
    Punctuation, PunctuationType, Record, StoreDef, StreamsBuilder, Topic, TopologyTestDriver,
    Utf8,
};
use proptest::prelude::*;

const KEYS: [Option<&str>; 4] = [Some("a"), Some("b"), Some("a\0"), None];

#[derive(Clone, Debug)]
struct Step {
    left: bool,
    key: Option<&'static str>,
    value: Option<i64>,
    time: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        any::<bool>(),
        prop::sample::select(KEYS.to_vec()),
        prop::option::weighted(0.9, 0..100i64),
        (0i64..16, -60i64..20),
    );
    prop::collection::vec(step, 1..70).prop_map(|steps| {
        let mut clock = 0i64;
        let at = |(left, key, value, (ahead, back)): (_, _, _, (i64, i64))| {
            clock += ahead;
            Step { left, key, value, time: (clock + back).max(0) }
        };
        steps.into_iter().map(at).collect()
    })
}

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

/// Everything else is up to the seed.
fn driver(builder: StreamsBuilder, seed: u64) -> TopologyTestDriver {
    TopologyTestDriver::with(&builder.build().unwrap(), DriverOptions::seeded(seed))
}

fn pipe(driver: &TopologyTestDriver, topic: &str, step: &Step) {
    let value = step.value.as_ref();
    driver.input(&numbers(topic)).try_pipe(step.key, value, step.time, &Headers::new()).unwrap();
}

/// Key, value, time.
type Result = (Option<String>, Option<i64>, i64);

fn results(driver: &TopologyTestDriver) -> Vec<Result> {
    let records = driver.output(&numbers("out")).read_records();
    records.into_iter().map(|record| (record.key, record.value, record.timestamp)).collect()
}

fn both(left: Option<i64>, right: Option<i64>) -> i64 {
    left.unwrap_or(500) * 1000 + right.unwrap_or(500)
}

const BEFORE: i64 = 7;
const AFTER: i64 = 12;
const GRACE: i64 = 5;

/// Every pair whose later record came while the earlier one was kept, in the order of the later one's coming; then by
/// time and by the earlier one's coming. Records have numbers by coming.
fn pairs(steps: &[Step]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (new, step) in steps.iter().enumerate().filter(|(_, step)| step.value.is_some()) {
        let before = &steps[..new];
        let other = || {
            before
                .iter()
                .enumerate()
                .filter(|(_, o)| o.left != step.left && o.key.is_some() && o.value.is_some())
        };
        let newest = other().map(|(_, o)| o.time).max().unwrap_or(0);
        let mut hits: Vec<usize> = other()
            .filter(|(_, o)| step.key.is_some() && o.key == step.key)
            .filter(|(_, o)| {
                let ahead = if step.left { o.time - step.time } else { step.time - o.time };
                (-BEFORE..=AFTER).contains(&ahead)
            })
            .filter(|(_, o)| o.time > newest - (BEFORE + AFTER + GRACE))
            .map(|(old, _)| old)
            .collect();
        hits.sort_by_key(|old| steps[*old].time);
        pairs.extend(hits.into_iter().map(|old| (new, old)));
    }
    pairs
}

fn joined(steps: &[Step], (new, old): (usize, usize)) -> Result {
    let (left, right) = if steps[new].left { (new, old) } else { (old, new) };
    let value = both(steps[left].value, steps[right].value);
    let time = steps[new].time.max(steps[old].time);
    (steps[new].key.map(str::to_owned), Some(value), time)
}

fn windows() -> JoinWindows {
    JoinWindows::of_time_difference(AFTER).before(BEFORE).grace(GRACE)
}

const HISTORY: i64 = 25;

/// The rows a versioned table had.
#[derive(Default)]
struct Versions {
    rows: BTreeMap<&'static str, BTreeMap<i64, Option<i64>>>,
    time: Option<i64>,
}

impl Versions {
    fn put(&mut self, step: &Step) {
        let Some(key) = step.key else { return };
        if self.time.is_none_or(|time| step.time >= time - HISTORY) {
            self.time = self.time.max(Some(step.time));
            self.rows.entry(key).or_default().insert(step.time, step.value);
        }
    }

    fn as_of(&self, key: &str, time: i64) -> Option<i64> {
        let rows = self.rows.get(key)?;
        if time < self.time? - HISTORY {
            let (since, row) = rows.last_key_value()?;
            return row.filter(|_| *since <= time);
        }
        rows.range(..=time).next_back().and_then(|(_, row)| *row)
    }

    fn left_joined(&self, step: &Step) -> Result {
        let row = step.key.and_then(|key| self.as_of(key, step.time));
        (step.key.map(str::to_owned), Some(both(step.value, row)), step.time)
    }
}

/// What a left join with a versioned table gives; with a grace, records wait by time, key and coming.
fn versioned(steps: &[Step], grace: Option<i64>) -> Vec<Result> {
    let (mut table, mut out) = (Versions::default(), Vec::new());
    let (mut waiting, mut highest) = (BTreeMap::new(), None::<i64>);
    for (number, step) in steps.iter().enumerate() {
        match (step.left, step.value, grace) {
            (false, ..) => table.put(step),
            (true, None, _) => {}
            (true, Some(_), Some(grace))
                if step.key.is_some() && highest.is_none_or(|most| step.time >= most - grace) =>
            {
                highest = highest.max(Some(step.time));
                waiting.insert((step.time, step.key, number), step);
                let until = highest.unwrap_or_default() - grace;
                while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= until)
                {
                    out.push(table.left_joined(first.remove()));
                }
            }
            _ => out.push(table.left_joined(step)),
        }
    }
    out
}

/// The times at which calls for stream time come: at the first record, and when a multiple of the interval is passed.
fn calls(steps: &[Step], interval: i64) -> Vec<i64> {
    let (mut calls, mut time, mut next) = (Vec::new(), 0, 0);
    for step in steps {
        time = time.max(step.time);
        if time >= next {
            calls.push(time);
            next = (time / interval + 1) * interval;
        }
    }
    calls
}

struct Calls;

impl Processor<str, i64, str, i64> for Calls {
    fn process(
        &mut self,
        _: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> std::result::Result<(), BoxError> {
        ctx.record_metadata().map(drop).ok_or_else(|| "a record without a place".into())
    }

    fn on_punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: i64,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> std::result::Result<(), BoxError> {
        let headers = &Headers::new();
        let value = Some(&punctuation.interval_ms);
        ctx.forward(Record { key: Some("at"), value, timestamp, headers });
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_inner_join_is_all_pairs_that_met(steps in steps(), seed: u64) {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        let out = left.join_stream("j", &right, windows(), |l, r| both(Some(*l), Some(*r)));
        out.to(&numbers("out"));
        let driver = driver(builder, seed);
        for step in &steps {
            pipe(&driver, if step.left { "left" } else { "right" }, step);
        }
        let expected: Vec<Result> = pairs(&steps).into_iter().map(|pair| joined(&steps, pair)).collect();
        prop_assert_eq!(results(&driver), expected);
    }

    #[test]
    fn an_outer_join_adds_each_record_without_a_match_once(steps in steps(), seed: u64, left_only in any::<bool>()) {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        let out = if left_only {
            left.left_join_stream("j", &right, windows(), |l, r| both(Some(*l), r.copied()))
        } else {
            left.outer_join_stream("j", &right, windows(), |l, r| both(l.copied(), r.copied()))
        };
        out.to(&numbers("out"));
        let driver = driver(builder, seed);
        for step in &steps {
            pipe(&driver, if step.left { "left" } else { "right" }, step);
        }
        // Both streams go on until all windows are closed. The second record looks at what the first one left open.
        let last = steps.iter().map(|step| step.time).max().unwrap();
        for later in [1000, 2000, 3000] {
            for topic in ["left", "right"] {
                driver.input(&numbers(topic)).pipe_at(&format!("end {topic}"), &0, last + later);
            }
        }
        let actual = results(&driver).into_iter().filter(|(key, ..)| {
            key.as_ref().is_none_or(|key| !key.starts_with("end"))
        });
        let (pairs_seen, alone): (Vec<Result>, Vec<Result>) =
            actual.partition(|(_, value, _)| value.unwrap() / 1000 != 500 && value.unwrap() % 1000 != 500);
        let pairs = pairs(&steps);
        let expected: Vec<Result> = pairs.iter().map(|pair| joined(&steps, *pair)).collect();
        prop_assert_eq!(pairs_seen, expected);

        // Alone is who met nobody when it came, and was not met while it waited. A late one doesn't wait at all.
        let mut must = BTreeMap::new();
        let mut may = BTreeMap::new();
        let mut stream_time = 0;
        for (number, step) in steps.iter().enumerate() {
            stream_time = stream_time.max(step.time);
            let preserved = step.left || !left_only;
            let met_others = pairs.iter().any(|(new, _)| *new == number);
            if step.value.is_none() || !preserved || met_others {
                continue;
            }
            let value = if step.left { both(step.value, None) } else { both(None, step.value) };
            let result = (step.key.map(str::to_owned), Some(value), step.time);
            let ahead = if step.left { AFTER } else { BEFORE };
            let met_later = pairs.iter().any(|(_, old)| *old == number);
            // A list of one key and time goes as a whole when one of it is met.
            let list_met = steps.iter().enumerate().any(|(n, o)| {
                o.left == step.left && o.key == step.key && o.time == step.time
                    && pairs.iter().any(|(_, old)| *old == n)
            });
            let at_once = step.key.is_none() || step.time + ahead < stream_time;
            if at_once || (!met_later && !list_met) {
                *must.entry(result.clone()).or_insert(0) += 1;
            }
            *may.entry(result).or_insert(0) += 1;
        }
        let mut seen = BTreeMap::new();
        for result in alone {
            *seen.entry(result).or_insert(0) += 1;
        }
        for (result, times) in &must {
            prop_assert!(seen.get(result) >= Some(times), "{:?} is missing", result);
        }
        for (result, times) in &seen {
            prop_assert!(may.get(result) >= Some(times), "{:?} is too much", result);
        }
    }

    #[test]
    fn a_versioned_table_shows_the_row_of_the_records_time(steps in steps(), seed: u64, grace in prop::option::of(0..HISTORY)) {
        let builder = StreamsBuilder::new("test");
        let table = builder.versioned_table("t", &numbers("right"), HISTORY);
        let joined = match grace {
            Some(grace) => Joined::as_("j").with_grace_period(grace),
            None => Joined::as_("j"),
        };
        let stream = builder.stream(&numbers("left"));
        stream.left_join(joined, &table, |l, r| both(Some(*l), r.copied())).to(&numbers("out"));
        let driver = driver(builder, seed);
        for step in &steps {
            pipe(&driver, if step.left { "left" } else { "right" }, step);
        }
        prop_assert_eq!(results(&driver), versioned(&steps, grace));
    }

    #[test]
    fn a_self_join_is_the_inner_join_of_two_copies(steps in steps(), seed: u64) {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        let out = stream.join_stream("j", &stream, windows(), |l, r| both(Some(*l), Some(*r)));
        out.to(&numbers("out"));
        let driver = driver(builder, seed);
        for step in &steps {
            pipe(&driver, "in", step);
        }
        let copies: Vec<Step> = steps
            .iter()
            .flat_map(|step| [true, false].map(|left| Step { left, ..step.clone() }))
            .collect();
        let expected: Vec<Result> =
            pairs(&copies).into_iter().map(|pair| joined(&copies, pair)).collect();
        prop_assert_eq!(results(&driver), expected);
    }

    #[test]
    fn stream_time_calls_come_once_per_interval_whatever_crashes(steps in steps(), seed: u64, interval in 1i64..40) {
        let builder = StreamsBuilder::new("test");
        let stores = [
            StoreDef::punctuate(PunctuationType::StreamTime, interval),
            StoreDef::punctuate(PunctuationType::StreamTime, 1000),
        ];
        let called = builder.stream(&numbers("in")).process("p", &stores, |_| Box::new(Calls));
        called.to(&numbers("out"));
        let driver = driver(builder, seed);
        for step in &steps {
            pipe(&driver, "in", step);
        }
        let of = |interval: i64| -> Vec<i64> {
            let seen = results(&driver).into_iter().filter(|(_, value, _)| *value == Some(interval));
            seen.map(|(.., time)| time).collect()
        };
        prop_assert_eq!(of(interval), calls(&steps, interval));
        prop_assert_eq!(of(1000), calls(&steps, 1000));
    }

    #[test]
    fn wall_clock_calls_come_once_per_interval_whatever_crashes(
        moves in prop::collection::vec(0i64..50, 1..40),
        seed: u64,
        interval in 1i64..40,
        start in 0i64..1000,
    ) {
        let builder = StreamsBuilder::new("test");
        let stores = [StoreDef::punctuate(PunctuationType::WallClockTime, interval)];
        let called = builder.stream(&numbers("in")).process("p", &stores, |_| Box::new(Calls));
        called.to(&numbers("out"));
        let options = DriverOptions { now_ms: start, ..DriverOptions::seeded(seed) };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        let (mut now, mut called, mut expected) = (start, start, Vec::new());
        for ahead in moves {
            driver.advance_wall_clock(ahead);
            now += ahead;
            if (now - start) / interval > (called - start) / interval {
                expected.push(now);
                called = now;
            }
        }
        let seen: Vec<i64> = results(&driver).into_iter().map(|(.., time)| time).collect();
        prop_assert_eq!(seen, expected);
    }
}
