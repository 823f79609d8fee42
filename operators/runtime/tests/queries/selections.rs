//! What can be selected: keys, ranges, prefixes, windows, sessions.

use std::ops::ControlFlow;

use operators::{StreamsBuilder, TimeWindows, Window, Windowed};
use operators_runtime::{Answer, StoreQuery};
use state_stores::{Direction, Keys, RowTime, Select};

use crate::ring::{PARTITIONS, Ring, of_key, partition_of};
use crate::{MINUTE, NOON, counts, kept, minutes, words};

fn keys(answer: &Answer) -> Vec<&str> {
    answer.rows.iter().map(|row| row.key.as_str().unwrap()).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn ranges_and_prefixes_come_in_both_directions_with_a_limit() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["ab", "a", "b", "abc", "c", "ac", "a\0"]);
    ring.settle();
    let ask = |query: StoreQuery| ring.queries[0].ask("counts", &query).unwrap();
    assert_eq!(keys(&ask(StoreQuery::default())), ["a", "a\0", "ab", "abc", "ac", "b", "c"]);
    let range = StoreQuery { from: text("ab"), to: text("b"), ..StoreQuery::default() };
    assert_eq!(keys(&ask(range.clone())), ["ab", "abc", "ac", "b"], "both ends are in");
    let reverse = StoreQuery { reverse: true, limit: Some(2), ..range };
    let answer = ask(reverse);
    assert_eq!((keys(&answer), answer.more), (vec!["b", "ac"], true));
    let prefix = StoreQuery { prefix: text("ab"), ..StoreQuery::default() };
    assert_eq!(keys(&ask(prefix)), ["ab", "abc"]);
    let answer = ask(of_key("none"));
    assert!(answer.rows.is_empty() && !answer.more);
    let none = StoreQuery { from: text("b"), to: text("a"), ..StoreQuery::default() };
    assert!(ask(none).rows.is_empty());
}

#[test]
fn windows_of_a_key_between_times_until_they_expire() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["b"]);
    for minute in 0..5 {
        ring.append(NOON + minute * MINUTE, &["a", "a"]);
    }
    ring.settle();
    let starts = |query: StoreQuery| {
        let answer = ring.queries[0].ask("minutes", &query).unwrap();
        let window = |row: &operators_runtime::Row| (row.window.unwrap().start_ms - NOON) / MINUTE;
        answer.rows.iter().map(window).collect::<Vec<_>>()
    };
    let between = |from: i64, to: i64| {
        let (time_from, time_to) = (Some(NOON + from * MINUTE), Some(NOON + to * MINUTE));
        StoreQuery { time_from, time_to, ..of_key("a") }
    };
    assert_eq!(starts(of_key("a")), [0, 1, 2, 3, 4]);
    assert_eq!(starts(between(1, 3)), [1, 2, 3]);
    assert_eq!(starts(StoreQuery { reverse: true, ..between(1, 3) }), [3, 2, 1]);
    assert_eq!(starts(StoreQuery { key: None, ..between(0, 0) }), [0, 0], "of a and b");
    let answer = ring.queries[0].ask("minutes", &between(1, 1)).unwrap();
    let row = &answer.rows[0];
    assert_eq!(row.window.unwrap().end_ms, Some(NOON + 2 * MINUTE));
    assert_eq!((row.value.as_i64(), row.timestamp_ms), (Some(2), Some(NOON + MINUTE)));

    ring.append(NOON + 62 * MINUTE, &["a"]);
    ring.settle();
    let answer = ring.queries[0].ask("minutes", &between(0, 9)).unwrap();
    let starts = answer.rows.iter().map(|row| (row.window.unwrap().start_ms - NOON) / MINUTE);
    assert_eq!(starts.collect::<Vec<_>>(), [3, 4], "what has expired is not shown");
}

#[test]
fn a_row_of_a_window_lies_where_its_key_does() {
    let mut ring = Ring::of(&["one"]);
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    ring.append(NOON, &all);
    ring.settle();
    let said = StreamsBuilder::new("other").stream(&words());
    let table = said.group_by_key().windowed_by(TimeWindows::of_size(MINUTE)).count(&minutes());
    let mut typed = ring.queries[0].typed(&kept(table.key_serde().unwrap())).unwrap();
    for word in all {
        let key: String = [word.as_bytes(), &NOON.to_be_bytes()]
            .concat()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let answer = ring.queries[0].ask("kept", &of_key(&format!("0x{key}"))).unwrap();
        assert_eq!(answer.rows.len(), 1, "{word}");
        assert_eq!(
            (answer.rows[0].partition, &answer.rows[0].value),
            (partition_of(word), &1.into())
        );
        let window = Window { start: NOON, end: NOON + MINUTE };
        assert_eq!(typed.get(&Windowed::new(word, window)).unwrap(), Some(1), "{word}");
    }
}

