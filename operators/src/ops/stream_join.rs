//! `join_stream`, `left_join_stream`, `outer_join_stream`: records of two streams that have one key and lie within a
//! window (J01–J09, KIP-633, KIP-962).
//!
//! Each side is a node of its own (`stream_join_side`). A record is first joined with what came before it on the other
//! side, then put into its own side's store. Left and outer joins keep what has no match until its window and grace are
//! over by stream time, which moves with the records of both sides.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::{Serde, StoreKind, WindowStore};

use super::merge::Merge;
use super::stream_join_pending::{Pending, declare, names};
use super::stream_join_side::{JoinSide, Joiner, Unmatched};
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::join_windows::{JoinWindows, Side};
use crate::stream::{KStream, Serdes};
use crate::topology::TopologyError;

/// The store of one side.
pub(super) fn side_store<K: ?Sized + 'static, V: ?Sized + 'static>(
    (join, side): (&str, Side),
    windows: &JoinWindows,
    (key, value): (&Serde<K>, &Serde<V>),
) -> StoreDecl {
    let formats = (key.format().to_owned(), value.format().to_owned());
    let kind = StoreKind::Window { retention_ms: windows.retention_ms(), duplicates: true };
    StoreDecl::internal(side_name(join, side), kind, formats)
}

fn side_name(join: &str, side: Side) -> String {
    match side {
        Side::Left => format!("{join}-this-join-store"),
        Side::Right => format!("{join}-other-join-store"),
    }
}

/// What both sides of a join know.
struct Join<K: ?Sized> {
    name: Arc<str>,
    windows: JoinWindows,
    key: Serde<K>,
    /// Left, right.
    preserved: (bool, bool),
}

impl<K: ?Sized> Clone for Join<K> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), key: Arc::clone(&self.key), ..*self }
    }
}

