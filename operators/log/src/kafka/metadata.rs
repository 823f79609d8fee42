//! What the cluster knows about topics, and our lists as librdkafka's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;

use crate::error::LogError;
use crate::record::TopicPartition;

use super::triage::{by_code, sort};

/// How long between two questions while leaders or coordinators move.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long a topic may be missing that somebody else should have made. A broker
/// learns of a new one within milliseconds, but within seconds where it has just
/// started and everybody makes topics at once.
const MISSING: Duration = Duration::from_secs(10);

/// Partition count of a topic; None if it doesn't exist.
pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<u32>, LogError> {
    Ok(match look(client, topic, timeout)? {
        Topic::Missing => None,
        Topic::Leaderless(count) | Topic::Ready(count) => Some(count),
    })
}

/// How long the question may take whether a topic is gone; it is asked again.
const MISSED: Duration = Duration::from_secs(1);

/// The first that isn't there of these topics, and of the partitions of them that are in use; what there is to say of it.
pub(super) fn first_missing<'t, C: ClientContext>(
    client: &Client<C>,
    in_use: impl IntoIterator<Item = (&'t str, u32)>,
) -> Result<Option<String>, LogError> {
    let mut topics = BTreeMap::new();
    for (topic, partition) in in_use {
        let highest = topics.entry(topic).or_insert(partition);
        *highest = partition.max(*highest);
    }
    for (topic, highest) in topics {
        let missed = lacking(topic, highest, partition_count(client, topic, MISSED)?);
        if missed.is_some() {
            return Ok(missed);
        }
    }
    Ok(None)
}

/// What is missing of a topic that has so many partitions where this one is in use.
fn lacking(topic: &str, highest: u32, count: Option<u32>) -> Option<String> {
    match count {
        None => Some(no_topic(topic)),
        // Where none is known there may be any number.
        Some(0) => None,
        Some(count) if count <= highest => Some(format!(
            "{topic}[{highest}] doesn't exist: the topic has only {count} partitions; give it as many as it had"
        )),
        Some(_) => None,
    }
}

/// Waits until every partition of the topic has a leader, as this very client
/// sees it: what it subscribes to or sends to next is then known to it. Returns
/// the partition count.
pub(super) fn wait_until_ready<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<u32, LogError> {
    wait_for_leaders(client, topic, timeout, MISSING)
}

/// The same for a topic that was just made: it will be there, however busy the
/// broker is, so its absence is no more than a reason to ask again.
pub(super) fn wait_until_made<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<u32, LogError> {
    match wait_for_leaders(client, topic, timeout, timeout) {
        Err(LogError::Fatal(reason)) => Err(LogError::Retriable(reason)),
        found => found,
    }
}

fn wait_for_leaders<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
    missing_for: Duration,
) -> Result<u32, LogError> {
    let started = Instant::now();
    loop {
        match look(client, topic, timeout)? {
            Topic::Ready(count) => return Ok(count),
            Topic::Missing if started.elapsed() >= missing_for => {
                return Err(LogError::Fatal(no_topic(topic)));
            }
            Topic::Leaderless(_) if started.elapsed() >= timeout => {
                return Err(LogError::Retriable(format!("topic {topic} has no leader yet")));
            }
            Topic::Missing | Topic::Leaderless(_) => std::thread::sleep(ASK_AGAIN),
        }
    }
}

fn no_topic(topic: &str) -> String {
    format!("topic {topic} doesn't exist: create it before it is used")
}

enum Topic {
    Missing,
    Leaderless(u32),
    Ready(u32),
}

fn look<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Topic, LogError> {
    let doing = || format!("asking for topic {topic}");
    let metadata =
        client.fetch_metadata(Some(topic), timeout).map_err(|error| sort(&error, doing()))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Topic::Missing);
    };
    match found.error().map(Code::from) {
        None | Some(Code::NoError) => Ok(with_leaders(found)),
        Some(Code::UnknownTopicOrPartition) => Ok(Topic::Missing),
        Some(Code::LeaderNotAvailable) => Ok(Topic::Leaderless(count(found))),
        Some(code) => Err(by_code(code, format!("{}: {code}", doing()))),
    }
}

fn with_leaders(topic: &MetadataTopic) -> Topic {
    let led = !topic.partitions().is_empty()
        && topic.partitions().iter().all(|partition| partition.leader() >= 0);
    if led { Topic::Ready(count(topic)) } else { Topic::Leaderless(count(topic)) }
}

fn count(topic: &MetadataTopic) -> u32 {
    u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)
}

/// A partition number as librdkafka wants it.
pub(super) fn native(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// A list with offsets. Negative ones would be taken as logical offsets.
pub(super) fn with_offsets(
    offsets: &[(TopicPartition, i64)],
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (at, offset) in offsets {
        if *offset < 0 {
            return Err(LogError::Fatal(format!("{at}: {offset} isn't an offset")));
        }
        list.add_partition_offset(&at.topic, native(at.partition), Offset::Offset(*offset))
            .map_err(|error| sort(&error, format_args!("{at} at {offset}")))?;
    }
    Ok(list)
}

/// A list without offsets.
pub(super) fn list_of<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition(&at.topic, native(at.partition));
    }
    list
}

/// What a list names.
pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition().unsigned_abs()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_lacks_itself_or_a_partition_that_is_in_use() {
        assert!(lacking("orders", 0, None).is_some_and(|text| text.contains("topic orders")));
        assert!(lacking("orders", 3, Some(3)).is_some_and(|text| text.contains("orders[3]")));
        assert_eq!(lacking("orders", 3, Some(4)), None);
        assert_eq!(lacking("orders", 3, Some(0)), None, "nobody says how many");
    }
}
