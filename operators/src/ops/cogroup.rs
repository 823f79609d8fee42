//! `cogroup`: several grouped streams, each with an aggregator of its own, into one row per key (D11, KIP-150).
//!
//! ```text
//! stream "a" ─→ <name>-a ─┐
//! stream "b" ─→ <name>-b ─┴─→ <name>      all on the store <name>
//! ```
//!
//! Invariant: what belongs to one of the streams, its stream time and the topic that repartitions it, has that stream's
//! name. So streams may change places, come and go, and none gets what was another's.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::StoreKind;

use super::aggregate::{Update, building, from_init, or_kept};
use super::group::KGroupedStream;
use super::session_aggregate::{self, Combine, Merge};
use super::table_nodes::keyed;
use super::window_aggregate;
use crate::aggregate_result::AggregateResult;
use crate::assembly::Assembly;
use crate::builder::Flow;
use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::materialized::Materialized;
use crate::stream::Serdes;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::View;
use crate::window_kinds::Windows;
use crate::windows::SessionWindows;

pub(super) type Init<A> = Arc<dyn Fn() -> A + Send + Sync>;

/// Which records make up a row.
pub(super) enum Rows<K: ?Sized, A> {
    Keyed,
    Windowed(Windows),
    Sessions(SessionWindows, Merge<K, A>),
}

/// Adds the node of this name for one of the streams, whose type of values is forgotten.
type Member<K, A> = Rc<dyn Fn(&str, &Materialized<K, A>, &Init<A>, &Rows<K, A>) -> NodeId>;

/// Streams grouped by one type of key, on the way to one aggregate.
pub struct CogroupedKStream<K: ?Sized, A> {
    pub(super) flow: Flow,
    /// By name.
    members: Vec<(Arc<str>, Member<K, A>)>,
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
    /// Begins an aggregate that several streams add to; this one, called `name`, by `aggregate`, whose result is an
    /// `A`, or an `Option<A>` where `None` deletes the row. Records without value change nothing.
    ///
    /// The name tells the streams of one aggregate apart: state and topics of a stream are called
    /// `<name of the result>-<name>`.
    pub fn cogroup<A: Clone + Send + 'static, R: AggregateResult<A>>(
        &self,
        name: &str,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let none = CogroupedKStream { flow: Rc::clone(&self.stream.flow), members: Vec::new() };
        none.cogroup(name, self, aggregate)
    }

    /// As [`Self::cogroup`], seeing in windows records without value, too.
    pub fn cogroup_records<A: Clone + Send + 'static, R: AggregateResult<A>>(
        &self,
        name: &str,
        aggregate: impl Fn(&K, Option<&V>, &A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let none = CogroupedKStream { flow: Rc::clone(&self.stream.flow), members: Vec::new() };
        none.cogroup_records(name, self, aggregate)
    }
}

impl<K, A> CogroupedKStream<K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: Clone + Send + 'static,
{
    /// One more stream, with a name and an aggregator of its own.
    pub fn cogroup<V: ?Sized + 'static, R: AggregateResult<A>>(
        self,
        name: &str,
        group: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> Self {
        let aggregate = Arc::new(aggregate);
        self.with(name, group, move |init| {
            let (aggregate, init) = (Arc::clone(&aggregate), Arc::clone(init));
            let add = move |key: &K, value: &V, row: &A| aggregate(key, value, row);
            Arc::new(or_kept(from_init(move || init(), add)))
        })
    }

