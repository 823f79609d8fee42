//! `versioned_table`, `to_versioned_table`: a table that also knows its rows of some time ago (T14, KIP-914).
//!
//! Timestamps decide, not offsets: a late record is the row of its time, not of now. It is handed on, but who counts or
//! joins the rows of now passes over it. What is older than the history that is kept is dropped and counted.

use std::sync::Arc;

use state_stores::{StoreKind, VersionedKeyValueStore};

use super::table_nodes::table_of;
use crate::builder::StreamsBuilder;
use crate::materialized::Materialized;
use crate::stream::KStream;
use crate::table::KTable;
use crate::topic::Topic;
use crate::view::View;

impl StreamsBuilder {
    /// Reads a topic as a table kept in the store `name`, with the versions that were valid in the last
    /// `history_retention_ms` (> 0) of stream time. A stream that joins it meets the row of its record's time.
    pub fn versioned_table<K, V>(
        &self,
        name: &str,
        topic: &Topic<K, V>,
        history_retention_ms: i64,
    ) -> KTable<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let store = Materialized::as_(name, Arc::clone(topic.key()), Arc::clone(topic.value()));
        self.stream(topic).to_versioned_table(&store, history_retention_ms)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// As [`Self::to_table`], with versions: see [`StreamsBuilder::versioned_table`].
    ///
    /// # Panics
    /// When the retention isn't positive.
    pub fn to_versioned_table(
        &self,
        materialized: &Materialized<K, V>,
        history_retention_ms: i64,
    ) -> KTable<K, V> {
        assert!(history_retention_ms > 0, "a history retention must be positive");
        let store = materialized.declare(StoreKind::Versioned { history_retention_ms });
        let kind = "versioned-table";
        let table = table_of::<K, V, VersionedKeyValueStore<K, V>>(self, kind, materialized, store);
        KTable { view: Some(View::versioned(materialized, history_retention_ms)), ..table }
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{Materialized, StreamsBuilder, TopologyTestDriver};

    #[test]
    fn a_late_row_is_handed_on_but_neither_joined_nor_counted() {
        let builder = StreamsBuilder::new("test");
        let table = builder.versioned_table("t", &numbers("in"), 100);
        let doubled = table.map_values(|n| n * 2);
        doubled.to_stream().to(&numbers("rows"));
        let other = builder.table("other", &numbers("other"));
        table.join("j", &other, |n, other| n + other).to_stream().to(&numbers("joined"));
        let stream = builder.stream(&numbers("stream"));
        stream.left_join("k", &doubled, |n, row| n + row.unwrap_or(&-5)).to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("other")).pipe_at("k", &1000, 0);
        for (n, time) in [(1, 100), (2, 200), (3, 150), (4, 99)] {
            driver.input(&numbers("in")).pipe_at("k", &n, time);
        }
        driver.restart();
        let rows = driver.output(&numbers("rows")).read_values();
        assert_eq!(rows, [2, 4, 6], "what is older than the history is dropped");
        assert_eq!(driver.output(&numbers("joined")).read_values(), [1001, 1002]);
        for time in [120, 150, 199, 200, 300, 99] {
            driver.input(&numbers("stream")).pipe_at("k", &0, time);
        }
        let out = driver.output(&numbers("out")).read_key_values();
        assert_eq!(out, [2, 6, 6, 4, 4, -5].map(|n| pair("k", n)));
        let store = Materialized::<str, i64>::as_("t", Utf8, I64Be);
        assert_eq!(driver.table_row(&store, "k"), Some(2));
        assert_eq!(driver.table_row_as_of(&store, "k", 160), Some(3));
    }
}
