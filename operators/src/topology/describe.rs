//! The topology as text (the form of Kafka Streams' `describe`) and as a Mermaid chart.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::Topology;
use crate::graph::{NodeId, NodeKind};

fn names(topology: &Topology, nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| &*topology.graph().nodes[node.0].name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn list(items: &[Arc<str>]) -> String {
    items.join(", ")
}

pub(super) fn describe(topology: &Topology, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "Topologies:")?;
    for (id, nodes) in topology.inner.nodes.iter().enumerate() {
        writeln!(f, "   Sub-topology: {id}")?;
        for node in nodes {
            let node = &topology.graph().nodes[node.0];
            match &node.kind {
                NodeKind::Source(topic) => {
                    writeln!(f, "    Source: {} (topics: [{topic}])", node.name)?
                }
                NodeKind::Sink(topics) => {
                    writeln!(f, "    Sink: {} (topic: {})", node.name, list(topics))?
                }
                NodeKind::Operator(_) => {
                    writeln!(f, "    Processor: {} (stores: [{}])", node.name, list(&node.stores))?;
                }
            }
            if !matches!(node.kind, NodeKind::Sink(_)) {
                writeln!(f, "      --> {}", names(topology, &node.children))?;
            }
            if !matches!(node.kind, NodeKind::Source(_)) {
                writeln!(f, "      <-- {}", names(topology, &node.parents))?;
            }
        }
    }
    for table in topology.global_tables() {
        writeln!(f, "   Global table: {} (topic: {})", table.store, table.topic)?;
    }
    Ok(())
}

/// Text that is safe in a Mermaid label.
fn label(text: &str) -> String {
    text.replace('"', "'")
}

pub(super) fn mermaid(topology: &Topology) -> String {
    let mut chart = String::from("flowchart TD\n");
    write_chart(topology, &mut chart).expect("a String takes all text");
    chart
}

fn write_chart(topology: &Topology, out: &mut String) -> fmt::Result {
    let graph = topology.graph();
    for (sub, nodes) in topology.inner.nodes.iter().enumerate() {
        writeln!(out, "  subgraph s{sub} [\"sub-topology {sub}\"]")?;
        for node in
            nodes.iter().filter(|node| matches!(graph.nodes[node.0].kind, NodeKind::Operator(_)))
        {
            writeln!(out, "    n{}[\"{}\"]", node.0, label(&graph.nodes[node.0].name))?;
        }
        for store in &topology.inner.subtopologies[sub].stores {
            writeln!(out, "    store_{}[(\"{}\")]", anchor(&store.name), label(&store.name))?;
        }
        writeln!(out, "  end")?;
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        let from = match &node.kind {
            NodeKind::Source(topic) => format!("t_{}([\"{}\"])", anchor(topic), label(topic)),
            _ => format!("n{id}"),
        };
        for child in &node.children {
            match &graph.nodes[child.0].kind {
                NodeKind::Sink(topics) => {
                    for topic in topics {
                        writeln!(out, "  {from} --> t_{}([\"{}\"])", anchor(topic), label(topic))?;
                    }
                }
                _ => writeln!(out, "  {from} --> n{}", child.0)?,
            }
        }
        for store in &node.stores {
            writeln!(out, "  n{id} -.- store_{}", anchor(store))?;
        }
        for global in &node.globals {
            let table = &graph.globals[*global];
            writeln!(
                out,
                "  g_{}[(\"{} (global)\")] -.- n{id}",
                anchor(&table.store),
                label(&table.store)
            )?;
        }
    }
    Ok(())
}

fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
