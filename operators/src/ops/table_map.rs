//! `filter`, `filter_not`, `map_values`, `materialize`: a table made of another, row by row (T03, T04, T11).
//!
//! Filtered and mapped tables keep no rows: who reads one reads the table
//! before it and filters or maps again.

use std::sync::Arc;

use state_stores::{StoreError, StoreKind, TaskState};

use super::kept_rows::KeptRows;
use super::table_nodes::table_node;
use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::materialized::Materialized;
use crate::stream::Serdes;
use crate::table::KTable;
use crate::view::{Rows, Show, View};

type Keep<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;
type Map<K, V, VO> = Arc<dyn Fn(&K, &V) -> VO + Send + Sync>;

/// What doesn't match is a deletion. Where old rows are known, one that never matched is nothing.
struct FilterTable<K: ?Sized, V: ?Sized> {
    keep: Keep<K, V>,
    next: TableEdge<K, V>,
}

impl<K: ?Sized, V: ?Sized> Changes<K, V> for FilterTable<K, V> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let record = change.record;
        let kept = |value: &&V| record.key.is_some_and(|key| (self.keep)(key, value));
        let (new, old) = (record.value.filter(kept), change.old.filter(kept));
        if self.next.wants_old() && new.is_none() && old.is_none() {
            return Ok(());
        }
        self.next.change(Change { record: record.with_value(new), old, ..change }, ctx)
    }

    fn wants_old(&self) -> bool {
        self.next.wants_old()
    }
}

struct FilteredRows<K: ?Sized, V: ?Sized> {
    keep: Keep<K, V>,
    rows: Box<dyn Rows<K, V>>,
}

impl<K: ?Sized, V: ?Sized> Rows<K, V> for FilteredRows<K, V> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        let keep = &self.keep;
        self.rows.read(state, key, &mut |row| read(row.filter(|(row, _)| keep(key, row))))
    }

    fn read_as_of(
        &mut self,
        state: &TaskState,
        key: &K,
        as_of: i64,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        let keep = &self.keep;
        let mut filtered = |row: Option<(&V, i64)>| read(row.filter(|(row, _)| keep(key, row)));
        self.rows.read_as_of(state, key, as_of, &mut filtered)
    }
}

struct MapTable<K: ?Sized, V: ?Sized, VO> {
    map: Map<K, V, VO>,
    next: TableEdge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, VO> Changes<K, V> for MapTable<K, V, VO> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let record = change.record;
        let mapped = |value: &V| record.key.map(|key| (self.map)(key, value));
        let (new, old) = (record.value.and_then(mapped), change.old.and_then(mapped));
        let record = record.with_value(new.as_ref());
        let superseded = change.superseded;
        self.next.change(Change { record, old: old.as_ref(), superseded }, ctx)
    }

    fn wants_old(&self) -> bool {
        self.next.wants_old()
    }
}

/// Shows rows mapped.
fn mapped<'r, K: ?Sized, V: ?Sized, VO>(
    map: &'r Map<K, V, VO>,
    key: &'r K,
    read: &'r mut Show<'_, VO>,
) -> impl FnMut(Option<(&V, i64)>) + 'r {
    move |row| {
        let mapped = row.map(|(row, timestamp)| (map(key, row), timestamp));
        read(mapped.as_ref().map(|(row, timestamp)| (row, *timestamp)));
    }
}

struct MappedRows<K: ?Sized, V: ?Sized, VO> {
    map: Map<K, V, VO>,
    rows: Box<dyn Rows<K, V>>,
}

