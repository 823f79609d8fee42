//! `cogroup`: several grouped streams, each with an aggregator of its own, into one row per key (D11, KIP-150).
//!
//! ```text
//! first stream ──→ <name>-0 ─┐
//! second stream ─→ <name>-1 ─┴─→ <name>      all on the store <name>
//! ```
//!
//! A stream whose key may have changed is repartitioned under its node's name. In windows each stream has a stream time
//! of its own: what is late for one may not be for another.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::StoreKind;

use super::aggregate::{Update, building, from_init, keyed, or_kept};
use super::group::KGroupedStream;
use super::session_aggregate::{self, Combine, Merge, merging};
use super::window_aggregate;
use super::windowed_table::WindowedTable;
use crate::assembly::Assembly;
use crate::builder::Flow;
use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::materialized::Materialized;
use crate::stream::Serdes;
use crate::stream_time::StreamTime;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::View;
use crate::window_kinds::{EmitStrategy, Windows};
use crate::windowed::Windowed;
use crate::windows::SessionWindows;

type Init<A> = Arc<dyn Fn() -> A + Send + Sync>;

/// Which records make up a row.
enum Rows<K: ?Sized, A> {
    Keyed,
    Windowed(Windows),
    Sessions(SessionWindows, Merge<K, A>),
}

/// Adds the node of this name for one of the streams, whose type of values is forgotten.
type Member<K, A> = Rc<dyn Fn(&str, &Materialized<K, A>, &Init<A>, &Rows<K, A>) -> NodeId>;

/// Streams grouped by one type of key, on the way to one aggregate.
pub struct CogroupedKStream<K: ?Sized, A> {
    flow: Flow,
    members: Vec<Member<K, A>>,
}

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

impl<K: ?Sized, A> std::fmt::Debug for CogroupedKStream<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CogroupedKStream").field("streams", &self.members.len()).finish()
    }
}

/// Where the members' results meet.
struct Meet<K: ?Sized, A>(TableEdge<K, A>);

impl<K: ?Sized, A> Changes<K, A> for Meet<K, A> {
    fn change(&mut self, change: Change<'_, K, A>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.change(change, ctx)
    }

    fn wants_old(&self) -> bool {
        self.0.wants_old()
    }
}

impl<K, V> KGroupedStream<K, V>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
{
    /// Begins an aggregate that several streams add to; this one by `aggregate`, whose result is an
    /// `A`, or an `Option<A>` where `None` deletes the row. Records without value change nothing.
    pub fn cogroup<A: Clone + Send + 'static, R: Into<Option<A>>>(
        &self,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let none = CogroupedKStream { flow: Rc::clone(&self.stream.flow), members: Vec::new() };
        none.cogroup(self, aggregate)
    }

    /// As [`Self::cogroup`], seeing in windows records without value, too.
    pub fn cogroup_records<A: Clone + Send + 'static, R: Into<Option<A>>>(
        &self,
        aggregate: impl Fn(&K, Option<&V>, &A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let none = CogroupedKStream { flow: Rc::clone(&self.stream.flow), members: Vec::new() };
        none.cogroup_records(self, aggregate)
    }
}

impl<K, A> CogroupedKStream<K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: Clone + Send + 'static,
{
    /// One more stream, with an aggregator of its own.
    pub fn cogroup<V: ?Sized + 'static, R: Into<Option<A>>>(
        self,
        group: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> Self {
        let aggregate = Arc::new(aggregate);
        self.with(group, move |init| {
            let (aggregate, init) = (Arc::clone(&aggregate), Arc::clone(init));
            let add = move |key: &K, value: &V, row: &A| aggregate(key, value, row);
            Arc::new(or_kept(from_init(move || init(), add)))
        })
    }

