//! What a person does to a cluster whose applications stand still: sets offsets, forgets groups, deletes topics.
//!
//! Invariant: the broker refuses to touch a group that has members, whenever one came; what is asked beforehand only
//! makes the message better.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;
use crate::group::{GroupDescription, has_members};
use crate::record::TopicPartition;

use super::context::Quiet;
use super::metadata::{ASK_AGAIN, partition_count, with_offsets};
use super::native::describe_group;
use super::triage::{by_code, sort};

/// See [`crate::Admin::group`].
pub(super) fn describe(
    client: &AdminClient<Quiet>,
    group: &str,
    timeout: Duration,
) -> Result<GroupDescription, LogError> {
    describe_group(client.inner(), group, timeout)
        .map_err(|error| sort(&error, format_args!("describing group {group}")))
}

/// See [`crate::Admin::set_offsets`]. `client` is of this group and reads nothing.
pub(super) fn set_offsets(
    client: &BaseConsumer<Quiet>,
    group: &str,
    offsets: &[(TopicPartition, i64)],
) -> Result<(), LogError> {
    match client.commit(&with_offsets(offsets)?, CommitMode::Sync) {
        Ok(()) => Ok(()),
        Err(KafkaError::ConsumerCommit(Code::UnknownMemberId | Code::IllegalGeneration)) => {
            Err(has_members(group, "the broker says so"))
        }
        Err(error) => Err(sort(&error, format_args!("setting offsets of group {group}"))),
    }
}

/// See [`crate::Admin::forget_group`].
pub(super) fn forget_group(
    client: &AdminClient<Quiet>,
    group: &str,
    timeout: Duration,
) -> Result<(), LogError> {
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let done = block_on(client.delete_groups(&[group], &options))
        .map_err(|error| sort(&error, format_args!("forgetting group {group}")))?;
    done.into_iter().try_for_each(|result| match result {
        Ok(_) | Err((_, Code::GroupIdNotFound)) => Ok(()),
        Err((_, Code::NonEmptyGroup)) => Err(has_members(group, "the broker says so")),
        Err((_, code)) => Err(by_code(code, format!("forgetting group {group}: {code}"))),
    })
}

/// See [`crate::Admin::delete_topics`]. Returns when this client sees that they are gone.
pub(super) fn delete_topics(
    client: &AdminClient<Quiet>,
    topics: &[&str],
    timeout: Duration,
) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let options =
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let done = block_on(client.delete_topics(topics, &options))
        .map_err(|error| sort(&error, format_args!("deleting {topics:?}")))?;
    for result in done {
        match result {
            Ok(_) | Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {}
            Err((topic, code)) => {
                return Err(by_code(code, format!("deleting topic {topic}: {code}")));
            }
        }
    }
    let deadline = Instant::now() + timeout;
    for topic in topics {
        while partition_count(client.inner(), topic, timeout)?.is_some() {
            if Instant::now() >= deadline {
                return Err(LogError::Retriable(format!("topic {topic} is still there")));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
    Ok(())
}
