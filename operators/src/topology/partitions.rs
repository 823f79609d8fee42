//! Partition counts: which topics must agree, and which follow another.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::StoreKind;

use super::{InternalTopic, InternalTopicKind, Topology, TopologyError};

/// A changelog of windows keeps a day more than the store does, as Kafka Streams does.
const ADDITIONAL_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn internal_topics(topology: &Topology) -> Vec<InternalTopic> {
    let mut topics = Vec::new();
    for repartition in &topology.graph().repartitions {
        topics.push(InternalTopic {
            name: Arc::clone(&repartition.topic),
            kind: InternalTopicKind::Repartition,
            partitions_like: external(topology, &repartition.topic),
        });
    }
    for sub in topology.subtopologies() {
        for store in &sub.stores {
            let retention_ms = match store.kind {
                // Its newest rows are kept for ever; the store deletes the older ones itself.
                StoreKind::Versioned { .. } => None,
                kind => kind.retention_ms().map(|ms| ms.saturating_add(ADDITIONAL_RETENTION_MS)),
            };
            let compact = !matches!(store.kind, StoreKind::Window { duplicates: true, .. });
            topics.push(InternalTopic {
                name: Arc::clone(&store.changelog_topic),
                kind: InternalTopicKind::Changelog { compact, retention_ms },
                partitions_like: external(topology, &sub.sources[0]),
            });
        }
    }
    topics
}

/// The user's topic whose partition count this topic has: itself, or for a repartition topic one
/// that is read beside it, or else one further up.
fn external(topology: &Topology, topic: &Arc<str>) -> Arc<str> {
    let repartitions = &topology.graph().repartitions;
    let writer_of =
        |topic: &Arc<str>| repartitions.iter().find(|r| r.topic == *topic).map(|r| r.writer);
    let subs = &topology.inner.subtopologies;
    let mut at = Arc::clone(topic);
    // Each round goes one sub-topology up, so the way ends.
    for _ in 0..=subs.len() {
        if writer_of(&at).is_none() {
            break;
        }
        let Some(reader) = subs.iter().find(|sub| sub.sources.contains(&at)) else { break };
        if let Some(beside) = reader.sources.iter().find(|source| writer_of(source).is_none()) {
            return Arc::clone(beside);
        }
        // Only repartition topics here: all follow the first of them, so they agree.
        let upstream = writer_of(&reader.sources[0]).and_then(|writer| {
            topology.inner.nodes.iter().position(|nodes| nodes.contains(&writer))
        });
        let Some(upstream) = upstream else { break };
        at = Arc::clone(&subs[upstream].sources[0]);
    }
    at
}

pub(super) fn check(
    topology: &Topology,
    of: &dyn Fn(&str) -> Option<u32>,
) -> Result<BTreeMap<u32, u32>, TopologyError> {
    let mut counts = BTreeMap::new();
    for sub in topology.subtopologies() {
        let mut agreed: Option<(String, u32)> = None;
        for topic in &sub.sources {
            let like = external(topology, topic);
            let count = match (of(topic), like == *topic) {
                (Some(count), _) => count,
                (None, false) => of(&like).ok_or_else(|| missing(&like))?,
                (None, true) => return Err(missing(topic)),
            };
            match &agreed {
                Some((first, first_count)) if *first_count != count => {
                    return Err(TopologyError::NotCopartitioned {
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

fn missing(topic: &str) -> TopologyError {
    TopologyError::MissingTopic { topic: topic.to_owned() }
}
