//! Making topics, and whether those that exist will do.
//!
//! Invariant: a topic passes only if its cleanup can't delete what its user
//! relies on; how long records are kept is the operator's choice.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResourceResult, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::error::LogError;
use crate::topic::{Cleanup, TopicSpec};

use super::context::Quiet;
use super::settings::MAX_BATCH_BYTES;
use super::triage::{by_code, sort};

/// How long a deleted key's tombstone can be read.
const TOMBSTONES: Duration = Duration::from_secs(24 * 60 * 60);

/// Compaction leaves the segment being written alone, so segments are small.
const COMPACTED_SEGMENT_BYTES: usize = 50 * 1024 * 1024;

/// How long a segment of few keys is written before it is compacted.
const OFTEN: Duration = Duration::from_secs(10 * 60);

/// Makes topics; one that somebody else makes meanwhile counts as made.
pub(super) fn create(
    client: &AdminClient<Quiet>,
    topics: &[&TopicSpec],
    timeout: Duration,
) -> Result<(), LogError> {
    let settings: Vec<_> = topics.iter().map(|topic| settings_of(&topic.cleanup)).collect();
    let new: Vec<_> =
        topics.iter().zip(&settings).map(|(topic, all)| new_topic(topic, all)).collect();
    let made =
        block_on(client.create_topics(&new, &asking(timeout).operation_timeout(Some(timeout))))
            .map_err(|error| sort(&error, "creating topics"))?;
    for result in made {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(by_code(code, format!("creating topic {topic}: {code}")));
            }
        }
    }
    Ok(())
}

/// Compares the partition count that was found.
pub(super) fn check_partitions(topic: &TopicSpec, found: u32) -> Result<(), LogError> {
    if found == topic.partitions {
        return Ok(());
    }
    Err(LogError::Fatal(format!(
        "topic {} has {found} partitions, not {}: use that count, or delete the topic",
        topic.name, topic.partitions
    )))
}

/// Compares `cleanup.policy` of topics that exist.
pub(super) fn check_policies(
    client: &AdminClient<Quiet>,
    topics: &[TopicSpec],
    timeout: Duration,
) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let found = block_on(client.describe_configs(&asked, &asking(timeout)))
        .map_err(|error| sort(&error, "asking for the settings of topics"))?;
    topics.iter().zip(found).try_for_each(|(topic, found)| check_policy(topic, found))
}

fn asking(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout))
}

fn check_policy(topic: &TopicSpec, found: ConfigResourceResult) -> Result<(), LogError> {
    let name = &topic.name;
    let settings = match found {
        Ok(settings) => settings,
        Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            tracing::warn!(
                topic = name,
                "cleanup.policy not checked: DESCRIBE_CONFIGS is not allowed to this client"
            );
            return Ok(());
        }
        // A broker that doesn't know the new topic yet.
        Err(code @ (Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {
            return Err(LogError::Retriable(format!("settings of topic {name}: {code}")));
        }
        Err(code) => return Err(by_code(code, format!("settings of topic {name}: {code}"))),
    };
    if settings.specifier != OwnedResourceSpecifier::Topic(name.clone()) {
        return Err(LogError::Fatal(format!("settings of topic {name}: the broker told others")));
    }
    let policy = settings.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
    match policy.and_then(|policy| misfit(&topic.cleanup, policy)) {
        None => Ok(()),
        Some(fault) => Err(LogError::Fatal(format!("topic {name} {fault}"))),
    }
}

/// Why a topic with this policy would lose what it is for.
fn misfit(wanted: &Cleanup, policy: &str) -> Option<String> {
    let is = policy.split(',').any(|part| part.trim() == "compact");
    let should = wanted.is_compacted();
    let (wanted, loss) = match (is, should) {
        (false, true) => (policy_of(wanted), "its retention would delete state"),
        (true, false) => (policy_of(wanted), "compaction would delete events"),
        _ => return None,
    };
    Some(format!(
        "has cleanup.policy={policy}, not {wanted}, so {loss}: change it (`kafka-configs --alter \
         --entity-type topics --add-config cleanup.policy=[{wanted}]`), or delete the topic"
    ))
}

fn policy_of(cleanup: &Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete(_) | Cleanup::Keep => "delete",
        Cleanup::Compact | Cleanup::CompactOften => "compact",
        Cleanup::CompactDelete(_) => "compact,delete",
    }
}

fn new_topic<'a>(topic: &'a TopicSpec, settings: &'a [(&'static str, String)]) -> NewTopic<'a> {
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(topic.replication));
    settings.iter().fold(new, |new, (name, value)| new.set(name, value))
}

/// Kafka's settings for what happens to old records.
fn settings_of(cleanup: &Cleanup) -> Vec<(&'static str, String)> {
    let millis = |time: &Duration| time.as_millis().to_string();
    let mut settings = vec![("max.message.bytes", MAX_BATCH_BYTES.to_string())];
    let policy = policy_of(cleanup);
    let retention = match cleanup {
        Cleanup::Delete(time) | Cleanup::CompactDelete(time) => Some(millis(time)),
        Cleanup::Keep => Some("-1".to_owned()),
        Cleanup::Compact | Cleanup::CompactOften => None,
    };
    settings.push(("cleanup.policy", policy.to_owned()));
    settings.extend(retention.map(|time| ("retention.ms", time)));
    if policy.starts_with("compact") {
        settings.push(("delete.retention.ms", millis(&TOMBSTONES)));
        settings.push(("segment.bytes", COMPACTED_SEGMENT_BYTES.to_string()));
    }
    if *cleanup == Cleanup::CompactOften {
        settings.push(("segment.ms", millis(&OFTEN)));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(cleanup: &Cleanup, name: &str) -> Option<String> {
        settings_of(cleanup).into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    #[test]
    fn cleanup_becomes_topic_settings() {
        let week = Duration::from_secs(7 * 86400);
        assert_eq!(value(&Cleanup::Delete(week), "retention.ms").as_deref(), Some("604800000"));
        assert_eq!(value(&Cleanup::Keep, "retention.ms").as_deref(), Some("-1"));
        assert_eq!(value(&Cleanup::Compact, "retention.ms"), None);
        assert_eq!(value(&Cleanup::Compact, "cleanup.policy").as_deref(), Some("compact"));
        assert_eq!(value(&Cleanup::Compact, "segment.ms"), None);
        assert_eq!(value(&Cleanup::CompactOften, "segment.ms").as_deref(), Some("600000"));
        assert_eq!(value(&Cleanup::CompactOften, "cleanup.policy").as_deref(), Some("compact"));
        let both = Cleanup::CompactDelete(week);
        assert_eq!(value(&both, "cleanup.policy").as_deref(), Some("compact,delete"));
        assert_eq!(value(&both, "delete.retention.ms").as_deref(), Some("86400000"));
    }

    #[test]
    fn only_a_policy_that_loses_something_is_a_misfit() {
        let day = Duration::from_secs(86_400);
        for (wanted, policy, fits) in [
            (Cleanup::Compact, "compact", true),
            (Cleanup::Compact, "delete,compact", true),
            (Cleanup::Compact, "delete", false),
            (Cleanup::CompactDelete(day), "compact", true),
            (Cleanup::CompactDelete(day), "delete", false),
            (Cleanup::Keep, "delete", true),
            (Cleanup::Delete(day), "delete", true),
            (Cleanup::Delete(day), "compact", false),
            (Cleanup::Keep, "compact,delete", false),
        ] {
            assert_eq!(misfit(&wanted, policy).is_none(), fits, "{wanted:?} on {policy}");
        }
    }
}
