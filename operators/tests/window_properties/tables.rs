//! Tables behind windowed and suppressed tables: what reads their rows, and what counts their changes.

use std::collections::BTreeMap;

use operators::{
    BufferConfig, EmitStrategy, Headers, I64Be, KTable, Materialized, SessionWindows,
    SlidingWindows, StreamsBuilder, Suppressed, TimeWindows, Topic, Topology, TopologyTestDriver,
    UnlimitedWindows, Utf8, Windowed, Windows,
};
use proptest::prelude::*;

use crate::steps::{KEYS, Kind, Place, Step, driver, kinds, numbers, pipe, row, steps};

type Rows = BTreeMap<Place, i64>;

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

/// Writes a windowed table to `name`, and the sum of its rows by key, kept by their changes, to the store `<name>-sum`.
fn watch(table: &KTable<Windowed<str>, i64>, name: &str) -> Topic<Windowed<str>, i64> {
    let topic = Topic::new(name, table.key_serde().unwrap(), I64Be);
    table.to_stream().with_value_serde(I64Be).to(&topic);
    let by_key = table.group_by::<str, i64>(|window, n| (window.key().to_owned(), *n));
    by_key.reduce(&store(&format!("{name}-sum")), |sum, n| sum + n, |sum, n| sum - n);
    topic
}

/// The table that the records of a topic make.
fn last(driver: &TopologyTestDriver, topic: &Topic<Windowed<str>, i64>) -> Rows {
    let mut rows = Rows::new();
    for (place, value, _) in driver.output(topic).read_records().into_iter().map(row) {
        match value {
            Some(value) => rows.insert(place, value),
            None => rows.remove(&place),
        };
    }
    rows
}

fn check(
    driver: &TopologyTestDriver,
    topic: &Topic<Windowed<str>, i64>,
    expected: &Rows,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&last(driver, topic), expected, "rows of {}", topic.name());
    check_sums(driver, topic, expected)
}

/// The sums by key that are kept by the changes of a table with these rows.
fn check_sums(
    driver: &TopologyTestDriver,
    topic: &Topic<Windowed<str>, i64>,
    expected: &Rows,
) -> Result<(), TestCaseError> {
    let name = topic.name();
    for key in KEYS {
        let of_key = expected.iter().filter(|((_, _, other), _)| other == key);
        let sum: i64 = of_key.map(|(_, n)| n).sum();
        let kept = driver.table_row(&store(&format!("{name}-sum")), key).unwrap_or(0);
        prop_assert_eq!(kept, sum, "sum of {} of {}", key, name);
    }
    Ok(())
}

/// What the rows of windows are when a stream asks for them, of all that `rows` names.
fn read(
    driver: &TopologyTestDriver,
    asked: &Topic<Windowed<str>, i64>,
    rows: &Rows,
) -> BTreeMap<Place, Option<i64>> {
    let mut answers = driver.output(&Topic::new("answers", asked.key(), I64Be));
    answers.read_records();
    for (end, start, key) in rows.keys() {
        let window = operators::Window { start: *start, end: *end };
        let key = Windowed::new(key.as_str(), window);
        driver.input(asked).try_pipe(Some(&key), Some(&0), 0, &Headers::new()).unwrap();
    }
    let answers = answers.read_records().into_iter().map(row);
    answers.map(|(place, value, _)| (place, value.filter(|n| *n != i64::MIN))).collect()
}

/// Sums of the windows of all, and of those of even values; joined, filtered, kept, and asked for.
fn flow(
    kind: Kind,
    emit: EmitStrategy,
    more_ms: i64,
) -> (Topology, [Topic<Windowed<str>, i64>; 5]) {
    let builder = StreamsBuilder::new("test");
    let stream = builder.stream(&numbers("in"));
    let all = kind.sums(stream.group_by_key(), "all", emit, more_ms);
    let even = stream.filter(|_, n| n % 2 == 0).group_by_key();
    let even = kind.sums(even, "even", emit, more_ms);
    let keys = all.key_serde().unwrap();
    let asked = Topic::new("asked", keys.clone(), I64Be);
    let answers = builder.stream(&asked).left_join("ask", &all, |_, n| *n.unwrap_or(&i64::MIN));
    answers.with_value_serde(I64Be).to(&Topic::new("answers", keys.clone(), I64Be));
    let joined = all.left_join("joined", &even, |n, m| n * 100 + m.unwrap_or(&-1));
    let kept = Materialized::as_("kept", keys, I64Be);
    let small = all.filter(|_, n| *n < 5).map_values(|n| n * 2).materialize(&kept);
    let topics = [
        watch(&all, "all-out"),
        watch(&even, "even-out"),
        watch(&joined, "joined-out"),
        watch(&small, "small-out"),
        asked,
    ];
    (builder.build().unwrap(), topics)
}

