//! A flowchart in Mermaid's language. Topics are round, stores and global tables are cylinders.

use std::fmt::{self, Write};

use super::{Arrow, Topology, arrows, drawn_topics};
use crate::graph::NodeKind;

pub(crate) fn mermaid(topology: &Topology, per_second: &dyn Fn(usize) -> Option<f64>) -> String {
    let mut chart = String::from("flowchart TD\n");
    write_chart(topology, per_second, &mut chart).expect("a String takes all text");
    chart
}

fn write_chart(
    topology: &Topology,
    per_second: &dyn Fn(usize) -> Option<f64>,
    out: &mut String,
) -> fmt::Result {
    let graph = topology.graph();
    let rate = |place: Option<usize>| match place.and_then(per_second) {
        Some(rate) => format!("<br>{rate:.1}/s"),
        None => String::new(),
    };
    let reader = |topic: &str| {
        graph
            .nodes
            .iter()
            .position(|node| matches!(&node.kind, NodeKind::Source(it) if **it == *topic))
    };
    // By number: two names may differ only in what an identifier can't hold.
    let topics = drawn_topics(topology);
    let topic = |name: &str| topics.iter().position(|topic| *topic == name).unwrap_or_default();
    let store =
        |name: &str| graph.stores.iter().position(|store| &*store.name == name).unwrap_or_default();
    for (id, name) in topics.iter().enumerate() {
        writeln!(out, "  t{id}([\"{}{}\"])", label(name), rate(reader(name)))?;
    }
    for (id, table) in graph.globals.iter().enumerate() {
        let (name, topic) = (label(&table.store), label(&table.topic));
        writeln!(out, "  g{id}[(\"{name}<br>global, of {topic}\")]")?;
    }
    for (id, sub) in topology.subtopologies().iter().enumerate() {
        writeln!(out, "  subgraph s{id} [\"sub-topology {id}\"]")?;
        for node in &topology.inner.nodes[id] {
            let drawn = &graph.nodes[node.0];
            if matches!(drawn.kind, NodeKind::Operator(_)) {
                let (name, rate) = (label(&drawn.name), rate(Some(node.0)));
                writeln!(out, "    n{}[\"{name}{rate}\"]", node.0)?;
            }
        }
        for kept in &sub.stores {
            writeln!(out, "    d{}[(\"{}\")]", store(&kept.name), label(&kept.name))?;
        }
        writeln!(out, "  end")?;
    }
    for arrow in arrows(topology) {
        match arrow {
            Arrow::FromTopic(from, to) => writeln!(out, "  t{} --> n{to}", topic(from))?,
            Arrow::ToTopic(from, to) => writeln!(out, "  n{from} --> t{}", topic(to))?,
            Arrow::Between(from, to) => writeln!(out, "  n{from} --> n{to}")?,
            Arrow::Topics(from, to) => writeln!(out, "  t{} --> t{}", topic(from), topic(to))?,
        }
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        for kept in &node.stores {
            match &node.kind {
                NodeKind::Source(read) => write!(out, "  t{}", topic(read))?,
                _ => write!(out, "  n{id}")?,
            }
            writeln!(out, " -.- d{}", store(kept))?;
        }
        for table in &node.globals {
            writeln!(out, "  g{table} -.- n{id}")?;
        }
    }
    Ok(())
}

/// Text that is safe in a Mermaid label.
fn label(text: &str) -> String {
    text.replace('"', "'")
}
