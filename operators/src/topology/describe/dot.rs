//! A directed graph in the language of Graphviz: `orders topology show --format dot | dot -Tsvg`.

use std::fmt::{self, Write};

use super::{Arrow, Topology, arrows, drawn_topics, is_repartition, kind_of};
use crate::graph::NodeKind;

pub(crate) fn dot(topology: &Topology) -> String {
    let mut text = String::new();
    write_graph(topology, &mut text).expect("a String takes all text");
    text
}

fn write_graph(topology: &Topology, out: &mut String) -> fmt::Result {
    let graph = topology.graph();
    writeln!(out, "digraph {} {{", quoted("", topology.application_id()))?;
    writeln!(out, "  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];")?;
    for topic in drawn_topics(topology) {
        let style = if is_repartition(topology, topic) { ", style=dashed" } else { "" };
        writeln!(
            out,
            "  {} [label={}, shape=ellipse{style}];",
            topic_id(topic),
            quoted("", topic)
        )?;
    }
    for table in &graph.globals {
        let label = quoted("", &format!("{}\nglobal, of {}", table.store, table.topic));
        writeln!(out, "  {} [label={label}, shape=cylinder];", quoted("global ", &table.store))?;
    }
    for (id, sub) in topology.subtopologies().iter().enumerate() {
        writeln!(out, "  subgraph cluster_{id} {{\n    label=\"sub-topology {id}\";")?;
        for node in topology.inner.nodes[id].iter().map(|node| &graph.nodes[node.0]) {
            if let NodeKind::Operator(_) = node.kind {
                let label = quoted("", &node.name);
                writeln!(out, "    {} [label={label}];", quoted("node ", &node.name))?;
            }
        }
        for store in &sub.stores {
            let label = quoted("", &format!("{}\n{}", store.name, kind_of(store)));
            writeln!(
                out,
                "    {} [label={label}, shape=cylinder];",
                quoted("store ", &store.name)
            )?;
        }
        writeln!(out, "  }}")?;
    }
    let node_id = |id: usize| quoted("node ", &graph.nodes[id].name);
    for arrow in arrows(topology) {
        let (from, to) = match arrow {
            Arrow::FromTopic(from, to) => (topic_id(from), node_id(to)),
            Arrow::ToTopic(from, to) => (node_id(from), topic_id(to)),
            Arrow::Between(from, to) => (node_id(from), node_id(to)),
            Arrow::Topics(from, to) => (topic_id(from), topic_id(to)),
        };
        writeln!(out, "  {from} -> {to};")?;
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        let stores = node.stores.iter().map(|store| quoted("store ", store));
        let tables =
            node.globals.iter().map(|table| quoted("global ", &graph.globals[*table].store));
        let drawn = match &node.kind {
            NodeKind::Source(topic) => topic_id(topic),
            _ => node_id(id),
        };
        for kept in stores.chain(tables) {
            writeln!(out, "  {drawn} -> {kept} [style=dotted, dir=none];")?;
        }
    }
    writeln!(out, "}}")
}

fn topic_id(topic: &str) -> String {
    quoted("topic ", topic)
}

/// A quoted identifier. The prefix keeps a node apart from the store or topic of its name.
fn quoted(prefix: &str, text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{prefix}{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_can_hold_anything() {
        assert_eq!(quoted("node ", "a \"b\" \\c\nd"), r#""node a \"b\" \\c\nd""#);
    }
}
