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
            let retention_ms =
                store.kind.retention_ms().map(|ms| ms.saturating_add(ADDITIONAL_RETENTION_MS));
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

/// Follows repartition topics upwards to a topic of the user's.
fn external(topology: &Topology, topic: &Arc<str>) -> Arc<str> {
    let Some(repartition) = topology.graph().repartitions.iter().find(|r| r.topic == *topic) else {
        return Arc::clone(topic);
    };
    let writer = topology.inner.nodes.iter().position(|nodes| nodes.contains(&repartition.writer));
    let sources = writer.map(|sub| &topology.inner.subtopologies[sub].sources);
    let upstream = sources.and_then(|sources| {
        let own =
            |source: &&Arc<str>| topology.graph().repartitions.iter().any(|r| r.topic == **source);
        sources.iter().find(|source| !own(source)).or(sources.first())
    });
    upstream.map_or_else(|| Arc::clone(topic), |source| external(topology, source))
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