    /// As [`Self::cogroup`], seeing in windows records without value, too.
    pub fn cogroup_records<V: ?Sized + 'static, R: AggregateResult<A>>(
        self,
        name: &str,
        group: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, Option<&V>, &A) -> R + Send + Sync + 'static,
    ) -> Self {
        let aggregate = Arc::new(aggregate);
        self.with(name, group, move |init| {
            let (aggregate, init) = (Arc::clone(&aggregate), Arc::clone(init));
            Arc::new(move |key, value, row: Option<&A>| match row {
                Some(row) => aggregate(key, value, row).into_row(),
                None => aggregate(key, value, &init()).into_row(),
            })
        })
    }

    fn with<V: ?Sized + 'static>(
        mut self,
        name: &str,
        group: &KGroupedStream<K, V>,
        update: impl Fn(&Init<A>) -> Update<K, V, A> + 'static,
    ) -> Self {
        let stream = group.stream.clone();
        if !Rc::ptr_eq(&self.flow, &stream.flow) {
            let problem = TopologyError::TwoBuilders { operator: "cogroup".to_owned() };
            self.flow.borrow_mut().problems.push(problem);
            return self;
        }
        if name.is_empty() {
            self.flow.borrow_mut().unnamed("cogroup", &[stream.node]);
        }
        let member: Member<K, A> = Rc::new(move |name, store, init, rows| {
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
        });
        self.members.push((name.into(), member));
        self
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

    /// One node per stream, named after the result and the stream, on the result's store.
    pub(super) fn nodes(
        &self,
        materialized: &Materialized<K, A>,
        init: Init<A>,
        rows: &Rows<K, A>,
    ) -> Vec<NodeId> {
        let name = &materialized.name;
        let members = self.members.iter().map(|(stream, member)| {
            let node = member(&format!("{name}-{stream}"), materialized, &init, rows);
            let mut graph = self.flow.borrow_mut();
            graph.nodes[node.0].stores.push(Arc::clone(name));
            if name.is_empty() {
                let parents = graph.nodes[node.0].parents.clone();
                graph.unnamed("cogroup", &parents);
            }
            node
        });
        members.collect()
    }

    /// The node where `nodes` meet.
    pub(super) fn meet<KO: ?Sized + 'static>(&self, name: &str, nodes: &[NodeId]) -> NodeId {
        let build = |assembly: &mut Assembly<'_>, id| {
            let next = assembly.table_downstream::<KO, A>(id);
            assembly.install_table::<KO, A>(id, Meet(next));
        };
        let kind = NodeKind::Operator("cogroup");
        self.flow.borrow_mut().add(Some(name), kind, nodes, Box::new(build))
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{DriverOptions, Materialized, StreamsBuilder, TopologyError, TopologyTestDriver};

    #[test]
    fn streams_of_other_keys_and_types_meet_in_one_row() {
        let store = Materialized::<str, i64>::as_("all", Utf8, I64Be);
        let builder = StreamsBuilder::new("test");
        let plus = builder.stream(&numbers("plus")).group_by_key();
        let words = builder.stream(&numbers("words")).map_values(|n| n.to_string());
        let words = words.with_value_serde(Utf8).group_by::<str>(|_, word| word[..1].to_owned());
        let both = plus.cogroup("plus", |_, n, sum| sum + n);
        let all =
            both.cogroup("words", &words, |_, word, sum| (word.len() > 1).then_some(sum * 10));
        all.aggregate(&store, || 1).to_stream().to(&numbers("out"));
        let topology = builder.build().unwrap();
        let topics = topology.internal_topics();
        assert!(
            topics.iter().any(|topic| &*topic.name == "test-all-words-repartition"),
            "{topics:?}"
        );
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

    #[test]
    fn streams_of_two_builders_are_refused() {
        let (one, other) = (StreamsBuilder::new("one"), StreamsBuilder::new("other"));
        let foreign = other.stream(&numbers("in")).group_by_key();
        let group = one.stream(&numbers("in")).group_by_key();
        let all = group.cogroup::<i64, i64>("one", |_, n, sum| sum + n);
        all.cogroup("other", &foreign, |_, n, sum| sum - n);
        let error = one.build().unwrap_err();
        assert_eq!(error, TopologyError::TwoBuilders { operator: "cogroup".into() });
    }

    #[test]
    fn streams_have_names_and_each_its_own() {
        let error = |names: [&str; 2]| {
            let builder = StreamsBuilder::new("test");
            let [a, b] = ["a", "b"].map(|topic| builder.stream(&numbers(topic)).group_by_key());
            let both = a.cogroup(names[0], |_, n, sum: &i64| sum + n);
            let both = both.cogroup(names[1], &b, |_, n, sum| sum - n);
            both.aggregate(&Materialized::as_("all", Utf8, I64Be), || 0);
            builder.build().unwrap_err()
        };
        assert!(matches!(error(["a", ""]), TopologyError::Unnamed { .. }));
        let twice = error(["a", "a"]);
        assert!(
            matches!(&twice, TopologyError::DuplicateName { name, .. } if name == "all-a"),
            "{twice}"
        );
    }
}
