//! `join`, `left_join` with a table: each record looks up the row of its key.
//!
//! Only the stream triggers. The result keeps the record's time and headers.
//! The row is the one of the record's time as far as the log can tell: a task
//! with a join takes no record while an input that may hold an earlier one is
//! not read to its end (`task/in_time.rs`).
//!
//! A versioned table shows the row of the record's time (J11); with a grace, records wait for it (J12).

use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder};

use super::join_buffer::{JoinBuffer, Waited, declare, names};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::joined::Joined;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::Rows;

/// Value and row (if there is one) to a result; no result: the record is not matched.
pub(crate) type Joiner<V, R, VO> = Arc<dyn Fn(&V, Option<&R>) -> Option<VO> + Send + Sync>;

/// Looks up the row of a key as of a time and joins it.
struct Lookup<K: ?Sized, V: ?Sized, R: ?Sized, VO> {
    rows: Box<dyn Rows<K, R>>,
    join: Joiner<V, R, VO>,
    next: Edge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, R: ?Sized, VO> Lookup<K, V, R, VO> {
    fn join(
        &mut self,
        record: Record<'_, K, V>,
        (key, value): (Option<&K>, &V),
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let join = &self.join;
        let joined = match key {
            Some(key) => {
                let place = (key, record.timestamp);
                let joined = |row: Option<(&R, i64)>| join(value, row.map(|(row, _)| row));
                self.rows.read_as_of_with(&ctx.state, place, joined)?
            }
            None => join(value, None),
        };
        match &joined {
            Some(joined) => self.next.process(record.with_value(Some(joined)), ctx),
            None => Ok(()),
        }
    }
}

struct TableJoin<K: ?Sized, V: ?Sized, R: ?Sized, VO> {
    lookup: Lookup<K, V, R, VO>,
    /// A left join has use for records without key.
    left: bool,
}

impl<K: ?Sized, V: ?Sized, R: ?Sized, VO> Process<K, V> for TableJoin<K, V, R, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        match (record.key, record.value) {
            (None, Some(_)) if !self.left => {}
            (key, Some(value)) => return self.lookup.join(record, (key, value), ctx),
            (_, None) => {}
        }
        ctx.drop_incomplete();
        Ok(())
    }
}

/// A join whose records wait until the stream is `grace_ms` later. One without key meets no row, and doesn't wait.
struct WaitingJoin<K: ?Sized, V: ?Sized, R: ?Sized, VO> {
    id: NodeId,
    grace_ms: i64,
    buffer: JoinBuffer,
    keys: (Box<dyn Encoder<K>>, Box<dyn Decoder<K>>),
    values: (Box<dyn Encoder<V>>, Box<dyn Decoder<V>>),
    key: Vec<u8>,
    join: TableJoin<K, V, R, VO>,
}

