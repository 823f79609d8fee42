//! `join_global`, `left_join_global`: each record looks up a row of a table that is whole here. The `…_with_keys`
//! forms show both keys to the joiner (KIP-1340).
//!
//! Only the stream triggers, and nothing waits for the table (see `lookup` for
//! that). Any key may be looked up; nothing is repartitioned.

use std::borrow::Borrow;
use std::sync::Arc;

use super::lookup::GlobalReader;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::table::GlobalKTable;

/// The key to look up, if there is one.
type Select<K, V, GK> = Arc<dyn Fn(Option<&K>, &V) -> Option<<GK as ToOwned>::Owned> + Send + Sync>;

/// Makes a result of the record's key, the key looked up, value and row, as far as there are such.
type Join<K, V, GK, GV, VO> =
    Arc<dyn Fn(Option<&K>, Option<&GK>, &V, Option<&GV>) -> Option<VO> + Send + Sync>;

struct GlobalJoin<K: ?Sized, V: ?Sized, GK: ?Sized + ToOwned, GV: ?Sized, VO> {
    id: NodeId,
    rows: GlobalReader<GK, GV>,
    select: Select<K, V, GK>,
    join: Join<K, V, GK, GV, VO>,
    next: Edge<K, VO>,
}

impl<K, V, GK, GV, VO> Process<K, V> for GlobalJoin<K, V, GK, GV, VO>
where
    K: ?Sized,
    V: ?Sized,
    GK: ?Sized + ToOwned,
    GV: ?Sized,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(value) = record.value else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let join = &self.join;
        let joined = match (self.select)(record.key, value) {
            Some(key) => {
                let key: &GK = key.borrow();
                let joined = |row: Option<&GV>| join(record.key, Some(key), value, row);
                let read = self.rows.read(&ctx.globals, key, joined);
                read.map_err(|error| Failure::node(self.id, error))?
            }
            None => join(record.key, None, value, None),
        };
        match &joined {
            Some(joined) => self.next.process(record.with_value(Some(joined)), ctx),
            None => Ok(()),
        }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Joins each record with the row that `select` names; without a row, or without a name, there
    /// is no result. Records without value are dropped and counted.
    pub fn join_global<GK, GV, VO>(
        &self,
        name: &str,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(Option<&K>, &V) -> Option<GK::Owned> + Send + Sync + 'static,
        join: impl Fn(&V, &GV) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + ToOwned + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        self.join_global_with_keys(name, table, select, move |_, _, value, row| join(value, row))
    }

    /// As [`Self::join_global`], with the record's key (if it has one) and the key that was looked up for the joiner.
    pub fn join_global_with_keys<GK, GV, VO>(
        &self,
        name: &str,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(Option<&K>, &V) -> Option<GK::Owned> + Send + Sync + 'static,
        join: impl Fn(Option<&K>, &GK, &V, &GV) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + ToOwned + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        let join = move |key: Option<&K>, found: Option<&GK>, value: &V, row: Option<&GV>| {
            found.zip(row).map(|(found, row)| join(key, found, value, row))
        };
        self.join_whole(name, "join-global", table, Arc::new(select), Arc::new(join))
    }

    /// Joins each record with the row that `select` names, or with none: if there is no such row, or no name.
    pub fn left_join_global<GK, GV, VO>(
        &self,
        name: &str,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(Option<&K>, &V) -> Option<GK::Owned> + Send + Sync + 'static,
        join: impl Fn(&V, Option<&GV>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + ToOwned + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        let join =
            move |_: Option<&K>, _: Option<&GK>, value: &V, row: Option<&GV>| join(value, row);
        self.left_join_global_with_keys(name, table, select, join)
    }

    /// As [`Self::left_join_global`], with the record's key and the key that was looked up, as far as there are such, for
    /// the joiner.
    pub fn left_join_global_with_keys<GK, GV, VO>(
        &self,
        name: &str,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(Option<&K>, &V) -> Option<GK::Owned> + Send + Sync + 'static,
        join: impl Fn(Option<&K>, Option<&GK>, &V, Option<&GV>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + ToOwned + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        let join = move |key: Option<&K>, found: Option<&GK>, value: &V, row: Option<&GV>| {
            Some(join(key, found, value, row))
        };
        self.join_whole(name, "left-join-global", table, Arc::new(select), Arc::new(join))
    }

    fn join_whole<GK, GV, VO>(
        &self,
        name: &str,
        kind: &'static str,
        table: &GlobalKTable<GK, GV>,
        select: Select<K, V, GK>,
        join: Join<K, V, GK, GV, VO>,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + ToOwned + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        let number = table.number;
        let table = table.clone();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let rows = GlobalReader::new(&table);
            let (select, join) = (Arc::clone(&select), Arc::clone(&join));
            assembly.install::<K, V>(id, GlobalJoin { id, rows, select, join, next });
        };
        self.note();
        let mut graph = self.flow.borrow_mut();
        let node = graph.add(Some(name), NodeKind::Operator(kind), &[self.node], Box::new(build));
        graph.nodes[node.0].globals.push(number);
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{numbers, pair};
    use crate::{DriverOptions, Headers, StreamsBuilder, TopologyTestDriver};

    #[test]
    fn a_joiner_may_see_both_keys() {
        let builder = StreamsBuilder::new("test");
        let names = builder.global_table("t", &numbers("table"));
        let stream = builder.stream(&numbers("in"));
        let select = |_: Option<&str>, n: &i64| (*n > 0).then(|| format!("row {n}"));
        let lengths = |key: Option<&str>, found: Option<&str>| {
            (key.map_or(0, str::len) * 10 + found.map_or(0, str::len)) as i64
        };
        let inner = move |key: Option<&str>, found: &str, _: &i64, row: &i64| {
            row + lengths(key, Some(found))
        };
        stream.join_global_with_keys("inner", &names, select, inner).to(&numbers("inner"));
        let left = move |key: Option<&str>, found: Option<&str>, _: &i64, row: Option<&i64>| {
            row.unwrap_or(&1000) + lengths(key, found)
        };
        stream.left_join_global_with_keys("left", &names, select, left).to(&numbers("left"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("table")).pipe("row 1", &100);
        for (key, n) in [(Some("abc"), 1), (Some("abc"), 22), (Some("abc"), 0), (None, 1)] {
            driver.input(&numbers("in")).try_pipe(key, Some(&n), 0, &Headers::new()).unwrap();
        }
        assert_eq!(driver.output(&numbers("inner")).read_values(), [135, 105]);
        assert_eq!(driver.output(&numbers("left")).read_values(), [135, 1036, 1030, 105]);
    }

    #[test]
    fn every_task_sees_the_whole_table() {
        let builder = StreamsBuilder::new("test");
        let names = builder.global_table("t", &numbers("table"));
        let stream = builder.stream(&numbers("in"));
        let select = |_: Option<&str>, n: &i64| (*n > 0).then(|| format!("row {n}"));
        stream.join_global("inner", &names, select, |n, row| n + row).to(&numbers("inner"));
        stream
            .left_join_global("left", &names, select, |n, row| n + row.unwrap_or(&1000))
            .to(&numbers("left"));
        let options = DriverOptions { partitions: 3, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        driver.input(&numbers("table")).pipe("row 1", &10);
        for (key, n) in [("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", -5)] {
            driver.input(&numbers("in")).pipe(key, &n);
        }
        assert_eq!(
            driver.output(&numbers("inner")).read_key_values(),
            ["a", "b", "c"].map(|key| pair(key, 11))
        );
        assert_eq!(driver.output(&numbers("left")).read_values(), [11, 11, 11, 1002, 995]);
    }
}
