//! `join_stream`, `left_join_stream`, `outer_join_stream`: records of two streams that have one key and lie within a
//! window (J01–J09, KIP-633, KIP-962).
//!
//! Each side is a node of its own; what they share is in stores. A record is first joined with what came before it on
//! the other side, then put into its own side's store. Left and outer joins keep what has no match until its window and
//! grace are over by stream time, which moves with the records of both sides.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::keys::Sequence;
use state_stores::{Decoder, Direction, Serde, StoreKind, WindowStore};

use super::merge::Merge;
use super::stream_join_pending::{Overdue, Pending, Times, declare, names};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::join_windows::{JoinWindows, Side};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};
use crate::topology::TopologyError;

/// A result of both values, or of one; no result: there is none without the other.
pub(super) type Joiner<V, O, VO> = Arc<dyn Fn(Option<&V>, Option<&O>) -> Option<VO> + Send + Sync>;

/// What a left or outer join has in addition.
struct Unmatched<K: ?Sized, V: ?Sized, O: ?Sized> {
    /// Records of this side go out without a match, too.
    preserved: bool,
    pending: Pending<K, V>,
    key: Box<dyn Decoder<K>>,
    own: Box<dyn Decoder<V>>,
    other: Box<dyn Decoder<O>>,
}

/// One side of a join: `V` are its own values, `O` those of the other side.
struct JoinSide<K: ?Sized, V: ?Sized, O: ?Sized, VO> {
    id: NodeId,
    side: Side,
    windows: JoinWindows,
    join: Joiner<V, O, VO>,
    own: WindowStore<K, V>,
    other: WindowStore<K, O>,
    unmatched: Option<Unmatched<K, V, O>>,
    hits: Vec<(i64, VO)>,
    next: Edge<K, VO>,
}

impl<K, V, O, VO> Process<K, V> for JoinSide<K, V, O, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    O: ?Sized + 'static,
    VO: Send + 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(unmatched) = &self.unmatched else { return self.take(record, None, ctx) };
        let before = unmatched.pending.load(&ctx.state)?;
        let mut times = before;
        times.stream_time = times.stream_time.max(record.timestamp);
        self.take(record, Some(&mut times), ctx)?;
        if let Some(unmatched) = &self.unmatched
            && times != before
        {
            unmatched.pending.save(&mut ctx.state, &times);
        }
        Ok(())
    }
}