impl<K: ?Sized, V: ?Sized, R: ?Sized, VO> Process<K, V> for WaitingJoin<K, V, R, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            return self.join.process(record, ctx);
        };
        let highest = self.buffer.highest(&ctx.state)?;
        let is_late = |highest: i64| record.timestamp < highest.saturating_sub(self.grace_ms);
        if highest.is_some_and(is_late) {
            return self.join.process(record, ctx);
        }
        let broken = |error: CodecError| Failure::node(self.id, error);
        self.key.clear();
        self.keys.0.encode(key, &mut self.key).map_err(broken)?;
        let (encoder, time) = (&mut self.values.0, record.timestamp);
        self.buffer.add(ctx, (&self.key, time, record.headers), |row| {
            encoder.encode(value, row).map_err(broken)
        })?;
        if highest.is_none_or(|highest| highest < time) {
            self.buffer.set_highest(&mut ctx.state, time);
        }
        let until = highest.map_or(time, |highest| highest.max(time));
        let waited = self.buffer.take_until(&mut ctx.state, until.saturating_sub(self.grace_ms))?;
        for Waited { time, key, headers, value, .. } in &waited {
            let key = self.keys.1.decode(key).map_err(broken)?;
            let value = self.values.1.decode(value).map_err(broken)?;
            let record = Record { key: Some(key), value: Some(value), timestamp: *time, headers };
            self.join.process(record, ctx)?;
        }
        Ok(())
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Joins each record with the row of its key, of a versioned table with the row of its time; without a row there is
    /// no result. Records without key or value are dropped and counted. `joined` is the join's name, or a [`Joined`]
    /// with a grace.
    pub fn join<R: ?Sized + 'static, VO: 'static>(
        &self,
        joined: impl Into<Joined>,
        table: &KTable<K, R>,
        join: impl Fn(&V, &R) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let join = Arc::new(move |value: &V, row: Option<&R>| row.map(|row| join(value, row)));
        self.join_table(joined.into(), table, join, false)
    }

    /// As [`Self::join`], with the row or with none; a record without key has none.
    pub fn left_join<R: ?Sized + 'static, VO: 'static>(
        &self,
        joined: impl Into<Joined>,
        table: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let join = Arc::new(move |value: &V, row: Option<&R>| Some(join(value, row)));
        self.join_table(joined.into(), table, join, true)
    }

    fn join_table<R: ?Sized + 'static, VO: 'static>(
        &self,
        Joined { name, grace_ms }: Joined,
        table: &KTable<K, R>,
        join: Joiner<V, R, VO>,
        left: bool,
    ) -> KStream<K, VO> {
        let operator = || name.to_string();
        table.is_of(&self.flow, &name);
        let stream = match (&self.serdes.key, &table.serdes.key) {
            (None, Some(key)) => self.clone().with_key_serde(key),
            _ => self.clone(),
        };
        let input = stream.through_if_rekeyed(&name, !left);
        let nothing =
            || KStream::new(&input.flow, input.node, input.serdes.with_value(None), false);
        let Some(view) = table.view.clone() else {
            self.problem(TopologyError::NotMaterialized { operator: operator() });
            return nothing();
        };
        let mut grace = None;
        if let Some(grace_ms) = grace_ms {
            let serdes = (input.serdes.key.clone(), input.serdes.value.clone());
            let (Some(key), Some(value)) = serdes else {
                self.problem(TopologyError::NoSerde { operator: operator(), part: "value" });
                return nothing();
            };
            let history_ms = view.history_ms.unwrap_or(0);
            if view.history_ms.is_none() || history_ms < grace_ms {
                let operator = operator();
                self.problem(TopologyError::GraceWithoutHistory { operator, grace_ms, history_ms });
            }
            grace = Some((grace_ms, key, value));
        }
        let stores = view.stores.clone();
        let buffer =
            grace.as_ref().map(|(_, key, value)| declare(&name, (key.format(), value.format())));
        let join_name = Arc::clone(&name);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let lookup = Lookup { rows: view.open(assembly), join: Arc::clone(&join), next };
            let join = TableJoin { lookup, left };
            let Some((grace_ms, key, value)) = &grace else {
                return assembly.install::<K, V>(id, join);
            };
            let stores = names(&join_name).map(|store| assembly.store(&store));
            let node = WaitingJoin {
                id,
                grace_ms: *grace_ms,
                buffer: JoinBuffer::new(stores),
                keys: (key.encoder(), key.decoder()),
                values: (value.encoder(), value.decoder()),
                key: Vec::new(),
                join,
            };
            assembly.install::<K, V>(id, node);
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator(if left { "left-join" } else { "join" });
        let node = graph.add(Some(&name), kind, &[input.node], Box::new(build));
        graph.nodes[node.0].stores.extend(stores);
        graph.nodes[node.0].by_time = true;
        for store in buffer.into_iter().flatten() {
            graph.declare(node, store);
        }
        drop(graph);
        KStream::new(&input.flow, node, input.serdes.with_value(None), false)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{numbers, pair};
    use crate::{Headers, Joined, StreamsBuilder, TopologyError, TopologyTestDriver};

    #[test]
    fn with_a_grace_records_meet_rows_that_come_after_them_over_a_restart() {
        let builder = StreamsBuilder::new("test");
        let table = builder.versioned_table("t", &numbers("table"), 100);
        let stream = builder.stream(&numbers("in"));
        let waits = Joined::as_("j").with_grace_period(10);
        stream.left_join(waits, &table, |n, row| n + row.unwrap_or(&-1)).to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let mut headers = Headers::new();
        headers.push("h", b"1");
        driver.input(&numbers("in")).try_pipe(Some("k"), Some(&100), 5, &headers).unwrap();
        driver.input(&numbers("in")).pipe_at("other", &200, 0);
        driver.input(&numbers("table")).pipe_at("k", &1, 4);
        driver.input(&numbers("table")).pipe_at("k", &2, 6);
        driver.restart();
        driver.input(&numbers("in")).try_pipe(None, Some(&300), 14, &Headers::new()).unwrap();
        assert_eq!(
            driver.output(&numbers("out")).read_values(),
            [299],
            "no key, no row to wait for"
        );
        driver.input(&numbers("in")).pipe_at("k", &400, 15);
        driver.input(&numbers("in")).pipe_at("k", &500, 4);
        let out = driver.output(&numbers("out")).read_records();
        let seen: Vec<_> = out.iter().map(|r| (r.value, r.timestamp, r.headers.len())).collect();
        let expected = [(299, 14, 0), (199, 0, 0), (101, 5, 1), (501, 4, 0)];
        assert_eq!(seen, expected.map(|(value, time, headers)| (Some(value), time, headers)));
        assert_eq!(driver.rows("j-buffer").len(), 1);
    }

    #[test]
    fn a_grace_needs_a_history_of_at_least_that() {
        for history_ms in [None, Some(9)] {
            let builder = StreamsBuilder::new("test");
            let table = match history_ms {
                Some(ms) => builder.versioned_table("t", &numbers("table"), ms),
                None => builder.table("t", &numbers("table")),
            };
            let waits = Joined::as_("j").with_grace_period(10);
            builder.stream(&numbers("in")).join(waits, &table, |n, row| n + row);
            let error = builder.build().unwrap_err();
            let (operator, grace_ms) = ("j".to_owned(), 10);
            let history_ms = history_ms.unwrap_or(0);
            let expected = TopologyError::GraceWithoutHistory { operator, grace_ms, history_ms };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn only_the_stream_triggers_and_a_deleted_row_is_none() {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("table"));
        let stream = builder.stream(&numbers("in"));
        stream.join("inner", &table, |n, row| n + row).to(&numbers("inner"));
        stream.left_join("left", &table, |n, row| n + row.unwrap_or(&1000)).to(&numbers("left"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("table")).pipe("k", &10);
        driver.input(&numbers("in")).pipe("k", &1);
        driver.input(&numbers("table")).pipe_tombstone("k");
        driver.input(&numbers("in")).pipe("k", &2);
        driver.input(&numbers("in")).try_pipe(None, Some(&3), 0, &Headers::new()).unwrap();
        assert_eq!(driver.output(&numbers("inner")).read_key_values(), [pair("k", 11)]);
        assert_eq!(driver.output(&numbers("left")).read_values(), [11, 1002, 1003]);
    }
}
