//! `cogroup` over windows and sessions: one row per key and window.
//!
//! Each stream has a stream time of its own: what is late for one may not be for another.

use std::sync::Arc;

use super::cogroup::{CogroupedKStream, Init, Rows};
use super::session_aggregate::{self, merging};
use super::window_aggregate;
use super::windowed_table::WindowedTable;
use crate::materialized::Materialized;
use crate::stream::Serdes;
use crate::stream_time::StreamTime;
use crate::table::KTable;
use crate::window_kinds::{EmitStrategy, Windows};
use crate::windowed::Windowed;
use crate::windows::SessionWindows;

/// Grouped streams cut into windows: tumbling, hopping, sliding or unlimited.
#[derive(Debug)]
pub struct TimeWindowedCogroupedKStream<K: ?Sized, A> {
    group: CogroupedKStream<K, A>,
    windows: Windows,
}

/// Grouped streams cut into sessions of activity.
#[derive(Debug)]
pub struct SessionWindowedCogroupedKStream<K: ?Sized, A> {
    group: CogroupedKStream<K, A>,
    windows: SessionWindows,
}

impl<K, A> CogroupedKStream<K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: Clone + Send + 'static,
{
    /// Combines per key and window: [`TimeWindows`](crate::TimeWindows), [`SlidingWindows`](crate::SlidingWindows) or
    /// [`UnlimitedWindows`](crate::UnlimitedWindows).
    pub fn windowed_by(self, windows: impl Into<Windows>) -> TimeWindowedCogroupedKStream<K, A> {
        TimeWindowedCogroupedKStream { group: self, windows: windows.into() }
    }

    /// Combines per key and session.
    pub fn windowed_by_sessions(
        self,
        windows: SessionWindows,
    ) -> SessionWindowedCogroupedKStream<K, A> {
        SessionWindowedCogroupedKStream { group: self, windows }
    }

    /// The table of windows that the streams' nodes make.
    fn windowed(
        &self,
        table: &WindowedTable<'_, K, A>,
        init: Init<A>,
        rows: &Rows<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let (materialized, name) = (table.materialized, &table.materialized.name);
        let nodes = self.nodes(materialized, init, rows);
        let node = self.meet::<Windowed<K>>(name, &nodes);
        let mut graph = self.flow.borrow_mut();
        graph.declare(node, materialized.declare(table.store));
        for member in &nodes {
            let time = StreamTime::declare(&graph.nodes[member.0].name);
            graph.declare(*member, time);
        }
        graph.nodes[node.0].closes_after_ms = table.closes_after_ms;
        graph.nodes[node.0].windows = Some(table.windows);
        drop(graph);
        let key = Some(Arc::clone(&table.serde));
        let serdes = Serdes { key, value: Some(Arc::clone(&materialized.value)) };
        KTable::new(&self.flow, node, Some(table.view()), serdes)
    }
}

impl<K, A> TimeWindowedCogroupedKStream<K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: Clone + Send + 'static,
{
    /// One aggregate per key and window over all streams, which begins as `init()`. Records without
    /// key (in sliding windows: or value) are dropped and counted. Each stream has a stream time of its own.
    pub fn aggregate(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        let update = EmitStrategy::OnWindowUpdate;
        let table = window_aggregate::described("cogroup", materialized, self.windows, update);
        self.group.windowed(&table, Arc::new(init), &Rows::Windowed(self.windows))
    }
}

impl<K, A> SessionWindowedCogroupedKStream<K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: Clone + Send + 'static,
{
    /// One aggregate per key and session over all streams, which begins as `init()`; `merge` makes one of two sessions
    /// that a record joins, beginning with `merge(init(), first)`. Records without key are dropped and counted. Each
    /// stream has a stream time of its own.
    pub fn aggregate(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        merge: impl Fn(&K, &A, &A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        let update = EmitStrategy::OnWindowUpdate;
        let table = session_aggregate::described("cogroup", materialized, self.windows, update);
        let init: Init<A> = Arc::new(init);
        let first = Arc::clone(&init);
        let rows = Rows::Sessions(self.windows, merging(move || first(), merge));
        self.group.windowed(&table, init, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::CogroupedKStream;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::{
        KTable, Materialized, SessionWindows, SlidingWindows, StreamsBuilder, Topic,
        TopologyTestDriver, Windowed,
    };

    /// The results of two streams of numbers in one kind of windows: key, window, row.
    fn windowed(
        make: impl FnOnce(CogroupedKStream<str, i64>) -> KTable<Windowed<str>, i64>,
        input: &[(&str, i64, i64)],
    ) -> Vec<(i64, i64, Option<i64>)> {
        let builder = StreamsBuilder::new("test");
        let [plus, minus] =
            ["plus", "minus"].map(|name| builder.stream(&numbers(name)).group_by_key());
        let both = plus.cogroup("plus", |_, n, sum: &i64| sum + n);
        let both = both.cogroup("minus", &minus, |_, n, sum| sum - n);
        let table = make(both);
        let out = Topic::new("out", table.key_serde().unwrap(), I64Be);
        table.to_stream().to(&out);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (topic, value, time) in input {
            driver.input(&numbers(topic)).pipe_at("k", value, *time);
            driver.restart();
        }
        let row = |r: crate::TestRecord<Windowed<str>, i64>| {
            let window = r.key.unwrap().window;
            (window.start, window.end, r.value)
        };
        driver.output(&out).read_records().into_iter().map(row).collect()
    }

    #[test]
    fn sessions_of_several_streams_are_merged() {
        let store = Materialized::<str, i64>::as_("all", Utf8, I64Be);
        let sessions = |group: CogroupedKStream<str, i64>| {
            let windows = SessionWindows::of_gap(10).grace(100);
            group.windowed_by_sessions(windows).aggregate(&store, || 1000, |_, a, b| a + b)
        };
        let out = windowed(sessions, &[("plus", 1, 0), ("minus", 2, 20), ("plus", 4, 10)]);
        let expected = [
            (0, 0, Some(1001)),
            (20, 20, Some(998)),
            (0, 0, None),
            (20, 20, None),
            (0, 20, Some(3003)),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn sliding_windows_hold_what_several_streams_say() {
        let store = Materialized::<str, i64>::as_("all", Utf8, I64Be);
        let sliding = |group: CogroupedKStream<str, i64>| {
            let windows = SlidingWindows::of_time_difference(10).grace(100);
            group.windowed_by(windows).aggregate(&store, || 0)
        };
        let out = windowed(sliding, &[("plus", 1, 20), ("minus", 2, 25)]);
        assert_eq!(out, [(10, 20, Some(1)), (21, 31, Some(-2)), (15, 25, Some(-1))]);
    }
}
