//! `join_global`, `left_join_global`: each record looks up a row of a table that is whole here.
//!
//! Only the stream triggers, and nothing waits for the table (see `lookup` for
//! that). Any key may be looked up; nothing is repartitioned.

use std::borrow::Borrow;
use std::sync::Arc;

use super::lookup::GlobalReader;
use super::table_join::Joiner;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::table::GlobalKTable;

/// The key to look up, if there is one.
type Select<K, V, GK> = Arc<dyn Fn(Option<&K>, &V) -> Option<<GK as ToOwned>::Owned> + Send + Sync>;

struct GlobalJoin<K: ?Sized, V: ?Sized, GK: ?Sized + ToOwned, GV: ?Sized, VO> {
    id: NodeId,
    rows: GlobalReader<GK, GV>,
    select: Select<K, V, GK>,
    join: Joiner<V, GV, VO>,
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
        let joined = match (self.select)(record.key, value) {
            Some(key) => {
                let read =
                    self.rows.read(&ctx.globals, key.borrow(), |row| (self.join)(value, row));
                read.map_err(|error| Failure::node(self.id, error))?
            }
            None => (self.join)(value, None),
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
        let join = move |value: &V, row: Option<&GV>| row.map(|row| join(value, row));
        self.join_whole(name, "join-global", table, Arc::new(select), Arc::new(join))
    }

    /// Joins each record with the row that `select` names, or with none.
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
        let join = move |value: &V, row: Option<&GV>| Some(join(value, row));
        self.join_whole(name, "left-join-global", table, Arc::new(select), Arc::new(join))
    }

    fn join_whole<GK, GV, VO>(
        &self,
        name: &str,
        kind: &'static str,
        table: &GlobalKTable<GK, GV>,
        select: Select<K, V, GK>,
        join: Joiner<V, GV, VO>,
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
        let mut graph = self.flow.borrow_mut();
        let node = graph.add(Some(name), NodeKind::Operator(kind), &[self.node], Box::new(build));
        graph.nodes[node.0].globals.push(number);
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{numbers, pair};
    use crate::{DriverOptions, StreamsBuilder, TopologyTestDriver};

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
