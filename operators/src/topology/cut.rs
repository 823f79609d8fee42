//! Cuts the graph into sub-topologies and refuses circles.

use std::collections::BTreeSet;
use std::sync::Arc;

use state_stores::StoreSpec;

use super::{SubTopology, TopologyError};
use crate::graph::{Graph, Node, NodeId, NodeKind};

/// Nodes connected by an edge or a store, each list ascending, in order of their first node.
pub(super) fn components(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut leader: Vec<usize> = (0..graph.nodes.len()).collect();
    let join = |leader: &mut Vec<usize>, a: usize, b: usize| {
        let (a, b) = (leader[a], leader[b]);
        let (low, high) = (a.min(b), a.max(b));
        leader.iter_mut().filter(|l| **l == high).for_each(|l| *l = low);
    };
    for (id, node) in graph.nodes.iter().enumerate() {
        for parent in &node.parents {
            join(&mut leader, id, parent.0);
        }
        let shares = |other: &Node| other.stores.iter().any(|store| node.stores.contains(store));
        for other in (0..id).filter(|other| shares(&graph.nodes[*other])) {
            join(&mut leader, id, other);
        }
    }
    let leaders: BTreeSet<usize> = leader.iter().copied().collect();
    let members =
        |of: usize| (0..leader.len()).filter(|id| leader[*id] == of).map(NodeId).collect();
    leaders.into_iter().map(members).collect()
}

/// What the runtime needs to know of these nodes.
pub(super) fn describe(graph: &Graph, id: usize, nodes: &[NodeId]) -> SubTopology {
    let mut sub = SubTopology {
        id: id as u32,
        sources: vec![],
        sinks: vec![],
        stores: vec![],
        uses_globals: vec![],
    };
    for node in nodes.iter().map(|id| &graph.nodes[id.0]) {
        match &node.kind {
            NodeKind::Source(topic) => sub.sources.push(Arc::clone(topic)),
            NodeKind::Sink(topics) => sub.sinks.extend(topics.iter().cloned()),
            NodeKind::Operator(_) => {}
        }
        for store in graph.stores.iter().filter(|store| node.stores.contains(&store.name)) {
            if sub.stores.iter().all(|known| known.name != store.name) {
                let (name, changelog_topic) =
                    (Arc::clone(&store.name), graph.changelog_topic(&store.name));
                sub.stores.push(StoreSpec { name, changelog_topic, kind: store.kind });
            }
        }
        sub.uses_globals.extend(&node.globals);
    }
    sub.sinks.sort();
    sub.sinks.dedup();
    sub.uses_globals.sort_unstable();
    sub.uses_globals.dedup();
    sub
}

/// A flow that feeds itself is refused unless the topic is declared as feedback.
///
/// Sub-topologies may well read what comes out of each other (a foreign-key join does), as long as
/// no record's effects come back to where the record was.
pub(super) fn refuse_cycles(graph: &Graph) -> Result<(), TopologyError> {
    let mut walk = Walk { graph, path: Vec::new(), done: BTreeSet::new() };
    for (_, source, _) in &graph.sources {
        if let Some(topics) = walk.cycle_from(*source) {
            let writes = |node: &&Node| matches!(&node.kind, NodeKind::Sink(to) if to.iter().any(|to| **to == *topics[0]));
            let writer = graph.nodes.iter().find(writes);
            let writer = writer.map(|node| node.name.to_string()).unwrap_or_default();
            return Err(TopologyError::Cycle { topics, writer });
        }
    }
    Ok(())
}

/// The way from source to source, over the topics that are written between them.
struct Walk<'a> {
    graph: &'a Graph,
    path: Vec<NodeId>,
    done: BTreeSet<NodeId>,
}

impl Walk<'_> {
    /// The topics of a circle through `source` or what comes after it.
    fn cycle_from(&mut self, source: NodeId) -> Option<Vec<String>> {
        if let Some(start) = self.path.iter().position(|node| *node == source) {
            let read = |node: &NodeId| match &self.graph.nodes[node.0].kind {
                NodeKind::Source(topic) => topic.to_string(),
                _ => self.graph.nodes[node.0].name.to_string(),
            };
            return Some(self.path[start..].iter().map(read).collect());
        }
        if !self.done.insert(source) {
            return None;
        }
        self.path.push(source);
        for next in self.after(source) {
            // A source that is done is on no circle, unless it is on the way here.
            if let Some(found) = self.cycle_from(next) {
                return Some(found);
            }
        }
        self.path.pop();
        None
    }

    /// The sources of all topics that records of `source` may be written to.
    fn after(&self, source: NodeId) -> Vec<NodeId> {
        let (mut seen, mut todo) = (BTreeSet::from([source]), vec![source]);
        let mut sources = Vec::new();
        while let Some(node) = todo.pop() {
            let node = &self.graph.nodes[node.0];
            if let NodeKind::Sink(topics) = &node.kind {
                let fed = |topic: &Arc<str>| {
                    topics.contains(topic) && !self.graph.feedback.contains(topic)
                };
                let read = self.graph.sources.iter().filter(|(topic, _, _)| fed(topic));
                sources.extend(read.map(|(_, source, _)| *source));
            }
            todo.extend(node.children.iter().filter(|child| seen.insert(**child)));
        }
        sources
    }
}
