//! `join`, `left_join` with a table: each record looks up the row of its key.
//!
//! Only the stream triggers. The result keeps the record's time and headers.
//! The row is the one of the record's time as far as the log can tell: a task
//! with a join takes no record while an input that may hold an earlier one is
//! not read to its end (`task/in_time.rs`).

use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeKind;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::Rows;

/// Value and row (if there is one) to a result; no result: the record is not matched.
pub(crate) type Joiner<V, R, VO> = Arc<dyn Fn(&V, Option<&R>) -> Option<VO> + Send + Sync>;

struct TableJoin<K: ?Sized, V: ?Sized, R: ?Sized, VO> {
    rows: Box<dyn Rows<K, R>>,
    join: Joiner<V, R, VO>,
    /// A left join has use for records without key.
    left: bool,
    next: Edge<K, VO>,
}

impl<K, V, R, VO> Process<K, V> for TableJoin<K, V, R, VO>
where
    K: ?Sized + 'static,
    V: ?Sized,
    R: ?Sized + 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let join = &self.join;
        let joined = match (record.key, record.value) {
            (Some(key), Some(value)) => {
                self.rows.read_with(&ctx.state, key, |row| join(value, row.map(|(row, _)| row)))?
            }
            (None, Some(value)) if self.left => join(value, None),
            _ => {
                ctx.drop_incomplete();
                return Ok(());
            }
        };
        match &joined {
            Some(joined) => self.next.process(record.with_value(Some(joined)), ctx),
            None => Ok(()),
        }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Joins each record with the row of its key; without a row there is no result. Records without
    /// key or value are dropped and counted. `name` also names the repartition topic, if one is needed.
    pub fn join<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        table: &KTable<K, R>,
        join: impl Fn(&V, &R) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.join_table(
            name,
            table,
            Arc::new(move |value: &V, row: Option<&R>| row.map(|row| join(value, row))),
            false,
        )
    }

    /// Joins each record with the row of its key, or with none; a record without key has none.
    /// Records without value are dropped and counted.
    pub fn left_join<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        table: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.join_table(
            name,
            table,
            Arc::new(move |value: &V, row: Option<&R>| Some(join(value, row))),
            true,
        )
    }

    fn join_table<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        table: &KTable<K, R>,
        join: Joiner<V, R, VO>,
        left: bool,
    ) -> KStream<K, VO> {
        table.is_of(&self.flow, name);
        let stream = match (&self.serdes.key, &table.serdes.key) {
            (None, Some(key)) => self.clone().with_key_serde(key),
            _ => self.clone(),
        };
        let input = stream.through_if_rekeyed(name, !left);
        let Some(view) = table.view.clone() else {
            self.problem(TopologyError::NotMaterialized { operator: name.to_owned() });
            return KStream::new(&input.flow, input.node, input.serdes.with_value(None), false);
        };
        let stores = view.stores.clone();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let rows = view.open(assembly);
            assembly.install::<K, V>(id, TableJoin { rows, join: Arc::clone(&join), left, next });
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator(if left { "left-join" } else { "join" });
        let node = graph.add(Some(name), kind, &[input.node], Box::new(build));
        graph.nodes[node.0].stores.extend(stores);
        graph.nodes[node.0].by_time = true;
        KStream::new(&input.flow, node, input.serdes.with_value(None), false)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{numbers, pair};
    use crate::{Headers, StreamsBuilder, TopologyTestDriver};

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
