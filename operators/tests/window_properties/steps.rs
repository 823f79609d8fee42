//! Random input, and the windows it is put into.

use operators::{
    DriverOptions, EmitStrategy, Headers, I64Be, KGroupedStream, KTable, Materialized,
    SessionWindows, SlidingWindows, TestRecord, TimeWindows, Topic, Topology, TopologyTestDriver,
    Utf8, Windowed,
};
use proptest::prelude::*;

pub(crate) const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) key: &'static str,
    pub(crate) value: Option<i64>,
    pub(crate) time: i64,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::option::weighted(0.85, -9i64..10);
    let step = (prop::sample::select(&KEYS[..]), value, 0i64..60, -40i64..30);
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut clock = 0;
        let at = |(key, value, ahead, back): (&'static str, Option<i64>, i64, i64)| {
            clock += ahead / 4;
            Step { key, value, time: (clock + back).max(0) }
        };
        steps.into_iter().map(at).collect()
    })
}

pub(crate) fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

/// What happens beside the input is up to the seed.
pub(crate) fn driver(topology: &Topology, seed: u64) -> TopologyTestDriver {
    TopologyTestDriver::with(topology, DriverOptions::seeded(seed))
}

pub(crate) fn pipe(driver: &TopologyTestDriver, step: &Step) {
    let input = driver.input(&numbers("in"));
    input.try_pipe(Some(step.key), step.value.as_ref(), step.time, &Headers::new()).unwrap();
}

pub(crate) type Place = (i64, i64, String);

/// A result: its window by end, start and key, value and timestamp.
pub(crate) type Row = (Place, Option<i64>, i64);

pub(crate) fn row(record: TestRecord<Windowed<str>, i64>) -> Row {
    let key = record.key.unwrap();
    let place = (key.window.end, key.window.start, key.key().to_owned());
    (place, record.value, record.timestamp)
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Tumbling,
    Hopping,
    Sliding,
    Session,
}

impl Kind {
    /// How far stream time is beyond a window's end when it is closed.
    pub(crate) fn closed_after(self) -> i64 {
        match self {
            Self::Tumbling | Self::Hopping => 15,
            Self::Sliding => 15 + 1,
            Self::Session => 15 + 5 + 1,
        }
    }

    /// The retention that emission on close has at least.
    pub(crate) fn least_retention(self) -> i64 {
        match self {
            Self::Tumbling | Self::Hopping => 20 + 15,
            Self::Sliding => 3 * 20 + 15 + 2,
            Self::Session => 5 + 15 + 5 + 1,
        }
    }

    /// Sums of the windows, on update or on close. Both get one retention, so that they see the same rows.
    pub(crate) fn sums(
        self,
        grouped: KGroupedStream<str, i64>,
        name: &str,
        emit: EmitStrategy,
        more_ms: i64,
    ) -> KTable<Windowed<str>, i64> {
        let kept =
            Materialized::as_(name, Utf8, I64Be).retention_ms(self.least_retention() + more_ms);
        let sum = |a: &i64, b: &i64| a + b;
        let tumbling = TimeWindows::of_size(20).grace(15);
        match self {
            Self::Tumbling => grouped.windowed_by(tumbling).emit_strategy(emit).reduce(&kept, sum),
            Self::Hopping => {
                grouped.windowed_by(tumbling.advance_by(7)).emit_strategy(emit).reduce(&kept, sum)
            }
            Self::Sliding => {
                let windows = SlidingWindows::of_time_difference(20).grace(15);
                grouped.windowed_by(windows).emit_strategy(emit).reduce(&kept, sum)
            }
            Self::Session => {
                let windows = SessionWindows::of_gap(5).grace(15);
                grouped.windowed_by_sessions(windows).emit_strategy(emit).reduce(&kept, sum)
            }
        }
    }
}

pub(crate) fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Tumbling, Kind::Hopping, Kind::Sliding, Kind::Session])
}