impl<K: ?Sized, V: ?Sized, VO> Rows<K, VO> for MappedRows<K, V, VO> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, VO>,
    ) -> Result<(), StoreError> {
        self.rows.read(state, key, &mut mapped(&self.map, key, read))
    }

    fn read_as_of(
        &mut self,
        state: &TaskState,
        key: &K,
        as_of: i64,
        read: &mut Show<'_, VO>,
    ) -> Result<(), StoreError> {
        self.rows.read_as_of(state, key, as_of, &mut mapped(&self.map, key, read))
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// The rows that satisfy `keep`. A row that doesn't (any more) is a deletion.
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter-table", Arc::new(keep))
    }

    /// The rows that don't satisfy `drop`. A row that does is a deletion.
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter-not-table", Arc::new(move |key: &K, value: &V| !drop(key, value)))
    }

    fn filtered(&self, kind: &'static str, keep: Keep<K, V>) -> Self {
        let view = self.view.clone().map(|view| {
            let keep = Arc::clone(&keep);
            view.clone().derived(move |assembly| {
                Box::new(FilteredRows { keep: Arc::clone(&keep), rows: view.open(assembly) })
            })
        });
        let node = self.then(kind, None, move |next| FilterTable { keep: Arc::clone(&keep), next });
        Self::new(&self.flow, node, view, self.serdes.clone())
    }

    /// The same rows with other values; a deletion stays a deletion.
    pub fn map_values<VO: 'static>(
        &self,
        map: impl Fn(&V) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        self.map_values_with_key(move |_, value| map(value))
    }

    /// As [`Self::map_values`], seeing the key.
    pub fn map_values_with_key<VO: 'static>(
        &self,
        map: impl Fn(&K, &V) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        let map: Map<K, V, VO> = Arc::new(map);
        let view = self.view.clone().map(|view| {
            let map = Arc::clone(&map);
            view.clone().derived(move |assembly| {
                Box::new(MappedRows { map: Arc::clone(&map), rows: view.open(assembly) })
            })
        });
        let node = self
            .then("map-values-table", None, move |next| MapTable { map: Arc::clone(&map), next });
        KTable::new(&self.flow, node, view, self.serdes.with_value(None))
    }

    /// The same table, with its rows in a store: to be queried, or so that rows that are dear to
    /// make are made once. They are kept until they are deleted, those of windows too.
    pub fn materialize(&self, materialized: &Materialized<K, V>) -> Self {
        let rows = materialized.clone();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let node = KeptRows::open(assembly, id, &rows);
            assembly.install_table::<K, V>(id, node);
        };
        let store = materialized.declare(StoreKind::KeyValue);
        let named = (&*materialized.name, "materialize");
        let node = table_node(&self.flow, named, self.node, [store], Box::new(build));
        let view = View::of_copy(materialized, self.view.as_ref());
        Self::new(&self.flow, node, Some(view), Serdes::of_store(materialized))
    }

    /// Adds a node below this one that takes the table's changes.
    pub(crate) fn then<KO, VO, P>(
        &self,
        kind: &'static str,
        name: Option<&str>,
        make: impl Fn(TableEdge<KO, VO>) -> P + Send + Sync + 'static,
    ) -> NodeId
    where
        KO: ?Sized + 'static,
        VO: ?Sized + 'static,
        P: Changes<K, V> + 'static,
    {
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.table_downstream::<KO, VO>(id);
            assembly.install_table::<K, V>(id, make(next));
        };
        self.flow.borrow_mut().add(name, NodeKind::Operator(kind), &[self.node], Box::new(build))
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{Materialized, StreamsBuilder, TopologyTestDriver};

    #[test]
    fn a_row_that_stops_matching_is_deleted_and_a_stream_can_join_what_is_left() {
        let builder = StreamsBuilder::new("test");
        let even = builder.table("t", &numbers("table")).filter(|_, n| n % 2 == 0);
        let doubled = even.map_values_with_key(|key, n| n * key.len() as i64);
        doubled.to_stream().to(&numbers("rows"));
        let stream = builder.stream(&numbers("in"));
        stream.left_join("j", &doubled, |n, row| n + row.unwrap_or(&1000)).to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for n in [2, 3, 4] {
            driver.input(&numbers("table")).pipe("kk", &n);
            driver.input(&numbers("in")).pipe("kk", &1);
        }
        let rows = driver.output(&numbers("rows")).read_key_values();
        assert_eq!(rows, [pair("kk", 4), (Some("kk".into()), None), pair("kk", 8)]);
        assert_eq!(driver.output(&numbers("out")).read_values(), [5, 1001, 9]);
    }

    #[test]
    fn a_materialized_table_is_kept() {
        let store = Materialized::<str, i64>::as_("odd", Utf8, I64Be);
        let builder = StreamsBuilder::new("test");
        builder.table("t", &numbers("in")).filter_not(|_, n| n % 2 == 0).materialize(&store);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe("k", &3);
        driver.restart();
        assert_eq!(driver.table_row(&store, "k"), Some(3));
        driver.input(&numbers("in")).pipe("k", &4);
        assert_eq!(driver.table_row(&store, "k"), None);
    }
}
