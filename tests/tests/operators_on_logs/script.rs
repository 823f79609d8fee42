//! What is written: the same for each log and for the test driver, in one order.

use log::NewRecord;
use log::contract::Scene;
use operators::{DriverOptions, Headers, Topology, TopologyTestDriver};
use state_stores::partition::partition_for_key;

use crate::flow::{INPUTS, NO_BOX};

/// Of every topic.
pub(crate) const PARTITIONS: u32 = 3;
/// Acts of the script with events; before them, act 0 has the prices.
pub(crate) const ACTS: usize = 6;
/// In this act the cause of failures is mended before anything is written.
pub(crate) const MENDED_IN: usize = 4;
/// Events of an act.
pub(crate) const EVENTS: usize = 400;

const START_MS: i64 = 1_700_000_000_000;
const KEYS: u64 = 24;

/// A record to be written.
pub(crate) struct Line {
    /// Without the name of the scene.
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) time: i64,
}

/// The topic that lets parked keys go.
pub(crate) const CONTROL: &str = "application-stuck-control";

/// Numbers that say nothing about their place.
fn mixed(number: usize) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}

fn line(topic: &'static str, key: String, value: impl Into<Option<String>>, time: i64) -> Line {
    Line { topic, key, value: value.into(), time: START_MS + time }
}

/// All acts.
pub(crate) fn acts() -> Vec<Vec<Line>> {
    (0..=ACTS).map(act).collect()
}

/// In a transaction of their own, as one shows up in one partition after the other; and in the order of their times, for
/// a task takes the records of its inputs by time.
fn prices() -> Vec<Line> {
    let versions = (0..4).flat_map(|version| (0..KEYS).map(move |key| (key, version)));
    let price = |(key, version): (u64, u64)| {
        let price = format!("{}", 100 * key + version);
        line("prices", format!("k{key}"), price, version as i64 * 15_000)
    };
    versions.map(price).collect()
}

fn act(act: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if act == 0 {
        return prices();
    }
    if act == MENDED_IN {
        // Twice: the second time nothing is parked.
        for key in (0..KEYS).chain(0..KEYS) {
            lines.push(line(CONTROL, format!("k{key}"), "release".to_owned(), 0));
        }
    }
    for number in (act - 1) * EVENTS..act * EVENTS {
        let (dice, kind) = (mixed(number), ["L", "R", "A", "X"][number % 4]);
        // Out of order by up to 16 places.
        let time = number as i64 * 25 - (dice % 5) as i64 * 100;
        lines.push(line(
            "events",
            format!("k{}", dice / 5 % KEYS),
            format!("{kind}{number}"),
            time,
        ));
        if number % 8 == 0 {
            let order = (dice % 7 != 0).then(|| format!("u{}:{number}", dice / 7 % 12));
            lines.push(line("orders", format!("o{}", dice / 100 % 40), order, time));
        }
        if number % 10 == 0 {
            let to = ["a", "b", "c", "d"][number / 10 % 4];
            lines.push(line("mail", format!("k{}", dice / 11 % KEYS), to.to_owned(), time));
        }
        if number % 30 == 0 {
            let user = (dice % 9 != 0).then(|| format!("name{number}"));
            lines.push(line("users", format!("u{}", dice / 9 % 12), user, time));
        }
    }
    if act == ACTS {
        // Stream time goes on, so that all windows close.
        for key in (0..KEYS).map(|key| format!("k{key}")) {
            lines.push(line("events", key, "Z0".to_owned(), 1_000_000));
        }
    }
    lines
}

/// Writes some lines in one transaction.
pub(crate) fn write(scene: &Scene, lines: &[Line]) {
    let mut producer = scene.producer("script");
    producer.begin().unwrap();
    for line in lines {
        let partition = partition_for_key(line.key.as_bytes(), PARTITIONS);
        let record = NewRecord {
            key: Some(line.key.as_bytes()),
            value: line.value.as_deref().map(str::as_bytes),
            timestamp: line.time,
            headers: &[],
        };
        producer.send(&scene.name(line.topic), partition, record).unwrap();
    }
    producer.commit().unwrap();
}

/// How many of these stay on the log for good: commands don't.
pub(crate) fn lasting(lines: &[Line]) -> usize {
    lines.iter().filter(|line| line.topic != CONTROL).count()
}

/// How many lines that stay are written already.
pub(crate) fn written(scene: &Scene) -> usize {
    INPUTS.iter().map(|topic| scene.read_now(&scene.name(topic), PARTITIONS).len()).sum()
}

/// A driver of the same flow that has seen everything. `answer` is called after each line.
pub(crate) fn played(
    topology: &Topology,
    name: &dyn Fn(&str) -> String,
    mend: impl Fn(),
    answer: impl Fn(&TopologyTestDriver),
) -> TopologyTestDriver {
    let missing_topics = [name(NO_BOX).into()].into();
    let options =
        DriverOptions { partitions: PARTITIONS, missing_topics, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with(topology, options);
    for (act, lines) in acts().iter().enumerate() {
        if act == MENDED_IN {
            mend();
        }
        for line in lines {
            let (key, value) = (line.key.as_bytes(), line.value.as_deref().map(str::as_bytes));
            let topic = name(line.topic);
            driver.pipe_input(&topic, Some(key), value, line.time, &Headers::new()).unwrap();
            answer(&driver);
        }
    }
    driver
}