impl<K, V, O, VO> JoinSide<K, V, O, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    O: ?Sized + 'static,
    VO: 'static,
{
    fn take(
        &mut self,
        record: Record<'_, K, V>,
        mut times: Option<&mut Times>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let preserved = self.unmatched.as_ref().is_some_and(|unmatched| unmatched.preserved);
        let (Some(key), Some(value)) = (record.key, record.value) else {
            if preserved && record.value.is_some() {
                return self.forward_alone(record, ctx);
            }
            ctx.drop_incomplete();
            return Ok(());
        };
        if let Some(times) = times.as_deref_mut()
            && times.stream_time == record.timestamp
        {
            self.emit_overdue(record, times, ctx)?;
        }
        let matched = self.emit_matches(record, (key, value), ctx)?;
        if let Some(times) = times
            && preserved
            && !matched
        {
            let ahead = self.side.lookahead(&self.windows);
            if record.timestamp.saturating_add(ahead) < times.stream_time {
                self.forward_alone(record, ctx)?;
            } else if let Some(unmatched) = &mut self.unmatched {
                let place = (self.side, record.timestamp);
                unmatched.pending.wait(&mut ctx.state, place, (key, value), times)?;
            }
        }
        put(&mut self.own, record.timestamp, (key, value), ctx)
    }

    /// Joins with what is on the other side; true when there was something.
    fn emit_matches(
        &mut self,
        record: Record<'_, K, V>,
        (key, value): (&K, &V),
        ctx: &mut TaskContext,
    ) -> Result<bool, Failure> {
        let (join, hits) = (&self.join, &mut self.hits);
        hits.clear();
        let times = self.side.matches(&self.windows, record.timestamp);
        self.other.fetch(&ctx.state, key, times, Direction::Forward, |time, other, _| {
            hits.extend(join(Some(value), Some(other)).map(|joined| (time, joined)));
            std::ops::ControlFlow::Continue(())
        })?;
        let matched = !hits.is_empty();
        for (time, joined) in hits.drain(..) {
            if let Some(unmatched) = &mut self.unmatched {
                let place = (self.side.other(), time);
                unmatched.pending.matched(&mut ctx.state, place, key)?;
            }
            let timestamp = record.timestamp.max(time);
            self.next.process(record.with_value(Some(&joined)).with_timestamp(timestamp), ctx)?;
        }
        Ok(matched)
    }

    fn emit_overdue(
        &mut self,
        record: Record<'_, K, V>,
        times: &mut Times,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some(Unmatched { pending, key, own, other, .. }) = &mut self.unmatched else {
            return Ok(());
        };
        let all: Vec<Overdue> = pending.overdue(&ctx.state, self.side, times, ctx.now_ms)?;
        let mut removed: Option<&[u8]> = None;
        for overdue in &all {
            if removed != Some(overdue.row()) {
                pending.remove(&mut ctx.state, overdue.row())?;
                removed = Some(overdue.row());
            }
            let broken = |error| Failure::node(self.id, error);
            let joined = if overdue.side == self.side {
                (self.join)(Some(own.decode(&overdue.value).map_err(broken)?), None)
            } else {
                (self.join)(None, Some(other.decode(&overdue.value).map_err(broken)?))
            };
            let key = key.decode(overdue.key()).map_err(broken)?;
            let record = record.with_key(Some(key)).with_timestamp(overdue.time);
            self.next.process(record.with_value(joined.as_ref()), ctx)?;
        }
        Ok(())
    }

    fn forward_alone(
        &mut self,
        record: Record<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        match (self.join)(record.value, None) {
            Some(joined) => self.next.process(record.with_value(Some(&joined)), ctx),
            None => Ok(()),
        }
    }
}

/// Adds a record to a store with duplicates.
pub(super) fn put<K: ?Sized + 'static, V: ?Sized + 'static>(
    rows: &mut WindowStore<K, V>,
    time: i64,
    (key, value): (&K, &V),
    ctx: &mut TaskContext,
) -> Result<(), Failure> {
    let sequence = match ctx.sequence() {
        Some(sequence) => sequence,
        None => {
            // A timer's record: after all that are there.
            let mut offset = 0;
            rows.fetch(&ctx.state, key, time..=time, Direction::Forward, |_, _, _| {
                offset += 1;
                std::ops::ControlFlow::Continue(())
            })?;
            Sequence { source: u16::MAX, offset, index: 0 }
        }
    };
    rows.put_duplicate(&mut ctx.state, key, time, sequence, Some((value, time)))?;
    Ok(())
}

/// The store of one side.
pub(super) fn side_store<K: ?Sized + 'static, V: ?Sized + 'static>(
    (join, side): (&str, Side),
    windows: &JoinWindows,
    (key, value): (&Serde<K>, &Serde<V>),
) -> StoreDecl {
    let formats = (key.format().to_owned(), value.format().to_owned());
    let kind = StoreKind::Window { retention_ms: windows.retention_ms(), duplicates: true };
    StoreDecl { name: side_name(join, side).into(), kind, formats }
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
            self.problem(TopologyError::Unnamed { operator: "join_stream".to_owned() });
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
        let node = self.flow.borrow_mut().add(Some(name), kind, &[this, that], Box::new(build));
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
        assert_eq!(error, TopologyError::Unnamed { operator: "join_stream".into() });
        let builder = StreamsBuilder::new("test");
        let (left, right) = (builder.stream(&numbers("left")), builder.stream(&numbers("right")));
        left.map_values(|n| n + 1).join_stream("j", &right, windows(), |l, r| l + r);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "j".into(), part: "value" });
    }
}
