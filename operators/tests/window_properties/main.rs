//! Windows, emission on close, suppression and deduplication against naive recomputation, on random input that is out
//! of order and has tombstones, with commits, aborts, crashes and restores as a random seed has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod steps;
mod tables;

use std::collections::BTreeMap;

use operators::{
    BufferConfig, EmitStrategy, I64Be, Materialized, SlidingWindows, StreamsBuilder, Suppressed,
    Topic, Utf8,
};
use proptest::prelude::*;
use steps::{Kind, Place, Row, Step, driver, kinds, numbers, pipe, row, steps};

fn grouped(builder: &StreamsBuilder) -> operators::KGroupedStream<str, i64> {
    builder.stream(&numbers("in")).group_by_key()
}

/// What `suppress` gives for these results, which come with their place in the order: (time, key).
fn suppressed<K: Ord + Clone>(
    results: Vec<(K, Option<i64>, i64)>,
    buffer_time: impl Fn(&K, i64) -> i64,
    wait: i64,
    most: usize,
    finals: bool,
) -> Vec<(K, Option<i64>, i64)> {
    let mut held: BTreeMap<(i64, K), (Option<i64>, i64)> = BTreeMap::new();
    let (mut now, mut out) = (i64::MIN, Vec::new());
    for (key, value, time) in results {
        now = now.max(time);
        let known = held.keys().find(|(_, other)| *other == key).cloned();
        let place = known.unwrap_or_else(|| (buffer_time(&key, time), key));
        held.insert(place, (value, time));
        while let Some(first) = held.first_entry() {
            if first.key().0 > now - wait && held.len() <= most {
                break;
            }
            let ((_, key), (value, time)) = held.pop_first().unwrap();
            if value.is_some() || !finals {
                out.push((key, value, time));
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sliding_windows_hold_the_sum_of_what_is_in_them(steps in steps(), seed: u64, difference in prop::sample::select(vec![0i64, 7, 20])) {
        let builder = StreamsBuilder::new("test");
        let windows = SlidingWindows::of_time_difference(difference).grace(100_000);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        let sums = grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let out = Topic::new("out", sums.key_serde().unwrap(), I64Be);
        sums.to_stream().to(&out);
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));

        let mut expected = BTreeMap::new();
        for (key, time) in steps.iter().filter(|s| s.value.is_some()).map(|s| (s.key, s.time)) {
            for start in [(time - difference).max(0), time + 1] {
                let inside = steps.iter().filter(|s| s.key == key && (start..=start + difference).contains(&s.time));
                let values: Vec<i64> = inside.filter_map(|s| s.value).collect();
                if !values.is_empty() {
                    expected.insert((start + difference, start, key.to_owned()), Some(values.iter().sum::<i64>()));
                }
            }
        }
        let actual: BTreeMap<Place, _> =
            driver.output(&out).read_records().into_iter().map(row).map(|(place, value, _)| (place, value)).collect();
        prop_assert_eq!(actual, expected);
    }

    #[test]
    fn on_close_each_window_comes_out_as_it_was_last(steps in steps(), seed: u64, kind in kinds(), more_ms in prop::sample::select(vec![0i64, 1_000_000])) {
        let builder = StreamsBuilder::new("test");
        let updates = kind.sums(grouped(&builder), "updates", EmitStrategy::OnWindowUpdate, more_ms);
        let finals = kind.sums(grouped(&builder), "finals", EmitStrategy::OnWindowClose, more_ms);
        let keys = updates.key_serde().unwrap();
        let (all, last) = (Topic::new("all", keys.clone(), I64Be), Topic::new("last", keys, I64Be));
        updates.to_stream().to(&all);
        finals.to_stream().to(&last);
        let driver = driver(&builder.build().unwrap(), seed);
        let (mut all, mut last) = (driver.output(&all), driver.output(&last));

        let mut open: BTreeMap<Place, (Option<i64>, i64)> = BTreeMap::new();
        let mut now = i64::MIN;
        for step in &steps {
            pipe(&driver, step);
            let counts = !matches!(kind, Kind::Sliding) || step.value.is_some();
            if counts {
                now = now.max(step.time);
            }
            let mut expected = Vec::new();
            while let Some(first) = open.first_entry() {
                if first.key().0 + kind.closed_after() > now {
                    break;
                }
                let (place, (value, time)) = first.remove_entry();
                expected.push((place, value, time));
            }
            for (place, value, time) in all.read_records().into_iter().map(row) {
                match value {
                    Some(_) => open.insert(place, (value, time)),
                    None => open.remove(&place),
                };
            }
            let actual: Vec<Row> = last.read_records().into_iter().map(row).collect();
            prop_assert_eq!(actual, expected, "at {:?}", step);
        }
    }

    #[test]
    fn only_the_first_of_an_interval_goes_through(steps in steps(), seed: u64, interval in 1i64..40) {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        stream.deduplicate_by_key("by-key", interval).to(&numbers("keys"));
        let parity = |_: &str, n: &i64| (n % 5 != 0).then_some(n % 2);
        stream.deduplicate_by_key_value::<i64>("by-id", interval, I64Be, parity).to(&numbers("ids"));
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        let expected = |id: &dyn Fn(&Step) -> Option<(&'static str, i64)>| {
            let (mut begun, mut now, mut out) = (Vec::new(), i64::MIN, Vec::new());
            for step in &steps {
                now = now.max(step.time);
                let same = |(other, first): &(_, i64)| {
                    Some(*other) == id(step) && now - first <= interval && first - step.time <= interval
                };
                if begun.iter().any(same) {
                    continue;
                }
                let running = begun.iter().any(|(other, first)| Some(*other) == id(step) && now - first <= interval);
                if let (Some(id), true, false) = (id(step), now - step.time <= interval, running) {
                    begun.push((id, step.time));
                }
                out.push((step.key.to_owned(), step.value, step.time));
            }
            out
        };
        let plain = |name: &str| {
            let records = driver.output(&numbers(name)).read_records();
            records.into_iter().map(|r| (r.key.unwrap(), r.value, r.timestamp)).collect::<Vec<_>>()
        };
        prop_assert_eq!(plain("keys"), expected(&|step| Some((step.key, 0))));
        let id = |step: &Step| step.value.and_then(|n| Some((step.key, parity("", &n)?)));
        prop_assert_eq!(plain("ids"), expected(&id));
    }

    #[test]
    fn suppress_until_a_time_limit_holds_the_newest(steps in steps(), seed: u64, limit in 0i64..60, most in 1usize..5) {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("in"));
        table.to_stream().to(&numbers("all"));
        let buffer = BufferConfig::max_records(most as u64);
        table.suppress("held", Suppressed::until_time_limit(limit, buffer)).to_stream().to(&numbers("out"));
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        let plain = |name: &str| {
            let records = driver.output(&numbers(name)).read_records();
            records.into_iter().map(|r| (r.key.unwrap(), r.value, r.timestamp)).collect::<Vec<_>>()
        };
        let expected = suppressed(plain("all"), |_, time| time, limit, most, false);
        prop_assert_eq!(plain("out"), expected);
    }

    #[test]
    fn suppress_until_windows_close_gives_final_results(steps in steps(), seed: u64, kind in kinds()) {
        let builder = StreamsBuilder::new("test");
        let updates = kind.sums(grouped(&builder), "updates", EmitStrategy::OnWindowUpdate, 0);
        let keys = updates.key_serde().unwrap();
        let (all, last) = (Topic::new("all", keys.clone(), I64Be), Topic::new("last", keys, I64Be));
        updates.to_stream().to(&all);
        updates.suppress("held", Suppressed::until_window_closes(BufferConfig::unbounded())).to_stream().to(&last);
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        // The order of keys' bytes: key, then start; of sessions: key, end, start.
        let order = |(place, value, time): Row| {
            let (end, start, key) = place;
            ((key, if matches!(kind, Kind::Session) { end } else { start }, end, start), value, time)
        };
        let read = |topic| driver.output(topic).read_records().into_iter().map(row).map(order).collect();
        let wait = if matches!(kind, Kind::Session) { 20 } else { 15 };
        let expected = suppressed(read(&all), |key, _| key.2, wait, usize::MAX, true);
        let actual: Vec<_> = read(&last);
        prop_assert_eq!(actual, expected);
    }
}
