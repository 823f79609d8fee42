//! Member of a consumer group.
//!
//! Invariants: between an event and its answer no record is visited; the lanes
//! are those of the answered assignment; a dropped member leaves the group
//! without anybody's help.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;
use crate::record::{ConsumedRecord, TopicPartition};
use crate::signal::{Signal, deadline_after};
use crate::traits::{GroupConsumer, GroupMetadata, GroupOptions, Polled, Waker};

use super::context::{Context, Rebalance, give_up};
use super::doubt::Doubt;
use super::fetch_ahead::FetchAhead;
use super::lanes::Lanes;
use super::membership;
use super::metadata::{first_missing, list_of, partitions_of, wait_until_ready, with_offsets};
use super::reader::{connect, seek, tell, wait_a_slice};
use super::settings::KafkaOptions;
use super::told::{self, Told, sort_told};
use super::triage::sort;

/// How long a seek may take that nobody needs any more once the group says so.
const SEEK_PATIENCE: Duration = Duration::from_secs(1);

/// See [`GroupConsumer`].
pub(super) struct KafkaGroupConsumer {
    lanes: Lanes,
    consumer: Arc<BaseConsumer<Context>>,
    signal: Arc<Signal>,
    options: KafkaOptions,
    member: GroupOptions,
    ahead: FetchAhead,
    /// Has subscribed before.
    has_joined: bool,
    group: String,
    client_id: String,
    /// Reported, not answered.
    awaiting: Option<Rebalance>,
    /// Answered: what librdkafka holds for us.
    owned: Vec<TopicPartition>,
    /// Paused by librdkafka for a KIP-848 rebalance and resumed by its answer. Nothing is visited before it was told where.
    resumed: Vec<TopicPartition>,
    answered: i32,
    leaving: bool,
    subscribed: Vec<String>,
    doubt: Doubt,
}

impl KafkaGroupConsumer {
    pub(super) fn connect(options: &KafkaOptions, member: &GroupOptions) -> Result<Self, LogError> {
        let signal = Arc::new(Signal::default());
        let ahead = options.fetch_ahead(1);
        let consumer = connect(&options.member(member, ahead), &signal, &member.client_id)?;
        Ok(Self {
            member: member.clone(),
            ahead,
            has_joined: false,
            lanes: Lanes::default(),
            consumer,
            signal,
            options: options.clone(),
            group: member.group.clone(),
            client_id: member.client_id.clone(),
            awaiting: None,
            owned: Vec::new(),
            resumed: Vec::new(),
            answered: 0,
            leaving: false,
            subscribed: Vec::new(),
            doubt: Doubt::default(),
        })
    }