#[test]
fn sessions_that_overlap_a_time() {
    let mut ring = Ring::of(&["one"]);
    for second in [0, 30, 200, 400] {
        ring.append(NOON + second * 1_000, &["a"]);
    }
    ring.settle();
    let ask = |time_from: i64, time_to: i64| {
        let second = |second: i64| Some(NOON + second * 1_000);
        let (time_from, time_to) = (second(time_from), second(time_to));
        let query = StoreQuery { time_from, time_to, ..of_key("a") };
        let answer = ring.queries[0].ask("sessions", &query).unwrap();
        let session = |row: &operators_runtime::Row| {
            let times = row.window.unwrap();
            let seconds = |ms: i64| (ms - NOON) / 1_000;
            (seconds(times.start_ms), seconds(times.end_ms.unwrap()), row.value.as_i64().unwrap())
        };
        answer.rows.iter().map(session).collect::<Vec<_>>()
    };
    assert_eq!(ask(0, 500), [(0, 30, 2), (200, 200, 1), (400, 400, 1)]);
    assert_eq!(ask(20, 200), [(0, 30, 2), (200, 200, 1)]);
    assert_eq!(ask(31, 199), []);
}

#[test]
fn a_long_range_is_read_in_slices_without_a_gap() {
    let mut ring = Ring::of(&["one"]);
    let words: Vec<String> = (0..2_500).map(|number| format!("w{number:04}")).collect();
    ring.append(NOON, &words.iter().map(String::as_str).collect::<Vec<_>>());
    ring.settle();
    for direction in [Direction::Forward, Direction::Reverse] {
        let select = Select { keys: Keys::Prefix(b"w".to_vec()), times: 0..=0, direction };
        let mut typed = ring.queries[0].typed(&counts()).unwrap();
        let mut seen = Vec::new();
        for partition in 0..PARTITIONS {
            let before = seen.len();
            let visit = |word: &str, time: Option<RowTime>, count: &i64| {
                assert_eq!((time, *count), (None, 1));
                seen.push(word.to_owned());
                ControlFlow::Continue(())
            };
            typed.visit(partition, &select, visit).unwrap();
            let ordered = seen[before..].windows(2).all(|pair| match direction {
                Direction::Forward => pair[0] < pair[1],
                Direction::Reverse => pair[0] > pair[1],
            });
            assert!(ordered);
        }
        seen.sort();
        assert_eq!(seen, words);
    }
}

#[test]
fn an_answer_is_bounded_in_bytes_whatever_the_number_of_partitions() {
    let mut ring = Ring::of(&["one"]);
    let words: Vec<String> =
        (0..100).map(|number| format!("{number:03}{}", "x".repeat(200_000))).collect();
    ring.append(NOON, &words.iter().map(String::as_str).collect::<Vec<_>>());
    ring.settle();
    let (mut seen, mut from) = (Vec::new(), None);
    while seen.len() < words.len() {
        let query = StoreQuery { from: from.take(), limit: Some(1_000), ..StoreQuery::default() };
        let answer = ring.queries[0].ask("counts", &query).unwrap();
        let bytes: usize = keys(&answer).into_iter().map(str::len).sum();
        assert!(bytes < 10 << 20, "{bytes}");
        assert!(!answer.rows.is_empty());
        seen.extend(keys(&answer).into_iter().map(|key| key[..3].to_owned()));
        from = answer.rows.last().map(|row| format!("{}\0", row.key.as_str().unwrap()));
    }
    assert_eq!(seen, (0..100).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let ring = Ring::of(&["one"]);
    let default = StoreQuery::default;
    for (store, query, reason) in [
        ("counts", StoreQuery { prefix: text("a"), ..of_key("a") }, "give one of a key, a prefix"),
        ("counts", StoreQuery { from: text("a"), ..of_key("a") }, "give one of a key, a prefix"),
        ("counts", StoreQuery { time_from: Some(0), ..of_key("a") }, "has no windows"),
        (
            "counts",
            StoreQuery { limit: Some(0), ..default() },
            "limit=0 is out of bounds: expected 1 to 1000",
        ),
        ("counts", StoreQuery { limit: Some(1_001), ..default() }, "expected 1 to 1000"),
        ("counts", StoreQuery { wait_ms: Some(10_001), ..default() }, "expected 0 to 10000"),
        (
            "counts",
            StoreQuery { partitions: text("4"), ..default() },
            "has 4 partitions: there is no 4",
        ),
        (
            "counts",
            StoreQuery { partitions: text("x"), ..default() },
            "expected numbers separated by commas",
        ),
    ] {
        let refused = ring.queries[0].ask(store, &query).unwrap_err();
        assert_eq!((refused.code(), refused.status()), ("query_invalid", 422));
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}
