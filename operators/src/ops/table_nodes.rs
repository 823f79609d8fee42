//! How the nodes of tables are added to the graph: behind a stream or behind any node, each with its stores.

use std::sync::Arc;

use state_stores::Serde;

use super::kept_rows::{KeptRows, RowStore};
use crate::assembly::Assembly;
use crate::builder::Flow;
use crate::graph::{Build, NodeId, NodeKind, StoreDecl};
use crate::materialized::Materialized;
use crate::stream::{KStream, Serdes};
use crate::table::KTable;

/// Adds the node `name` of a table behind `input`, with its stores.
pub(super) fn table_node(
    flow: &Flow,
    (name, kind): (&str, &'static str),
    input: NodeId,
    stores: impl IntoIterator<Item = StoreDecl>,
    build: Build,
) -> NodeId {
    let mut graph = flow.borrow_mut();
    let node = graph.add(Some(name), NodeKind::Operator(kind), &[input], build);
    for store in stores {
        graph.declare(node, store);
    }
    node
}

/// Adds the node of a table behind the stream, which is repartitioned by the result's key codec if need be. Its rows
/// can't be read yet.
pub(super) fn table_behind<K, V, KO, A>(
    stream: &KStream<K, V>,
    kind: &'static str,
    materialized: &Materialized<K, A>,
    stores: impl IntoIterator<Item = StoreDecl>,
    key: Serde<KO>,
    build: Build,
) -> KTable<KO, A>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    KO: ?Sized + 'static,
    A: ?Sized + 'static,
{
    let name = &materialized.name;
    let input = keyed(stream, materialized, name);
    let node = table_node(&input.flow, (name, kind), input.node, stores, build);
    let serdes = Serdes { key: Some(key), value: Some(Arc::clone(&materialized.value)) };
    KTable::new(&input.flow, node, None, serdes)
}

/// The stream by key, repartitioned under `name` with the key codec of the result if need be.
pub(super) fn keyed<K, V, A>(
    stream: &KStream<K, V>,
    materialized: &Materialized<K, A>,
    name: &str,
) -> KStream<K, V>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    A: ?Sized + 'static,
{
    stream.clone().with_key_serde(&materialized.key).keyed(name)
}

/// Adds the node of a table that is read from the stream into a store of this kind.
pub(super) fn table_of<K, V, S>(
    stream: &KStream<K, V>,
    kind: &'static str,
    materialized: &Materialized<K, V>,
    store: StoreDecl,
) -> KTable<K, V>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    S: RowStore<K, V> + 'static,
{
    let rows = materialized.clone();
    let build = move |assembly: &mut Assembly<'_>, id| {
        let node = KeptRows::<K, V, S>::open(assembly, id, &rows);
        assembly.install::<K, V>(id, node);
    };
    let stream = stream.clone().with_value_serde(&materialized.value);
    let key = Arc::clone(&materialized.key);
    table_behind(&stream, kind, materialized, [store], key, Box::new(build))
}
