//! Making topics, and whether those that exist will do.
//!
//! Invariant: a topic passes only if its cleanup can't delete what its user
//! relies on; how long a user's topic keeps its records is the operator's choice.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResourceResult, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::error::LogError;
use crate::topic::TopicSpec;

use super::cleanups::{Fault, Owner, faults, remedy, settings_of};
use super::context::Quiet;
use super::triage::{by_code, sort};

/// Makes topics; one that somebody else makes meanwhile counts as made.
pub(super) fn create(
    client: &AdminClient<Quiet>,
    topics: &[&TopicSpec],
    owner: Owner,
    timeout: Duration,
) -> Result<(), LogError> {
    let settings: Vec<_> = topics.iter().map(|topic| settings_of(&topic.cleanup, owner)).collect();
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

/// Compares what topics that exist do with old records.
pub(super) fn check_cleanups(
    client: &AdminClient<Quiet>,
    topics: &[TopicSpec],
    owner: Owner,
    timeout: Duration,
) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let found = block_on(client.describe_configs(&asked, &asking(timeout)))
        .map_err(|error| sort(&error, "asking for the settings of topics"))?;
    topics.iter().zip(found).try_for_each(|(topic, found)| check_cleanup(topic, owner, found))
}

fn asking(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout))
}

fn check_cleanup(
    topic: &TopicSpec,
    owner: Owner,
    found: ConfigResourceResult,
) -> Result<(), LogError> {
    let name = &topic.name;
    let settings = match found {
        Ok(settings) => settings,
        Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            tracing::warn!(
                topic = name,
                "settings not checked: DESCRIBE_CONFIGS is not allowed to this client"
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
    let found = |setting: &str| settings.get(setting).and_then(|entry| entry.value.as_deref());
    let faults = faults(&topic.cleanup, owner, found);
    if faults.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
    let (texts, remedy) = (texts.join("; "), remedy(name, &faults));
    Err(LogError::Fatal(format!("topic {name} has {texts}. Change it: {remedy}")))
}

fn new_topic<'a>(topic: &'a TopicSpec, settings: &'a [(&'static str, String)]) -> NewTopic<'a> {
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(topic.replication));
    settings.iter().fold(new, |new, (name, value)| new.set(name, value))
}
