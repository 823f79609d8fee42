//! Pictures of a topology: text, Mermaid, DOT and JSON, each of the whole value and from it alone.
//!
//! Invariant: the same topology gives the same picture, byte for byte, so that pictures can be kept and compared.

mod dot;
mod json;
mod mermaid;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use state_stores::{StoreKind, StoreSpec};

pub(super) use self::dot::dot;
pub(super) use self::json::json;
pub(super) use self::mermaid::mermaid;
pub(super) use self::text::describe;
use super::Topology;
use crate::graph::{Node, NodeKind};

/// Stands for topics that nobody knows before the flow runs.
const NAMED_BY_RECORDS: &str = "named by the records";

/// The topics that the topology reads or writes, by name; changelogs and global tables are not among them.
fn topics(topology: &Topology) -> Vec<&str> {
    let subs = topology.subtopologies().iter();
    let all: BTreeSet<&str> =
        subs.flat_map(|sub| sub.sources.iter().chain(&sub.sinks)).map(|topic| &**topic).collect();
    all.into_iter().collect()
}

/// As [`topics`], for charts: with one more that stands for those that records name.
fn drawn_topics(topology: &Topology) -> Vec<&str> {
    let mut drawn = topics(topology);
    let named = |node: &Node| matches!(&node.kind, NodeKind::Sink(topics) if topics.is_empty());
    drawn.extend(topology.graph().nodes.iter().any(named).then_some(NAMED_BY_RECORDS));
    drawn
}

/// What a sink writes, as charts have it.
fn written(topics: &[Arc<str>]) -> impl Iterator<Item = &str> {
    let named = topics.is_empty().then_some(NAMED_BY_RECORDS);
    topics.iter().map(|topic| &**topic).chain(named)
}

fn is_repartition(topology: &Topology, topic: &str) -> bool {
    topology.graph().repartitions.iter().any(|repartition| &*repartition.topic == topic)
}

/// What a store is, in a few words.
fn kind_of(store: &StoreSpec) -> &'static str {
    match store.kind {
        StoreKind::KeyValue => "key-value",
        StoreKind::Window { .. } => "window",
        StoreKind::Session { .. } => "session",
        StoreKind::Versioned { .. } => "versioned",
    }
}

/// One line of a chart between two things that are drawn.
enum Arrow<'a> {
    FromTopic(&'a str, usize),
    ToTopic(usize, &'a str),
    Between(usize, usize),
    /// From a source right into a sink.
    Topics(&'a str, &'a str),
}

/// The ways of records in a chart that draws topics and operators: sources and sinks are their topics.
fn arrows(topology: &Topology) -> Vec<Arrow<'_>> {
    let nodes = &topology.graph().nodes;
    let mut arrows = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        for child in &node.children {
            match (&node.kind, &nodes[child.0].kind) {
                (NodeKind::Source(from), NodeKind::Sink(to)) => {
                    arrows.extend(written(to).map(|to| Arrow::Topics(from, to)));
                }
                (NodeKind::Source(topic), _) => arrows.push(Arrow::FromTopic(topic, child.0)),
                (_, NodeKind::Sink(topics)) => {
                    arrows.extend(written(topics).map(|topic| Arrow::ToTopic(id, topic)));
                }
                _ => arrows.push(Arrow::Between(id, child.0)),
            }
        }
    }
    arrows
}
