//! Tumbling windows with a grace, for records that come up to several windows late. Which windows take a record is decided
//! by the highest timestamp before it in its partition, and by nothing else: not by what an aborted transaction had seen,
//! not by where a restart happened. The value of a window names the records it took, so each input shows what it led to.

use std::collections::BTreeMap;

use log::TopicSpec;
use operators::{Materialized, StreamsBuilder, TimeWindows, Topic, Topology, Utf8};
use state_stores::partition::partition_for_key;

use super::{PARTITIONS, text, topics};
use crate::simulation::cluster::Application;
use crate::simulation::run::{Scenario, Verdict};
use crate::simulation::world::World;

const SIZE_MS: i64 = 50;
const GRACE_MS: i64 = 30;
const KEYS: u64 = 8;

/// How much older than its arrival a record is: in time, in the grace, too late, and in between.
const LATE_MS: [i64; 8] = [0, 0, 5, 25, 45, 70, 100, 400];

/// See the module page.
#[derive(Debug, Default)]
pub struct Windows {
    appended: i64,
    /// The highest timestamp by partition.
    stream_time: BTreeMap<u32, i64>,
    expected: Results,
}

/// What each window comes to, by key and start, in order.
type Results = BTreeMap<(String, i64), Vec<String>>;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("windowed");
    let taken = builder
        .stream::<str, str>(&Topic::new("readings", Utf8, Utf8))
        .group_by_key()
        .windowed_by(TimeWindows::of_size(SIZE_MS).grace(GRACE_MS))
        .aggregate(
            &Materialized::<str, String>::as_("taken", Utf8, Utf8),
            String::new,
            |_, number, taken| with(taken, number),
        );
    let key = taken.key_serde().expect("a windowed table knows how its keys are written");
    taken.to_stream().to(&Topic::new("windows", key, Utf8));
    builder.build().unwrap()
}

fn with(taken: &str, number: &str) -> String {
    if taken.is_empty() { number.to_owned() } else { format!("{taken} {number}") }
}

impl Windows {
    /// What the record leads to.
    fn expect(&mut self, key: &str, number: &str, timestamp: i64) {
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        let highest = self.stream_time.entry(partition).or_insert(timestamp);
        *highest = timestamp.max(*highest);
        let start = timestamp - timestamp.rem_euclid(SIZE_MS);
        if start + SIZE_MS + GRACE_MS > *highest {
            let results = self.expected.entry((key.to_owned(), start)).or_default();
            let after = with(results.last().map_or("", String::as_str), number);
            results.push(after);
        }
    }

    fn results(world: &World) -> Results {
        let mut results = Results::new();
        for (mut key, taken) in world.committed("windows") {
            let start = key.split_off(key.len() - 8);
            let start = i64::from_be_bytes(start.try_into().unwrap());
            results.entry((text(key), start)).or_default().push(text(taken));
        }
        results
    }
}

impl Scenario for Windows {
    fn applications(&self) -> Vec<Application> {
        vec![Application::new(topology())]
    }

    fn topics(&self) -> Vec<TopicSpec> {
        topics(&["readings", "windows"])
    }

    fn arrive(&mut self, world: &World, number: u64) {
        let key = format!("k{}", number % KEYS);
        let late = LATE_MS[(number / KEYS) as usize % LATE_MS.len()];
        let (timestamp, number) = (world.now() - late, self.appended.to_string());
        world.append_at(timestamp, "readings", key.as_bytes(), number.as_bytes());
        self.appended += 1;
        self.expect(&key, &number, timestamp);
    }

    fn check(&mut self, world: &World) -> Verdict {
        let results = Self::results(world);
        for (window, told) in &results {
            let due = self.expected.get(window).map_or(&[][..], Vec::as_slice);
            if !due.starts_with(told) {
                return Verdict::Violated(format!("{window:?} took {told:?} instead of {due:?}"));
            }
        }
        if results == self.expected {
            return Verdict::Settled;
        }
        let open = self.expected.iter().find(|(window, due)| results.get(*window) != Some(*due));
        Verdict::Waiting(format!("of {} windows, {open:?} isn't there", self.expected.len()))
    }
}