    /// As [`Self::cogroup`], seeing in windows records without value, too.
    pub fn cogroup_records<V: ?Sized + 'static, R: Into<Option<A>>>(
        self,
        group: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, Option<&V>, &A) -> R + Send + Sync + 'static,
    ) -> Self {
        let aggregate = Arc::new(aggregate);
        self.with(group, move |init| {
            let (aggregate, init) = (Arc::clone(&aggregate), Arc::clone(init));
            Arc::new(move |key, value, row: Option<&A>| match row {
                Some(row) => aggregate(key, value, row).into(),
                None => aggregate(key, value, &init()).into(),
            })
        })
    }

    fn with<V: ?Sized + 'static>(
        mut self,
        group: &KGroupedStream<K, V>,
        update: impl Fn(&Init<A>) -> Update<K, V, A> + 'static,
    ) -> Self {
        let stream = group.stream.clone();
        if !Rc::ptr_eq(&self.flow, &stream.flow) {
            let problem = TopologyError::TwoBuilders { operator: "cogroup".to_owned() };
            self.flow.borrow_mut().problems.push(problem);
            return self;
        }
        self.members.push(Rc::new(move |name, store, init, rows| {
            let update = update(init);
            let build = match rows {
                Rows::Keyed => building(store, update),
                Rows::Windowed(windows) => {
                    window_aggregate::building(store, name, *windows, (None, update))
                }
                Rows::Sessions(windows, merge) => {
                    let combine = Combine { update, merge: Arc::clone(merge) };
                    session_aggregate::building(store, name, *windows, (None, combine))
                }
            };
            let input = keyed(&stream, store, name);
            let kind = NodeKind::Operator("cogroup-stream");
            input.flow.borrow_mut().add(Some(name), kind, &[input.node], build)
        }));
        self
    }

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

    /// One aggregate per key over all streams, which begins as `init()`. Records without key or
    /// value are dropped and counted.
    pub fn aggregate(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
    ) -> KTable<K, A> {
        let nodes = self.nodes(materialized, Arc::new(init), &Rows::Keyed);
        let node = self.meet::<K>(&materialized.name, &nodes);
        self.flow.borrow_mut().declare(node, materialized.declare(StoreKind::KeyValue));
        let (view, serdes) = (View::of(materialized), Serdes::of_store(materialized));
        KTable::new(&self.flow, node, Some(view), serdes)
    }

    /// One node per stream, named after the result and the stream's place, on the result's store.
    fn nodes(
        &self,
        materialized: &Materialized<K, A>,
        init: Init<A>,
        rows: &Rows<K, A>,
    ) -> Vec<NodeId> {
        let name = &materialized.name;
        let members = self.members.iter().enumerate().map(|(place, member)| {
            let node = member(&format!("{name}-{place}"), materialized, &init, rows);
            self.flow.borrow_mut().nodes[node.0].stores.push(Arc::clone(name));
            node
        });
        members.collect()
    }

    /// The node where `nodes` meet.
    fn meet<KO: ?Sized + 'static>(&self, name: &str, nodes: &[NodeId]) -> NodeId {
        let build = |assembly: &mut Assembly<'_>, id| {
            let next = assembly.table_downstream::<KO, A>(id);
            assembly.install_table::<KO, A>(id, Meet(next));
        };
        let kind = NodeKind::Operator("cogroup");
        self.flow.borrow_mut().add(Some(name), kind, nodes, Box::new(build))
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
        for (place, member) in nodes.iter().enumerate() {
            graph.declare(*member, StreamTime::declare(&format!("{name}-{place}")));
        }
        graph.nodes[node.0].closes_after_ms = table.closes_after_ms;
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
    use crate::testing::{numbers, pair};
    use crate::{
        DriverOptions, KTable, Materialized, SessionWindows, SlidingWindows, StreamsBuilder, Topic,
        TopologyError, TopologyTestDriver, Windowed,
    };

    #[test]
    fn streams_of_other_keys_and_types_meet_in_one_row() {
        let store = Materialized::<str, i64>::as_("all", Utf8, I64Be);
        let builder = StreamsBuilder::new("test");
        let plus = builder.stream(&numbers("plus")).group_by_key();
        let words = builder.stream(&numbers("words")).map_values(|n| n.to_string());
        let words = words.with_value_serde(Utf8).group_by::<str>(|_, word| word[..1].to_owned());
        let both = plus.cogroup(|_, n, sum| sum + n);
        let all = both.cogroup(&words, |_, word, sum| (word.len() > 1).then_some(sum * 10));
        all.aggregate(&store, || 1).to_stream().to(&numbers("out"));
        let topology = builder.build().unwrap();
        let topics = topology.internal_topics();
        assert!(topics.iter().any(|topic| &*topic.name == "test-all-1-repartition"), "{topics:?}");
        let options = DriverOptions { partitions: 3, ..Default::default() };
        let driver = TopologyTestDriver::with(&topology, options);
        driver.input(&numbers("plus")).pipe("7", &4);
        driver.input(&numbers("words")).pipe("other key", &71);
        driver.restart();
        driver.input(&numbers("words")).pipe("another", &7);
        driver.input(&numbers("plus")).pipe("7", &1);
        let expected = [pair("7", 5), pair("7", 50), (Some("7".into()), None), pair("7", 2)];
        assert_eq!(driver.output(&numbers("out")).read_key_values(), expected);
    }

    /// The results of two streams of numbers in one kind of windows: key, window, row.
    fn windowed(
        make: impl FnOnce(CogroupedKStream<str, i64>) -> KTable<Windowed<str>, i64>,
        input: &[(&str, i64, i64)],
    ) -> Vec<(i64, i64, Option<i64>)> {
        let builder = StreamsBuilder::new("test");
        let [plus, minus] =
            ["plus", "minus"].map(|name| builder.stream(&numbers(name)).group_by_key());
        let both = plus.cogroup(|_, n, sum: &i64| sum + n).cogroup(&minus, |_, n, sum| sum - n);
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

    #[test]
    fn streams_of_two_builders_are_refused() {
        let (one, other) = (StreamsBuilder::new("one"), StreamsBuilder::new("other"));
        let foreign = other.stream(&numbers("in")).group_by_key();
        let group = one.stream(&numbers("in")).group_by_key();
        group.cogroup::<i64, i64>(|_, n, sum| sum + n).cogroup(&foreign, |_, n, sum| sum - n);
        let error = one.build().unwrap_err();
        assert_eq!(error, TopologyError::TwoBuilders { operator: "cogroup".into() });
    }
}
