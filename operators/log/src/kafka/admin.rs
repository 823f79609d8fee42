//! Offsets, and what is known of topics.
//!
//! Offsets are asked for by clients that do nothing else: on a consumer that
//! reads, every question waits behind its long poll.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use hashbrown::HashMap;
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};

use crate::error::LogError;
use crate::group::GroupDescription;
use crate::record::TopicPartition;
use crate::topic::{TopicDescription, TopicSpec};
use crate::traits::{Admin, Isolation};

use super::cleanups::Owner;
use super::context::Quiet;
use super::doubt::Doubt;
use super::metadata::{
    ASK_AGAIN, first_missing, list_of, partition_count, wait_until_made, with_offsets,
};
use super::native::topic_ids;
use super::settings::KafkaOptions;
use super::topics::{check_cleanups, check_partitions, create};
use super::triage::{code_of, is_unknown, sort, sort_question};
use super::upkeep;

/// How long a caller that works on is held up for a deletion; it can ask again.
const DELETING: Duration = Duration::from_secs(1);

/// See [`Admin`].
pub(super) struct KafkaAdmin {
    client: AdminClient<Quiet>,
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
    /// One client for each group whose offsets were asked for.
    groups: Mutex<HashMap<String, BaseConsumer<Quiet>>>,
    options: KafkaOptions,
    /// Of a partition whose offsets were asked for.
    doubt: Mutex<Doubt>,
}

impl KafkaAdmin {
    pub(super) fn connect(options: &KafkaOptions) -> Result<Self, LogError> {
        let failed = |error: KafkaError| sort(&error, "making the admin clients");
        let asking = |isolation| {
            let config = options.asking(isolation);
            BaseConsumer::from_config_and_context(&config, Quiet).map_err(failed)
        };
        Ok(Self {
            client: AdminClient::from_config_and_context(&options.admin(), Quiet)
                .map_err(failed)?,
            committed: asking(Isolation::ReadCommitted)?,
            uncommitted: asking(Isolation::ReadUncommitted)?,
            groups: Mutex::default(),
            options: options.clone(),
            doubt: Mutex::default(),
        })
    }

    /// Asks for the offsets of one kind of all partitions, in one request for
    /// each broker.
    fn offsets(
        &self,
        of: &[TopicPartition],
        kind: Offset,
        isolation: Isolation,
    ) -> Result<Vec<i64>, LogError> {
        let found = self.look_up(of, kind, isolation)?;
        of.iter().zip(found).map(|(at, found)| found.ok_or_else(|| unanswered(at))).collect()
    }

    /// None where the answer is no offset: there is no such record.
    fn look_up(
        &self,
        of: &[TopicPartition],
        kind: Offset,
        isolation: Isolation,
    ) -> Result<Vec<Option<i64>>, LogError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let client = match isolation {
            Isolation::ReadCommitted => &self.committed,
            Isolation::ReadUncommitted => &self.uncommitted,
        };
        let timeout = self.options.request_timeout;
        self.asking_again(|| {
            let mut list = list_of(of);
            list.set_all_offsets(kind).map_err(|error| sort(&error, "asking for offsets"))?;
            let answer = client.offsets_for_times(list, timeout);
            serve(client);
            if is_unknown_in(&answer) {
                self.settle(of)?;
            }
            let found =
                answer.map_err(|error| sort_question(&error, format_args!("offsets of {of:?}")))?;
            of.iter().map(|at| offset_in(&found, at)).collect()
        })
    }

    /// Whether these are there, of which a broker said that one isn't.
    fn settle(&self, of: &[TopicPartition]) -> Result<(), LogError> {
        let (mut doubt, now) = (self.doubt.lock(), Instant::now());
        doubt.raise(now);
        let in_use = of.iter().map(|at| (&*at.topic, at.partition));
        doubt.settle(now, || first_missing(self.client.inner(), in_use))
    }

    /// Lends the client that speaks for a group without being in it.
    fn of_group<T>(
        &self,
        group: &str,
        ask: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut groups = self.groups.lock();
        if !groups.contains_key(group) {
            let ahead = self.options.fetch_ahead(1);
            let config =
                self.options.reader("orders-admin", group, Isolation::ReadCommitted, ahead);
            let client = BaseConsumer::from_config_and_context(&config, Quiet)
                .map_err(|error| sort(&error, format_args!("asking for group {group}")))?;
            groups.insert(group.to_owned(), client);
        }
        let client = &groups[group];
        let answer = ask(client);
        serve(client);
        answer
    }

    fn ensure(&self, topics: &[TopicSpec], owner: Owner) -> Result<(), LogError> {
        let timeout = self.options.request_timeout;
        let mut absent = Vec::new();
        for topic in topics {
            if partition_count(self.client.inner(), &topic.name, timeout)?.is_none() {
                absent.push(topic);
            }
        }
        if !absent.is_empty() {
            create(&self.client, &absent, owner, timeout)?;
        }
        // Those just made too: somebody else may have been faster, with others.
        for topic in topics {
            let found = wait_until_made(self.client.inner(), &topic.name, timeout)?;
            check_partitions(topic, found)?;
        }
        self.asking_again(|| check_cleanups(&self.client, topics, owner, timeout))
    }

    /// Repeats a question while the answer is that leaders or coordinators move.
    fn asking_again<T>(&self, mut ask: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
        let deadline = Instant::now() + self.options.request_timeout;
        loop {
            match ask() {
                Err(LogError::Retriable(_)) if Instant::now() < deadline => {
                    std::thread::sleep(ASK_AGAIN);
                }
                answer => return answer,
            }
        }
    }
}

