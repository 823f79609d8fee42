//! Text in the form of Kafka Streams' `Topology#describe`, with stores and global tables below.

use std::fmt;
use std::sync::Arc;

use super::{Topology, kind_of, written};
use crate::graph::{Node, NodeId, NodeKind};

pub(crate) fn describe(topology: &Topology, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "Topologies:")?;
    for (id, nodes) in topology.inner.nodes.iter().enumerate() {
        writeln!(f, "   Sub-topology: {id}")?;
        for node in nodes {
            describe_node(topology, &topology.graph().nodes[node.0], f)?;
        }
        for store in &topology.inner.subtopologies[id].stores {
            let (name, kind) = (&store.name, kind_of(store));
            writeln!(f, "    Store: {name} ({kind}, changelog: {})", store.changelog_topic)?;
        }
    }
    for table in topology.global_tables() {
        writeln!(f, "   Global table: {} (topic: {})", table.store, table.topic)?;
    }
    Ok(())
}

fn describe_node(topology: &Topology, node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &node.kind {
        NodeKind::Source(topic) => {
            write!(f, "    Source: {} (topics: [{topic}]", node.name)?;
            if !node.stores.is_empty() {
                write!(f, ", stores: [{}]", list(&node.stores))?;
            }
            writeln!(f, ")")?;
        }
        NodeKind::Sink(topics) => {
            let topics: Vec<&str> = written(topics).collect();
            writeln!(f, "    Sink: {} (topic: {})", node.name, topics.join(", "))?;
        }
        NodeKind::Operator(_) => {
            write!(f, "    Processor: {} (stores: [{}]", node.name, list(&node.stores))?;
            if !node.globals.is_empty() {
                let tables = &topology.graph().globals;
                let names = node.globals.iter().map(|table| Arc::clone(&tables[*table].store));
                write!(f, ", global tables: [{}]", list(&names.collect::<Vec<_>>()))?;
            }
            writeln!(f, ")")?;
        }
    }
    if !matches!(node.kind, NodeKind::Sink(_)) {
        writeln!(f, "      --> {}", names(topology, &node.children))?;
    }
    if !matches!(node.kind, NodeKind::Source(_)) {
        writeln!(f, "      <-- {}", names(topology, &node.parents))?;
    }
    Ok(())
}

fn names(topology: &Topology, nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| &*topology.graph().nodes[node.0].name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn list(items: &[Arc<str>]) -> String {
    items.join(", ")
}