impl<K: ?Sized + 'static> Join<K> {
    /// Adds the node of one side with its own store; `own` and `other` are codecs of values.
    fn add_side<V, O, VO>(
        &self,
        (side, parent): (Side, &KStream<K, V>),
        (own, other): (&Serde<V>, &Serde<O>),
        join: Joiner<V, O, VO>,
    ) -> NodeId
    where
        V: ?Sized + 'static,
        O: ?Sized + 'static,
        VO: Send + 'static,
    {
        let is_preserved = match side {
            Side::Left => self.preserved.0,
            Side::Right => self.preserved.1,
        };
        let (shared, codecs) = (self.clone(), (Arc::clone(own), Arc::clone(other)));
        let keeps_unmatched = self.preserved != (false, false);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let Join { name, windows, key, .. } = &shared;
            let own_store = assembly.store(&side_name(name, side));
            let other_store = assembly.store(&side_name(name, side.other()));
            let unmatched = keeps_unmatched.then(|| Unmatched {
                preserved: is_preserved,
                pending: Pending::new(
                    id,
                    *windows,
                    names(name).map(|store| assembly.store(&store)),
                    (key, &codecs.0),
                ),
                key: key.decoder(),
                own: codecs.0.decoder(),
                other: codecs.1.decoder(),
            });
            let node = JoinSide {
                id,
                side,
                windows: *windows,
                join: Arc::clone(&join),
                own: WindowStore::new(own_store, key, &codecs.0),
                other: WindowStore::new(other_store, key, &codecs.1),
                unmatched,
                hits: Vec::new(),
                next,
            };
            assembly.install::<K, V>(id, node);
        };
        let (suffix, kind) = match side {
            Side::Left => ("this", "stream-join-this"),
            Side::Right => ("other", "stream-join-other"),
        };
        let name = format!("{}-{suffix}", self.name);
        let mut graph = parent.flow.borrow_mut();
        let kind = NodeKind::Operator(kind);
        let node = graph.add(Some(&name), kind, &[parent.node], Box::new(build));
        graph.declare(node, side_store((&self.name, side), &self.windows, (&self.key, own)));
        graph.nodes[node.0].stores.push(side_name(&self.name, side.other()).into());
        if keeps_unmatched && side == Side::Left {
            for store in declare(&self.name, self.key.format()) {
                graph.declare(node, store);
            }
        } else if keeps_unmatched {
            graph.nodes[node.0].stores.extend(names(&self.name).map(Arc::from));
        }
        node
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Joins each record with those of `other` that have its key and lie within the window, whichever comes first. The
    /// result has the later one's time and the headers of the one that came last. Records without key or value are
    /// dropped and counted. A stream joined with itself keeps one store.
    pub fn join_stream<O: ?Sized + 'static, VO: Send + 'static>(
        &self,
        name: &str,
        other: &KStream<K, O>,
        windows: JoinWindows,
        join: impl Fn(&V, &O) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let join: Joiner<V, O, VO> =
            Arc::new(move |own: Option<&V>, other: Option<&O>| Some(join(own?, other?)));
        if let Some(joined) = self.self_join(name, other, windows, &join) {
            return joined;
        }
        self.join_sides(name, other, windows, (false, false), join)
    }

    /// As [`Self::join_stream`]; a record of this stream that finds no match goes out alone, when its window and grace
    /// are over, with its own time. One without key goes out at once.
    pub fn left_join_stream<O: ?Sized + 'static, VO: Send + 'static>(
        &self,
        name: &str,
        other: &KStream<K, O>,
        windows: JoinWindows,
        join: impl Fn(&V, Option<&O>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let join = Arc::new(move |own: Option<&V>, other: Option<&O>| Some(join(own?, other)));
        self.join_sides(name, other, windows, (true, false), join)
    }

    /// As [`Self::left_join_stream`], for both sides. At least one value is given to `join`.
    pub fn outer_join_stream<O: ?Sized + 'static, VO: Send + 'static>(
        &self,
        name: &str,
        other: &KStream<K, O>,
        windows: JoinWindows,
        join: impl Fn(Option<&V>, Option<&O>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let join = Arc::new(move |own: Option<&V>, other: Option<&O>| Some(join(own, other)));
        self.join_sides(name, other, windows, (true, true), join)
    }

    fn join_sides<O: ?Sized + 'static, VO: Send + 'static>(
        &self,
        name: &str,
        other: &KStream<K, O>,
        windows: JoinWindows,
        preserved: (bool, bool),
        join: Joiner<V, O, VO>,
    ) -> KStream<K, VO> {
        let nothing = || KStream::new(&self.flow, self.node, self.serdes.with_value(None), false);
        let operator = name.to_owned();
        if !Rc::ptr_eq(&self.flow, &other.flow) {
            self.problem(TopologyError::TwoBuilders { operator });
            return nothing();
        }
        let Some(key) = self.serdes.key.clone().or_else(|| other.serdes.key.clone()) else {
            self.problem(TopologyError::NoSerde { operator, part: "key" });
            return nothing();
        };
        let (Some(own), Some(others)) = (self.serdes.value.clone(), other.serdes.value.clone())
        else {
            self.problem(TopologyError::NoSerde { operator, part: "value" });
            return nothing();
        };
        let left = self.clone().with_key_serde(&key);
        let left = left.through_if_rekeyed(&format!("{name}-left"), !preserved.0);
        let right = other.clone().with_key_serde(&key);
        let right = right.through_if_rekeyed(&format!("{name}-right"), !preserved.1);
        if name.is_empty() {
            self.flow.borrow_mut().unnamed("join_stream", &[self.node]);
        }
        let shared = Join { name: Arc::from(name), windows, key: Arc::clone(&key), preserved };
        let flipped = Arc::clone(&join);
        let flipped = Arc::new(move |own: Option<&O>, other: Option<&V>| flipped(other, own));
        let this = shared.add_side((Side::Left, &left), (&own, &others), join);
        let that = shared.add_side((Side::Right, &right), (&others, &own), flipped);
        let build = |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            assembly.install::<K, VO>(id, Merge(next));
        };
        let kind = NodeKind::Operator(match preserved {
            (false, _) => "join-stream",
            (true, false) => "left-join-stream",
            (true, true) => "outer-join-stream",
        });
        let mut graph = self.flow.borrow_mut();
        let node = graph.add(Some(name), kind, &[this, that], Box::new(build));
        graph.nodes[node.0].by_time = true;
        drop(graph);
        KStream::new(&self.flow, node, Serdes { key: Some(key), value: None }, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{numbers, pair};
    use crate::{Headers, StreamsBuilder, TopologyTestDriver};

    fn windows() -> JoinWindows {
        JoinWindows::of_time_difference(10).grace(5)
    }

    #[test]
    fn a_left_record_waits_for_its_match_over_a_restart() {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        let joined =
            left.left_join_stream("j", &right, windows(), |l, r| l * 100 + r.unwrap_or(&99));
        joined.to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let (left, right) = (driver.input(&numbers("left")), driver.input(&numbers("right")));
        left.pipe_at("met", &1, 0);
        left.pipe_at("alone", &2, 0);
        right.pipe_at("met", &3, 10);
        right.pipe_at("other", &4, 15);
        driver.restart();
        assert_eq!(driver.output(&numbers("out")).read_key_values(), [pair("met", 103)]);
        right.pipe_at("other", &4, 16);
        let out = driver.output(&numbers("out")).read_records();
        assert_eq!((out[1].key.as_deref(), out[1].value), (Some("alone"), Some(299)));
        assert_eq!(out[1].timestamp, 0);
        assert!(driver.rows("j-shared-join-store").is_empty());
    }

    #[test]
    fn an_outer_join_of_a_stream_with_itself_sees_each_record_on_both_sides() {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        let joined = stream.outer_join_stream("j", &stream, windows(), |l, r| {
            l.unwrap_or(&0) * 10 + r.unwrap_or(&0)
        });
        joined.to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).try_pipe(None, Some(&7), 0, &Headers::new()).unwrap();
        driver.input(&numbers("in")).pipe_at("k", &1, 0);
        assert_eq!(driver.output(&numbers("out")).read_values(), [70, 7, 11]);
    }

    #[test]
    fn changed_keys_are_repartitioned_side_by_side() {
        let builder = StreamsBuilder::new("app");
        let left = builder.stream(&numbers("left")).select_key::<str>(|_, n| n.to_string());
        let right = builder.stream(&numbers("right")).select_key::<str>(|_, n| n.to_string());
        let (left, right) = (left.with_key_serde(crate::Utf8), right.with_key_serde(crate::Utf8));
        left.join_stream("j", &right, windows(), |l, r| l + r).to(&numbers("out"));
        let topology = builder.build().unwrap();
        let names: Vec<String> =
            topology.internal_topics().iter().map(|topic| topic.name.to_string()).collect();
        let expected = [
            "app-j-left-repartition",
            "app-j-right-repartition",
            "app-j-this-join-store-changelog",
            "app-j-other-join-store-changelog",
        ];
        assert_eq!(names, expected);
        let driver = TopologyTestDriver::new(&topology);
        driver.input(&numbers("left")).pipe_at("a", &5, 0);
        driver.input(&numbers("right")).pipe_at("b", &5, 3);
        assert_eq!(driver.output(&numbers("out")).read_key_values(), [pair("5", 10)]);
    }

    #[test]
    fn a_join_without_name_or_codec_is_refused() {
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        left.join_stream("", &right, windows(), |l, r| l + r);
        let error = builder.build().unwrap_err();
        assert_eq!(
            error,
            TopologyError::Unnamed { operator: "join_stream".into(), behind: "source-left".into() }
        );
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        left.map_values(|n| n + 1).join_stream("j", &right, windows(), |l, r| l + r);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "j".into(), part: "value" });
    }
}