/// Takes what a client has to say, so that it doesn't pile up.
fn serve(client: &BaseConsumer<Quiet>) {
    while client.poll(Duration::ZERO).is_some() {}
}

/// A broker, or the client after it, says that a partition which was asked for isn't there.
fn is_unknown_in(answer: &KafkaResult<TopicPartitionList>) -> bool {
    let unknown = |error: &KafkaError| code_of(error).is_some_and(is_unknown);
    match answer {
        Ok(found) => {
            found.elements().iter().any(|it| it.error().is_err_and(|error| unknown(&error)))
        }
        Err(error) => unknown(error),
    }
}

fn unanswered(at: &TopicPartition) -> LogError {
    LogError::Retriable(format!("{at}: the broker gave no answer"))
}

/// What an answer says of one partition.
fn result_in<'a>(
    found: &'a TopicPartitionList,
    at: &TopicPartition,
) -> Result<TopicPartitionListElem<'a>, LogError> {
    found
        .elements_for_topic(&at.topic)
        .into_iter()
        .find(|element| element.partition().unsigned_abs() == at.partition)
        .ok_or_else(|| unanswered(at))
}

/// The offset of one partition in an answer; None if there is none.
fn offset_in(found: &TopicPartitionList, at: &TopicPartition) -> Result<Option<i64>, LogError> {
    let element = result_in(found, at)?;
    match element.error() {
        Ok(()) => {}
        Err(error) => {
            // The partition's leader may have heard of it later than whoever was asked for its leader.
            return Err(sort_question(&error, format_args!("offset of {at}")));
        }
    }
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

impl Admin for KafkaAdmin {
    fn log_id(&self) -> Result<String, LogError> {
        self.client
            .inner()
            .fetch_cluster_id(self.options.request_timeout)
            .ok_or_else(|| LogError::Retriable("the cluster doesn't tell its id yet".to_owned()))
    }

    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.ensure(topics, Owner::Operator)
    }

    fn ensure_internal(&self, topics: &[TopicSpec], tombstones: Duration) -> Result<(), LogError> {
        self.ensure(topics, Owner::Application { tombstones })
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>, LogError> {
        let timeout = self.options.request_timeout;
        let client = self.client.inner();
        let counts: Vec<_> = topics
            .iter()
            .map(|topic| partition_count(client, topic, timeout))
            .collect::<Result<_, _>>()?;
        if counts.iter().all(Option::is_none) {
            return Ok(vec![None; topics.len()]);
        }
        let distinct: BTreeSet<&str> = topics.iter().copied().collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let ids = topic_ids(client, &distinct, timeout)
            .map_err(|error| sort(&error, format_args!("describing {topics:?}")))?;
        Ok(topics
            .iter()
            .zip(counts)
            .map(|(topic, count)| {
                let id = ids.get(*topic).cloned().unwrap_or_default();
                Some(TopicDescription { id, partitions: count? })
            })
            .collect())
    }

    fn start_offsets(&self, of: &[TopicPartition]) -> Result<Vec<i64>, LogError> {
        self.offsets(of, Offset::Beginning, Isolation::ReadUncommitted)
    }

    fn end_offsets(
        &self,
        of: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<i64>, LogError> {
        self.offsets(of, Offset::End, isolation)
    }

    fn committed_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, LogError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        self.of_group(group, |client| {
            // Requires stable offsets: waits for markers that are being written.
            let answer = client.committed_offsets(list_of(of), self.options.request_timeout);
            let held = "without an answer for long, a transaction that nobody ends holds them: kafka-transactions.sh find-hanging";
            let found = answer
                .map_err(|error| sort(&error, format_args!("offsets of group {group} ({held})")))?;
            of.iter().map(|at| offset_in(&found, at)).collect()
        })
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        if before.is_empty() {
            return Ok(());
        }
        let timeout = Some(self.options.request_timeout.min(DELETING));
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        let deleted = block_on(self.client.delete_records(&with_offsets(before)?, &options))
            .map_err(|error| sort(&error, format_args!("deleting records below {before:?}")))?;
        before.iter().try_for_each(|(at, offset)| {
            let doing = || format!("deleting records of {at} below {offset}");
            match result_in(&deleted, at)?.error() {
                Ok(()) => Ok(()),
                Err(error) => Err(sort(&error, doing())),
            }
        })
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        upkeep::delete_topics(&self.client, topics, self.options.request_timeout)
    }

    fn offsets_at(&self, of: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        // Negative times are librdkafka's names for the ends.
        let time = Offset::Offset(time_ms.max(0));
        let found = self.look_up(of, time, Isolation::ReadCommitted)?;
        let ends = self.end_offsets(of, Isolation::ReadCommitted)?;
        Ok(found.into_iter().zip(ends).map(|(found, end)| found.unwrap_or(end)).collect())
    }

    fn group(&self, group: &str) -> Result<GroupDescription, LogError> {
        let timeout = self.options.request_timeout;
        self.asking_again(|| upkeep::describe(&self.client, group, timeout))
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.group(group)?.refuse_members(group)?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.of_group(group, |client| upkeep::set_offsets(client, group, offsets))
    }

    fn forget_group(&self, group: &str) -> Result<(), LogError> {
        self.group(group)?.refuse_members(group)?;
        let timeout = self.options.request_timeout;
        self.asking_again(|| upkeep::forget_group(&self.client, group, timeout))
    }
}
