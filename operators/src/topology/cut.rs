//! Cuts the graph into sub-topologies and refuses circles.

use std::collections::BTreeSet;
use std::sync::Arc;

use state_stores::StoreSpec;

use super::{SubTopology, TopologyError};
use crate::graph::{Graph, NodeId, NodeKind};

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
        let shares = |other: &crate::graph::Node| {
            other.stores.iter().any(|store| node.stores.contains(store))
        };
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
pub(super) fn refuse_cycles(
    subs: &[SubTopology],
    feedback: &[Arc<str>],
) -> Result<(), TopologyError> {
    let mut done = BTreeSet::new();
    for sub in 0..subs.len() {
        let mut path = Vec::new();
        if let Some(topics) = cycle_from(subs, feedback, sub, &mut path, &mut done) {
            return Err(TopologyError::Cycle { topics });
        }
    }
    Ok(())
}

fn cycle_from(
    subs: &[SubTopology],
    feedback: &[Arc<str>],
    at: usize,
    path: &mut Vec<(usize, Arc<str>)>,
    done: &mut BTreeSet<usize>,
) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|(sub, _)| *sub == at) {
        return Some(path[start..].iter().map(|(_, topic)| topic.to_string()).collect());
    }
    if done.contains(&at) {
        return None;
    }
    for topic in subs[at].sinks.iter().filter(|topic| !feedback.contains(topic)) {
        for next in (0..subs.len()).filter(|next| subs[*next].sources.contains(topic)) {
            path.push((at, Arc::clone(topic)));
            if let Some(found) = cycle_from(subs, feedback, next, path, done) {
                return Some(found);
            }
            path.pop();
        }
    }
    done.insert(at);
    None
}
