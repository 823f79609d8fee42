//! `table`, `to_table`: a stream read as the last value of each key.

use state_stores::{StoreKind, TimestampedKeyValueStore};

use super::table_nodes::table_of;
use crate::materialized::Materialized;
use crate::stream::KStream;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::View;

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Reads the stream as a table: the last value of each key; no value deletes. Records without
    /// key are dropped and counted. Repartitions if the key may have changed.
    pub fn to_table(&self, materialized: &Materialized<K, V>) -> KTable<K, V> {
        let store = materialized.declare(StoreKind::KeyValue);
        let table =
            table_of::<K, V, TimestampedKeyValueStore<K, V>>(self, "table", materialized, store);
        KTable { view: Some(View::of(materialized)), ..table }
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
