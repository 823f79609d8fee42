//! `table`, `to_table`: a stream read as the last value of each key.

use state_stores::{StoreKind, TimestampedKeyValueStore};

use crate::change::{Before, Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeKind;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream::KStream;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::View;

/// Puts each record into the store, in the order of offsets: an older timestamp still overwrites.
struct TableSource<K: ?Sized, V: ?Sized> {
    rows: TimestampedKeyValueStore<K, V>,
    before: Option<Before<TimestampedKeyValueStore<K, V>>>,
    next: TableEdge<K, V>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Process<K, V> for TableSource<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let old = match &mut self.before {
            Some(Before { store, scratch }) => store.get_into(&ctx.state, key, scratch)?,
            None => None,
        };
        self.rows.put(&mut ctx.state, key, record.value.map(|value| (value, record.timestamp)))?;
        let old = old.map(|(old, _)| old);
        self.next.change(Change { record, old, superseded: false }, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Reads the stream as a table: the last value of each key; no value deletes. Records without
    /// key are dropped and counted. Repartitions if the key may have changed.
    pub fn to_table(&self, materialized: &Materialized<K, V>) -> KTable<K, V> {
        let serdes = (materialized.key.clone(), materialized.value.clone());
        let named = self.clone().with_key_serde(serdes.0).with_value_serde(serdes.1);
        let input = named.keyed(&materialized.name);
        let rows = materialized.clone();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.table_downstream::<K, V>(id);
            let store = assembly.store(&rows.name);
            let open = || TimestampedKeyValueStore::new(store, &rows.key, &rows.value);
            let before = Before::if_wanted(next.wants_old(), open);
            assembly.install::<K, V>(id, TableSource { rows: open(), before, next });
        };
        let mut graph = self.flow.borrow_mut();
        let kind = NodeKind::Operator("table");
        let node = graph.add(Some(&materialized.name), kind, &[input.node], Box::new(build));
        graph.declare(node, materialized.declare(StoreKind::KeyValue));
        drop(graph);
        KTable::new(&self.flow, node, Some(View::of(materialized)), input.serdes)
    }

    /// [`Self::to_table`] with the stream's own codecs.
    pub(crate) fn into_table(self, name: &str) -> KTable<K, V> {
        match (self.serdes.key.clone(), self.serdes.value.clone()) {
            (Some(key), Some(value)) => self.to_table(&Materialized::as_(name, key, value)),
            _ => {
                self.problem(TopologyError::NoSerde { operator: name.to_owned(), part: "value" });
                KTable::new(&self.flow, self.node, None, self.serdes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Materialized;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{SAMPLE, numbers, pair, through};
    use crate::{StreamsBuilder, TopologyTestDriver};

    #[test]
    fn a_stream_becomes_a_table_without_its_keyless_records() {
        let store = Materialized::as_("t", Utf8, I64Be);
        let (out, dropped) = through(|stream| stream.to_table(&store).to_stream(), &SAMPLE);
        assert_eq!(out, [pair("a", 1), pair("b", 2), (Some("c".into()), None)]);
        assert_eq!(dropped.incomplete, 2);
    }

    #[test]
    fn rows_survive_a_restart_and_tombstones_delete() {
        let builder = StreamsBuilder::new("test");
        builder.table("t", &numbers("in"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let store = Materialized::as_("t", Utf8, I64Be);
        driver.input(&numbers("in")).pipe("k", &1);
        driver.restart();
        assert_eq!(driver.table_row(&store, "k"), Some(1));
        driver.input(&numbers("in")).pipe_tombstone("k");
        driver.restart();
        assert_eq!(driver.table_row(&store, "k"), None);
    }
}
