//! Partition counts: which topics must agree, and which follow another.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::StoreKind;

use super::{InternalTopic, InternalTopicKind, Topology, TopologyError};
use crate::graph::NodeKind;

/// A changelog of windows keeps a day more than the store does, as Kafka Streams does.
const ADDITIONAL_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

/// Where a topic's partition count comes from.
enum Count {
    /// The flow says it.
    Fixed(u32),
    /// The user's topic that has it: itself, or another.
    Like(Arc<str>),
}

pub(super) fn internal_topics(topology: &Topology) -> Vec<InternalTopic> {
    let mut topics = Vec::new();
    let mut add = |name: &Arc<str>, kind, read: &Arc<str>| {
        let (partitions, partitions_like) = match count(topology, read) {
            Count::Fixed(partitions) => (Some(partitions), Arc::clone(read)),
            Count::Like(topic) => (None, topic),
        };
        topics.push(InternalTopic { name: Arc::clone(name), kind, partitions_like, partitions });
    };
    for repartition in &topology.graph().repartitions {
        add(&repartition.topic, InternalTopicKind::Repartition, &repartition.topic);
    }
    for control in &topology.graph().controls {
        add(control, InternalTopicKind::Control, control);
    }
    for sub in topology.subtopologies() {
        for store in &sub.stores {
            let retention_ms = match store.kind {
                // Its newest rows are kept for ever; the store deletes the older ones itself.
                StoreKind::Versioned { .. } => None,
                kind => kind.retention_ms().map(|ms| ms.saturating_add(ADDITIONAL_RETENTION_MS)),
            };
            let compact = !matches!(store.kind, StoreKind::Window { duplicates: true, .. });
            let kind = InternalTopicKind::Changelog { compact, retention_ms };
            add(&store.changelog_topic, kind, &sub.sources[0]);
        }
    }
    topics
}

/// Of a repartition or control topic: what the flow says of it; or else what a user's topic read beside it has; or else what the
/// flow says of a repartition topic beside it; or else what those further up have.
fn count(topology: &Topology, topic: &Arc<str>) -> Count {
    let repartitions = &topology.graph().repartitions;
    let of = |topic: &Arc<str>| repartitions.iter().find(|r| r.topic == *topic);
    let controls = &topology.graph().controls;
    let internal = |topic: &Arc<str>| of(topic).is_some() || controls.contains(topic);
    let subs = &topology.inner.subtopologies;
    let mut at = Arc::clone(topic);
    // Each round goes one sub-topology up, so the way ends.
    for _ in 0..=subs.len() {
        if !internal(&at) {
            break;
        }
        if let Some(partitions) = of(&at).and_then(|repartition| repartition.partitions) {
            return Count::Fixed(partitions);
        }
        let Some(reader) = subs.iter().find(|sub| sub.sources.contains(&at)) else { break };
        if let Some(beside) = reader.sources.iter().find(|source| !internal(source)) {
            return Count::Like(Arc::clone(beside));
        }
        if let Some(partitions) = reader.sources.iter().find_map(|source| of(source)?.partitions) {
            return Count::Fixed(partitions);
        }
        // Only internal topics here: all follow the first repartition topic, so they agree.
        let upstream = reader.sources.iter().find_map(of).and_then(|first| {
            topology.inner.nodes.iter().position(|nodes| nodes.contains(&first.writer))
        });
        let Some(upstream) = upstream else { break };
        at = Arc::clone(&subs[upstream].sources[0]);
    }
    Count::Like(at)
}

pub(super) fn check(
    topology: &Topology,
    of: &dyn Fn(&str) -> Option<u32>,
) -> Result<BTreeMap<u32, u32>, TopologyError> {
    let mut counts = BTreeMap::new();
    for sub in topology.subtopologies() {
        let mut agreed: Option<(String, u32)> = None;
        for topic in &sub.sources {
            let count = match (of(topic), count(topology, topic)) {
                (Some(found), Count::Fixed(fixed)) if found != fixed => {
                    let topic = topic.to_string();
                    return Err(TopologyError::PartitionsFixed { topic, fixed, found });
                }
                (Some(count), _) | (None, Count::Fixed(count)) => count,
                (None, Count::Like(like)) => of(&like).ok_or_else(|| missing(&like))?,
            };
            match &agreed {
                Some((first, first_count)) if *first_count != count => {
                    return Err(TopologyError::NotCopartitioned {
                        node: meeting(topology, sub.id, [first, topic]),
                        first: first.clone(),
                        first_count: *first_count,
                        second: topic.to_string(),
                        second_count: count,
                    });
                }
                Some(_) => {}
                None => agreed = Some((topic.to_string(), count)),
            }
        }
        if let Some((_, count)) = agreed {
            counts.insert(sub.id, count);
        }
    }
    Ok(counts)
}

/// The first node whose records, or rows of whose stores, come from both topics.
fn meeting(topology: &Topology, sub: u32, topics: [&str; 2]) -> String {
    let graph = topology.graph();
    let mut from: BTreeMap<usize, [bool; 2]> = BTreeMap::new();
    for id in &topology.inner.nodes[sub as usize] {
        let node = &graph.nodes[id.0];
        let mut reached = match &node.kind {
            NodeKind::Source(topic) => topics.map(|other| other == &**topic),
            _ => [false; 2],
        };
        let is_above = |other: usize| {
            let shares = |store| graph.nodes[other].stores.contains(store);
            node.parents.iter().any(|parent| parent.0 == other) || node.stores.iter().any(shares)
        };
        for (_, above) in from.iter().filter(|(other, _)| is_above(**other)) {
            reached = [reached[0] || above[0], reached[1] || above[1]];
        }
        if reached == [true; 2] {
            return node.name.to_string();
        }
        from.insert(id.0, reached);
    }
    format!("sub-topology {sub}")
}

fn missing(topic: &str) -> TopologyError {
    TopologyError::MissingTopic { topic: topic.to_owned() }
}
