//! JSON for other programs.
//!
//! ```json
//! {
//!   "application": "shop",
//!   "subtopologies": [{
//!     "id": 0,
//!     "sources": ["orders"],
//!     "sinks": ["totals"],
//!     "nodes": [
//!       { "name": "source-orders", "kind": "source", "topics": ["orders"], "from": [], "to": ["count"],
//!         "stores": [], "global_tables": [] },
//!       { "name": "count", "kind": "count", "topics": [], "from": ["source-orders"], "to": ["sink-totals-2"],
//!         "stores": ["count"], "global_tables": [] }
//!     ],
//!     "stores": [
//!       { "name": "count", "kind": "key-value", "retention_ms": null, "key": "utf8", "value": "i64-be",
//!         "changelog": "shop-count-changelog" }
//!     ]
//!   }],
//!   "topics": [
//!     { "name": "orders", "internal": false, "key": "utf8", "value": "utf8" },
//!     { "name": "totals", "internal": false, "key": null, "value": null }
//!   ],
//!   "global_tables": [{ "name": "products", "topic": "products" }]
//! }
//! ```
//!
//! `kind` of a node is `source`, `sink` or the operator's; `topics` are those it reads or writes; `from` and `to` are
//! names of nodes. Formats are known of topics that are read.

use serde::Serialize;

use super::{Topology, is_repartition, kind_of, topics};
use crate::graph::{Node, NodeId, NodeKind};

#[derive(Serialize)]
struct Picture<'a> {
    application: &'a str,
    subtopologies: Vec<Part<'a>>,
    topics: Vec<TopicEntry<'a>>,
    global_tables: Vec<GlobalEntry<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    id: u32,
    sources: &'a [std::sync::Arc<str>],
    sinks: &'a [std::sync::Arc<str>],
    nodes: Vec<NodeEntry<'a>>,
    stores: Vec<StoreEntry<'a>>,
}

#[derive(Serialize)]
struct NodeEntry<'a> {
    name: &'a str,
    kind: &'a str,
    topics: Vec<&'a str>,
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    stores: &'a [std::sync::Arc<str>],
    global_tables: Vec<&'a str>,
}

#[derive(Serialize)]
struct StoreEntry<'a> {
    name: &'a str,
    kind: &'a str,
    retention_ms: Option<i64>,
    key: &'a str,
    value: &'a str,
    changelog: &'a str,
}

#[derive(Serialize)]
struct TopicEntry<'a> {
    name: &'a str,
    internal: bool,
    key: Option<&'a str>,
    value: Option<&'a str>,
}

#[derive(Serialize)]
struct GlobalEntry<'a> {
    name: &'a str,
    topic: &'a str,
}

pub(crate) fn json(topology: &Topology) -> String {
    let graph = topology.graph();
    let parts = topology.subtopologies().iter().zip(&topology.inner.nodes);
    let picture = Picture {
        application: topology.application_id(),
        subtopologies: parts
            .map(|(sub, nodes)| Part {
                id: sub.id,
                sources: &sub.sources,
                sinks: &sub.sinks,
                nodes: nodes.iter().map(|id| node_entry(topology, &graph.nodes[id.0])).collect(),
                stores: sub.stores.iter().map(|store| store_entry(topology, store)).collect(),
            })
            .collect(),
        topics: topics(topology).into_iter().map(|topic| topic_entry(topology, topic)).collect(),
        global_tables: graph
            .globals
            .iter()
            .map(|table| GlobalEntry { name: &table.store, topic: &table.topic })
            .collect(),
    };
    serde_json::to_string_pretty(&picture).expect("names and numbers are valid JSON") + "\n"
}

fn node_entry<'a>(topology: &'a Topology, node: &'a Node) -> NodeEntry<'a> {
    let graph = topology.graph();
    let names = |nodes: &'a [NodeId]| nodes.iter().map(|id| &*graph.nodes[id.0].name).collect();
    NodeEntry {
        name: &node.name,
        kind: node.kind.word(),
        topics: match &node.kind {
            NodeKind::Source(topic) => vec![&**topic],
            NodeKind::Sink(topics) => topics.iter().map(|topic| &**topic).collect(),
            NodeKind::Operator(_) => Vec::new(),
        },
        from: names(&node.parents),
        to: names(&node.children),
        stores: &node.stores,
        global_tables: node.globals.iter().map(|table| &*graph.globals[*table].store).collect(),
    }
}

fn store_entry<'a>(topology: &'a Topology, store: &'a state_stores::StoreSpec) -> StoreEntry<'a> {
    let declared = topology.graph().stores.iter().find(|other| other.name == store.name);
    let (key, value) = declared.map_or(("", ""), |store| (&*store.formats.0, &*store.formats.1));
    StoreEntry {
        name: &store.name,
        kind: kind_of(store),
        retention_ms: store.kind.retention_ms(),
        key,
        value,
        changelog: &store.changelog_topic,
    }
}

fn topic_entry<'a>(topology: &'a Topology, topic: &'a str) -> TopicEntry<'a> {
    let graph = topology.graph();
    let source = graph.sources.iter().find(|(name, ..)| &**name == topic);
    let formats = source.and_then(|(_, node, _)| graph.nodes[node.0].formats.as_ref());
    TopicEntry {
        name: topic,
        internal: is_repartition(topology, topic),
        key: formats.map(|(key, _)| &**key),
        value: formats.map(|(_, value)| &**value),
    }
}