    /// Serves the common queue: rebalances, and errors that concern no single
    /// partition. Also what tells librdkafka that this member is alive.
    fn serve(&mut self) -> Result<(), LogError> {
        let group = &self.group;
        while let Some(found) = self.consumer.poll(Duration::ZERO) {
            let error = match found {
                // Every queue was split before its partition was assigned.
                Ok(message) => return Err(self.stray(&message)),
                Err(error) => error,
            };
            // The loss that follows it is reported as an event.
            if error.rdkafka_error_code() == Some(Code::PollExceeded) {
                tracing::warn!(group, "polled too late");
                continue;
            }
            tracing::debug!(group, %error, "group");
            match sort_told(&error, self.consumer.client(), format_args!("group {group}: polling"))
            {
                Told::Passes => {}
                Told::UnknownTopic => {
                    tracing::warn!(group, %error, "a broker doesn't know a source topic, or not yet");
                    self.doubt.raise(Instant::now());
                }
                Told::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether what is subscribed to is still there, where somebody said that it isn't.
    fn settle(&mut self) -> Result<(), LogError> {
        let Self { doubt, lanes, consumer, subscribed, .. } = self;
        if lanes.take_unknown() {
            doubt.raise(Instant::now());
        }
        let in_use = subscribed.iter().map(|topic| (topic.as_str(), 0)).chain(lanes.partitions());
        doubt.settle(Instant::now(), || first_missing(consumer.client(), in_use))
    }

    /// Has librdkafka go on where this member has read to. By itself it takes the last offset that left its queue for that,
    /// and a transaction's marker that leaves it while the rebalance pauses the partition counts, although the records
    /// before it are thrown away. False: not yet.
    fn tell_resumed(&mut self) -> Result<bool, LogError> {
        let Self { resumed, lanes, .. } = self;
        let place = |at: &TopicPartition| Some((at.clone(), lanes.position(at)?));
        let offsets: Vec<_> = resumed.iter().filter_map(place).collect();
        if !offsets.is_empty() {
            match tell(&self.consumer, &offsets, SEEK_PATIENCE) {
                Ok(()) => {}
                Err(LogError::Retriable(reason)) => {
                    tracing::debug!(group = self.group, reason, "going on after a rebalance");
                    // If it lasts, a topic may be gone.
                    self.doubt.raise(Instant::now());
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.resumed.clear();
        Ok(true)
    }

    /// Waits for the topics as this client sees them; how many partitions they have.
    fn wait_until_ready(&self, topics: &[&str]) -> Result<usize, LogError> {
        let mut partitions = 0;
        for topic in topics {
            let timeout = self.options.request_timeout;
            partitions += wait_until_ready(self.consumer.client(), topic, timeout)? as usize;
        }
        Ok(partitions)
    }

    fn stray(&self, message: &impl rdkafka::Message) -> LogError {
        let (topic, partition) = (message.topic(), message.partition());
        LogError::Fatal(format!("group {}: a record of {topic}[{partition}] unasked", self.group))
    }

    fn failed(&self, error: &KafkaError, doing: &str) -> LogError {
        sort(error, format_args!("group {}: {doing}", self.group))
    }

    /// Hands the next rebalance to the caller; answers those that need nobody.
    fn next_event(&mut self) -> Result<Option<Polled>, LogError> {
        while let Some(event) = self.consumer.context().take_rebalance() {
            let nobody = self.owned.is_empty() && !self.leaving;
            match &event {
                Rebalance::Assign(_) if self.leaving => self.decline()?,
                Rebalance::Assign(added) if added.is_empty() && self.cooperative() => {
                    self.assign(&[])?;
                }
                Rebalance::Assign(added) => {
                    let all = self.owned.iter().chain(added).cloned().collect();
                    self.awaiting = Some(event);
                    return Ok(Some(Polled::Assign(all)));
                }
                Rebalance::Revoke { partitions, .. } if partitions.is_empty() && nobody => {
                    self.give_up(&[])?;
                }
                Rebalance::Revoke { lost, partitions } => {
                    // What was offered and not taken is revoked as well.
                    let owned = |at: &&TopicPartition| self.owned.contains(at);
                    let partitions = partitions.iter().filter(owned).cloned().collect();
                    let polled = Polled::Revoke { lost: *lost, partitions };
                    self.awaiting = Some(event);
                    return Ok(Some(polled));
                }
            }
        }
        if self.leaving && self.owned.is_empty() {
            // librdkafka revokes only what it assigned; the caller waits anyhow.
            self.awaiting = Some(Rebalance::Revoke { lost: false, partitions: Vec::new() });
            return Ok(Some(Polled::Revoke { lost: false, partitions: Vec::new() }));
        }
        Ok(None)
    }

    fn cooperative(&self) -> bool {
        matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    fn give_up(&self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        give_up(&self.consumer, &list_of(partitions))
            .map_err(|error| self.failed(&error, "giving partitions up"))
    }

    /// Takes nothing of an assignment. In a KIP-848 group that answers it and
    /// nothing else: giving nothing up would count as the answer to a revoke
    /// that is under way, and this member would leave with a transaction open.
    fn decline(&mut self) -> Result<(), LogError> {
        if self.cooperative() { self.assign(&[]) } else { self.give_up(&[]) }
    }

    fn assign(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        let list = with_offsets(offsets)?;
        let assigned = if self.cooperative() {
            self.resumed.clone_from(&self.owned);
            self.consumer.incremental_assign(&list)
        } else {
            self.consumer.assign(&list)
        };
        assigned.map_err(|error| self.failed(&error, "taking partitions over"))
    }

    /// KIP-848 adds to what is owned: new partitions start, kept ones go on,
    /// moved to where the caller wants them.
    fn take_over(
        &mut self,
        added: &[TopicPartition],
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), LogError> {
        if let Some(at) = added.iter().find(|at| !offsets.iter().any(|(given, _)| given == *at)) {
            return Err(LogError::Fatal(format!("{at} is assigned and has no offset to start at")));
        }
        let (new, kept): (Vec<_>, Vec<_>) =
            offsets.iter().cloned().partition(|(at, _)| added.contains(at));
        self.lanes.open(&self.consumer, &new, &self.signal)?;
        self.assign(&new)?;
        self.owned.extend_from_slice(added);
        let moved: Vec<_> = kept
            .into_iter()
            .filter(|(at, next)| self.lanes.position(at).is_some_and(|position| position != *next))
            .collect();
        self.lanes.resume_all();
        let moved = seek(&self.consumer, &mut self.lanes, &moved, self.options.request_timeout);
        if moved.is_err() {
            // What is added is taken over; the answer may be given again for the rest.
            self.awaiting = Some(Rebalance::Assign(Vec::new()));
        }
        moved
    }
}

impl GroupConsumer for KafkaGroupConsumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<(), LogError> {
        // A member joins with the topics it knows; an unknown one would be
        // assigned to nobody, or apart from its co-partitioned siblings.
        let partitions = self.wait_until_ready(topics)?;
        let ahead = self.options.fetch_ahead(partitions);
        // A member in its group keeps its client: what it holds would be another's at once.
        if ahead != self.ahead && !self.has_joined {
            self.consumer.context().close();
            let config = self.options.member(&self.member, ahead);
            self.consumer = connect(&config, &self.signal, &self.client_id)?;
            self.ahead = ahead;
            self.wait_until_ready(topics)?;
        }
        (self.leaving, self.has_joined) = (false, true);
        self.subscribed = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.consumer.subscribe(topics).map_err(|error| self.failed(&error, "subscribing"))
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<Polled, LogError> {
        let deadline = deadline_after(timeout);
        loop {
            let seen = self.signal.seen();
            self.serve()?;
            if self.awaiting.is_none() {
                if let Some(event) = self.next_event()? {
                    return Ok(event);
                }
                let visited = if self.tell_resumed()? { self.lanes.drain(max, visit)? } else { 0 };
                self.settle()?;
                if visited > 0 || self.lanes.take_levelled() {
                    return Ok(Polled::Records(visited));
                }
            }
            if self.signal.take_wake() || Instant::now() >= deadline {
                return Ok(Polled::Records(0));
            }
            wait_a_slice(&self.signal, seen, deadline);
        }
    }

    fn ack_assign(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<GroupMetadata, LogError> {
        let Some(Rebalance::Assign(added)) = self.awaiting.take() else {
            let group = &self.group;
            return Err(LogError::Fatal(format!(
                "group {group}: no assignment waits for an answer"
            )));
        };
        if self.cooperative() {
            self.take_over(&added, offsets)?;
        } else {
            self.lanes.clear();
            self.owned.clear();
            self.lanes.open(&self.consumer, offsets, &self.signal)?;
            self.assign(offsets)?;
            self.owned.extend(added);
        }
        // Where it has been fenced, librdkafka takes this for the opposite and says that all is well.
        told::check(
            self.consumer.client(),
            format_args!("group {}: taking partitions over", self.group),
        )?;
        self.answered += 1;
        Ok(membership::capture(
            &self.consumer,
            self.options.group_protocol,
            &self.group,
            &self.client_id,
            self.answered,
        ))
    }

    fn ack_revoke(&mut self) -> Result<(), LogError> {
        let Some(Rebalance::Revoke { partitions, .. }) = self.awaiting.take() else {
            let group = &self.group;
            return Err(LogError::Fatal(format!("group {group}: no revoke waits for an answer")));
        };
        if self.cooperative() {
            self.lanes.close(&partitions);
            self.owned.retain(|at| !partitions.contains(at));
            self.resumed.clone_from(&self.owned);
        } else {
            self.lanes.clear();
            self.owned.clear();
        }
        self.give_up(&partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.lanes.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.lanes.set_paused(partitions, false)
    }

    fn seek(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        // Not for long: the group may have an event that makes it pointless.
        let patience = self.options.request_timeout.min(SEEK_PATIENCE);
        seek(&self.consumer, &mut self.lanes, offsets, patience)
    }

    fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.lanes.reached(at, end)
    }

    fn unsubscribe(&mut self) -> Result<(), LogError> {
        self.leaving = true;
        if self.awaiting.take_if(|event| matches!(event, Rebalance::Assign(_))).is_some() {
            self.decline()?;
        }
        self.consumer.unsubscribe();
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.signal.waker()
    }
}

impl Drop for KafkaGroupConsumer {
    fn drop(&mut self) {
        self.consumer.context().close();
        self.lanes.clear();
        if self.awaiting.take().is_some() || !self.owned.is_empty() {
            let held = self.consumer.assignment().map(|list| partitions_of(&list));
            if let Err(error) = self.give_up(&held.unwrap_or_default()) {
                tracing::debug!(group = self.group, %error, "leaving");
            }
        }
    }
}