#[test]
fn a_final_result_that_comes_again_is_counted_once() {
    let builder = StreamsBuilder::new("test");
    let grouped = builder.stream(&numbers("in")).group_by_key();
    let sums = Kind::Session.sums(grouped, "sums", EmitStrategy::OnWindowUpdate, 0);
    let closes = Suppressed::until_window_closes(BufferConfig::unbounded());
    let finals = watch(&sums.suppress("held", closes), "finals");
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    // The session closes at 36, and takes what comes at 36, as in Kafka Streams.
    for (key, value, time) in
        [("b", Some(1), 14), ("b", None, 16), ("a", None, 36), ("b", None, 16)]
    {
        pipe(&driver, &Step { key, value, time });
    }
    let out = driver.output(&finals).read_records().into_iter().map(row).collect::<Vec<_>>();
    let session = ((16, 14, "b".to_owned()), Some(1), 16);
    assert_eq!(out, [session.clone(), session]);
    assert_eq!(driver.table_row(&store("finals-sum"), "b"), Some(1));
}

/// Windows of every kind; `None`: sessions.
fn any_windows() -> impl Strategy<Value = Option<Windows>> {
    let tumbling = TimeWindows::of_size(20).grace(100_000);
    let sliding = SlidingWindows::of_time_difference(20).grace(100_000);
    let unlimited = UnlimitedWindows::of().start_on(10);
    let kinds = [tumbling.into(), tumbling.advance_by(7).into(), sliding.into(), unlimited.into()];
    prop::option::weighted(0.8, prop::sample::select(kinds.to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_follows_a_windowed_table_sees_its_rows_and_their_changes(steps in steps(), seed: u64, kind in kinds(), on_close: bool) {
        let emit = if on_close { EmitStrategy::OnWindowClose } else { EmitStrategy::OnWindowUpdate };
        let (topology, [all, even, joined, small, asked]) = flow(kind, emit, 1_000_000);
        let driver = driver(&topology, seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        let (all_rows, even_rows) = (last(&driver, &all), last(&driver, &even));
        check(&driver, &all, &all_rows)?;
        check(&driver, &even, &even_rows)?;
        let small_rows = all_rows.iter().filter(|(_, n)| **n < 5).map(|(place, n)| (place.clone(), n * 2)).collect();
        check(&driver, &small, &small_rows)?;
        // A session that came out may be joined with a later one; then its row isn't kept any more.
        if on_close && matches!(kind, Kind::Session) {
            return Ok(());
        }
        let join = |(place, n): (&Place, &i64)| (place.clone(), n * 100 + even_rows.get(place).unwrap_or(&-1));
        check(&driver, &joined, &all_rows.iter().map(join).collect())?;
        let expected: BTreeMap<_, _> = all_rows.iter().map(|(place, n)| (place.clone(), Some(*n))).collect();
        prop_assert_eq!(read(&driver, &asked, &all_rows), expected);
    }

    #[test]
    fn a_result_on_close_can_be_read_where_it_goes_however_far_time_went(steps in steps(), seed: u64, kind in kinds(), ahead in 0..500i64) {
        let builder = StreamsBuilder::new("test");
        let sums = kind.sums(builder.stream(&numbers("in")).group_by_key(), "sums", EmitStrategy::OnWindowClose, 0);
        let twice = sums.join("twice", &sums.map_values(|n| *n), |a, b| a + b);
        let topics = [(&sums, "once-out"), (&twice, "twice-out")].map(|(table, name)| {
            let topic = Topic::new(name, table.key_serde().unwrap(), I64Be);
            table.to_stream().with_value_serde(I64Be).to(&topic);
            topic
        });
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        // With the default retention this record's own window pushes out those that it closes.
        let last = steps.iter().map(|step| step.time).max().unwrap_or(0);
        pipe(&driver, &Step { key: "a", value: Some(1), time: last + ahead });
        let [once, twice] = topics.map(|topic| driver.output(&topic).read_records().into_iter().map(row).collect::<Vec<_>>());
        // Both sides of the join change with each result.
        let doubled = once.into_iter().map(|(place, n, time)| (place, n.map(|n| 2 * n), time));
        prop_assert_eq!(twice, doubled.flat_map(|row| [row.clone(), row]).collect::<Vec<_>>());
    }

    #[test]
    fn windows_that_expired_before_they_closed_are_counted_nowhere(steps in steps(), seed: u64, kind in kinds()) {
        let (topology, [all, even, ..]) = flow(kind, EmitStrategy::OnWindowUpdate, i64::MIN / 2);
        let retention = match kind {
            Kind::Tumbling | Kind::Hopping => 20 + 15,
            Kind::Sliding => 2 * 20 + 15,
            Kind::Session => 5 + 15,
        };
        let driver = driver(&topology, seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        for table in [&all, &even] {
            let (mut kept, mut newest) = (Rows::new(), i64::MIN);
            for (place, value, _) in driver.output(table).read_records().into_iter().map(row) {
                let time = if matches!(kind, Kind::Session) { place.0 } else { place.1 };
                if time <= newest.saturating_sub(retention) {
                    continue;
                }
                newest = newest.max(time);
                match value {
                    Some(value) => kept.insert(place, value),
                    None => kept.remove(&place),
                };
            }
            check_sums(&driver, table, &kept)?;
        }
    }

    #[test]
    fn what_follows_a_suppressed_table_sees_what_went_out(steps in steps(), seed: u64, limit in 0i64..60, most in 1u64..5) {
        let builder = StreamsBuilder::new("test");
        let buffer = BufferConfig::max_records(most);
        let held = builder.table("t", &numbers("in")).suppress("held", Suppressed::until_time_limit(limit, buffer));
        held.to_stream().to(&numbers("out"));
        let groups = held.group_by::<str, i64>(|key, n| (key.to_owned(), *n));
        groups.reduce(&store("sum"), |sum, n| sum + n, |sum, n| sum - n);
        let asked = builder.stream(&numbers("asked"));
        asked.left_join("ask", &held, |_, n| *n.unwrap_or(&i64::MIN)).to(&numbers("answers"));
        let driver = driver(&builder.build().unwrap(), seed);
        let (mut out, mut answers) = (driver.output(&numbers("out")), driver.output(&numbers("answers")));
        let mut rows = BTreeMap::new();
        for step in &steps {
            pipe(&driver, step);
            for (key, value) in out.read_key_values() {
                rows.insert(key.unwrap(), value);
            }
            let row = rows.get(step.key).copied().flatten();
            driver.input(&numbers("asked")).pipe_at(step.key, &0, 0);
            prop_assert_eq!(answers.read_value(), Some(row.unwrap_or(i64::MIN)), "{:?}", step);
            prop_assert_eq!(driver.table_row(&store("sum"), step.key).unwrap_or(0), row.unwrap_or(0), "{:?}", step);
        }
    }

    #[test]
    fn what_follows_final_results_counts_each_window_once(steps in steps(), seed: u64, kind in kinds()) {
        let builder = StreamsBuilder::new("test");
        let sums = kind.sums(builder.stream(&numbers("in")).group_by_key(), "sums", EmitStrategy::OnWindowUpdate, 0);
        let closes = Suppressed::until_window_closes(BufferConfig::unbounded());
        let finals = watch(&sums.suppress("held", closes), "finals");
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        check(&driver, &finals, &last(&driver, &finals))?;
    }

    #[test]
    fn cogrouped_windows_are_those_of_the_merged_streams(steps in steps(), seed: u64, windows in any_windows()) {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in")).filter(|_, _| true);
        let [odd, even] = [1, 0].map(|rest| stream.filter(move |_, n| n.rem_euclid(2) == rest).group_by_key());
        let both = odd.cogroup("odd", |_, n, sum: &i64| sum + n).cogroup("even", &even, |_, n, sum| sum + n);
        let (whole, merged, cogrouped) = (stream.group_by_key(), store("merged"), store("cogrouped"));
        let (merged, cogrouped) = match windows {
            Some(windows) => {
                let merged = whole.windowed_by(windows).reduce(&merged, |a, b| a + b);
                (merged, both.windowed_by(windows).aggregate(&cogrouped, || 0))
            }
            None => {
                let windows = SessionWindows::of_gap(5).grace(100_000);
                let merged = whole.windowed_by_sessions(windows).reduce(&merged, |a, b| a + b);
                (merged, both.windowed_by_sessions(windows).aggregate(&cogrouped, || 0, |_, a, b| a + b))
            }
        };
        let (merged, cogrouped) = (watch(&merged, "merged-out"), watch(&cogrouped, "cogrouped-out"));
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step: &Step| pipe(&driver, step));
        let rows = |topic| driver.output(topic).read_records().into_iter().map(row).collect::<Vec<_>>();
        prop_assert_eq!(rows(&cogrouped), rows(&merged));
        check(&driver, &cogrouped, &last(&driver, &merged))?;
    }

    #[test]
    fn an_unlimited_window_sums_up_all_since_its_start_whichever_streams_say_it(steps in steps(), seed: u64, start in 0..30i64) {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        let [odd, even] = [1, 0].map(|rest| stream.filter(move |_, n| n.rem_euclid(2) == rest).group_by_key());
        let windows = UnlimitedWindows::of().start_on(start);
        let sums = stream.group_by_key().windowed_by(windows).reduce(&store("sums"), |a, b| a + b);
        let both = odd.cogroup("odd", |_, n, sum: &i64| sum + n).cogroup("even", &even, |_, n, sum| sum - n);
        let differences = both.windowed_by(windows).aggregate(&store("differences"), || 0);
        let (sums, differences) = (watch(&sums, "sums-out"), watch(&differences, "differences-out"));
        let driver = driver(&builder.build().unwrap(), seed);
        steps.iter().for_each(|step| pipe(&driver, step));
        let (mut all, mut signed) = (Rows::new(), Rows::new());
        for step in steps.iter().filter(|step| step.time >= start) {
            let (Some(n), place) = (step.value, (i64::MAX, start, step.key.to_owned())) else { continue };
            *all.entry(place.clone()).or_insert(0) += n;
            *signed.entry(place).or_insert(0) += if n.rem_euclid(2) == 1 { n } else { -n };
        }
        check(&driver, &sums, &all)?;
        check(&driver, &differences, &signed)?;
    }
}
