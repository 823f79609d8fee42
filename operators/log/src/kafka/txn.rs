//! Producer of atomic transactions.
//!
//! Invariants: a record that couldn't be delivered is remembered and fails the
//! transaction's `flush` and `commit`, as `Refused` if the broker won't ever
//! take it; the queue is never purged (an abort after
//! a purge breaks the next transaction); a commit that times out is asked again,
//! and is `Unknown` only when that doesn't help either.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;

use crate::error::LogError;
use crate::record::{NewRecord, TopicPartition};
use crate::traits::{GroupMetadata, TxnProducer};

use super::deliveries::{Deliveries, unknown_topic};
use super::doubt::Doubt;
use super::membership::standing;
use super::metadata::{first_missing, native, with_offsets};
use super::native::{OutTopic, Served};
use super::outgoing::check_size;
use super::settings::KafkaOptions;
use super::triage::{is_unknown, judge_fence, sort};

/// librdkafka's queue is full: what waits for company in its batch is sent meanwhile.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// Longer than any delivery may take: past it the client is broken.
pub(super) const FLUSH_MARGIN: Duration = Duration::from_secs(5);

/// librdkafka answers within the time-out it is given, or, where the group's coordinator died at the wrong moment, never.
pub(super) const OFFSETS_MARGIN: Duration = Duration::from_secs(5);

/// How long a commit or abort is repeated before its outcome counts as unknown.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// A topic this producer has sent to.
struct Target {
    topic: OutTopic<Deliveries>,
    partitions: Vec<Option<Partition>>,
}

#[derive(Clone, Copy)]
struct Partition {
    /// Its place in [`Deliveries`].
    number: usize,
    /// Number of the last transaction that sent here.
    transaction: u64,
}

/// See [`TxnProducer`].
pub(super) struct KafkaTxnProducer {
    /// Before the producer, which they keep alive.
    targets: HashMap<String, Target>,
    pub(super) producer: Arc<Served<Deliveries>>,
    config: ClientConfig,
    options: KafkaOptions,
    id: String,
    transaction: u64,
    /// When the transaction began; the coordinator's time runs from a later moment.
    began: Instant,
    /// Of a topic that it sends to.
    doubt: Doubt,
}

impl KafkaTxnProducer {
    pub(super) fn connect(
        options: &KafkaOptions,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<Self, LogError> {
        Self::with(options, options.transactions(client_id, transactional_id), transactional_id)
    }

    /// `id` is for messages.
    pub(super) fn with(
        options: &KafkaOptions,
        config: ClientConfig,
        id: &str,
    ) -> Result<Self, LogError> {
        Ok(Self {
            producer: client(&config, id)?,
            config,
            options: options.clone(),
            id: id.to_owned(),
            targets: HashMap::new(),
            transaction: 0,
            began: Instant::now(),
            doubt: Doubt::default(),
        })
    }

    fn failed(&self, error: &KafkaError, doing: &str) -> LogError {
        self.judged(sort(error, format_args!("transactional id {}: {doing}", self.id)))
    }

    /// What a failure means in a transaction of this age.
    fn judged(&self, error: LogError) -> LogError {
        judge_fence(error, self.began.elapsed(), self.options.transaction_timeout)
    }

    /// Where to send, and the number that comes back with the delivery.
    fn target(
        &mut self,
        topic: &str,
        partition: u32,
    ) -> Result<(&OutTopic<Deliveries>, usize), KafkaError> {
        let index = partition as usize;
        if !self.targets.contains_key(topic) {
            let opened = OutTopic::open(&self.producer, topic)?;
            let target = Target { topic: opened, partitions: Vec::new() };
            self.targets.insert(topic.to_owned(), target);
        }
        let deliveries = self.producer.context();
        let Target { topic, partitions } = self.targets.get_mut(topic).expect("added above");
        if partitions.len() <= index {
            partitions.resize(index + 1, None);
        }
        let transaction = self.transaction;
        let partition = partitions[index]
            .get_or_insert_with(|| Partition { number: deliveries.add(), transaction: 0 });
        if std::mem::replace(&mut partition.transaction, transaction) != transaction {
            deliveries.restart(partition.number);
        }
        Ok((topic, partition.number))
    }

    fn delivery_failure(&self) -> Result<(), LogError> {
        match &*self.producer.context().failure() {
            Some(failure) => Err(self.judged(failure.clone())),
            None => Ok(()),
        }
    }

    /// librdkafka takes no more records in this transaction. After a refusal of
    /// an earlier record that is for `flush` to say: said here, it would be
    /// taken for this record's.
    fn closed(&self, topic: &str) -> Result<(), LogError> {
        if let Some((code, text)) = self.producer.client().fatal_error() {
            return Err(self.failed(&KafkaError::MessageProduction(code), &text));
        }
        match self.producer.context().failure().clone() {
            Some(LogError::Refused(_)) => Ok(()),
            Some(failure) => Err(self.judged(failure)),
            None => {
                Err(LogError::Abort(format!("{topic}: no transaction is open, or it has failed")))
            }
        }
    }

    /// Whether what the last transaction sent to is still there, where a broker said that it isn't.
    pub(super) fn settle(&mut self) -> Result<(), LogError> {
        let Self { doubt, targets, producer, transaction, .. } = self;
        if producer.context().take_unknown() {
            doubt.raise(Instant::now());
        }
        let in_use = targets.iter().filter_map(|(topic, target)| {
            let is_used =
                |at: &Option<Partition>| at.is_some_and(|at| at.transaction == *transaction);
            let highest = target.partitions.iter().rposition(is_used)?;
            Some((topic.as_str(), u32::try_from(highest).unwrap_or(u32::MAX)))
        });
        doubt.settle(Instant::now(), || first_missing(producer.client(), in_use))
    }

    /// A cold client waits half a second for its coordinator; one that knows
    /// the brokers doesn't.
    pub(super) fn look_for_brokers(&self) -> Result<(), LogError> {
        self.producer
            .client()
            .fetch_metadata(None, self.options.request_timeout)
            .map_err(|error| self.failed(&error, "looking for the brokers"))?;
        Ok(())
    }

    /// What is sent from here on belongs together.
    pub(super) fn count_anew(&mut self) {
        self.transaction += 1;
        self.began = Instant::now();
        *self.producer.context().failure() = None;
    }

    /// Another client begins a new sequence of records.
    pub(super) fn replace_client(&mut self) -> Result<(), LogError> {
        self.targets.clear();
        self.producer = client(&self.config, &self.id)?;
        Ok(())
    }

    /// Commit or abort: asks again while the cluster doesn't answer.
    fn end(
        &self,
        doing: &str,
        mut attempt: impl FnMut(&Served<Deliveries>, Duration) -> Result<(), KafkaError>,
    ) -> Result<(), LogError> {
        let deadline = Instant::now() + END_PATIENCE;
        loop {
            let Err(error) = attempt(&self.producer, self.options.request_timeout) else {
                return Ok(());
            };
            match self.failed(&error, doing) {
                LogError::Retriable(text) if Instant::now() < deadline => {
                    tracing::warn!(text, "asking again");
                }
                LogError::Retriable(text) => return Err(LogError::Unknown(text)),
                other => return Err(other),
            }
        }
    }
}

/// Makes a call that may never return; `None` when it hasn't in time. What it holds is given up with it.
///
/// # Errors
/// There is no thread for it: it wasn't made.
pub(super) fn within<T: Send + 'static>(
    time: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (send, answer) = mpsc::sync_channel(1);
    let call = move || {
        // Nobody waits any more for an answer that comes too late.
        let _late = send.send(call());
    };
    std::thread::Builder::new().name("offsets".to_owned()).spawn(call)?;
    Ok(answer.recv_timeout(time).ok())
}

fn client(config: &ClientConfig, id: &str) -> Result<Arc<Served<Deliveries>>, LogError> {
    Served::connect(config, Deliveries::default())
        .map(Arc::new)
        .map_err(|error| sort(&error, format_args!("making producer {id}")))
}

impl TxnProducer for KafkaTxnProducer {
    fn init(&mut self) -> Result<(), LogError> {
        self.look_for_brokers()?;
        let timeout = self.options.request_timeout;
        self.producer.init_transactions(timeout).map_err(|error| self.failed(&error, "init"))
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.settle()?;
        self.producer.begin_transaction().map_err(|error| self.failed(&error, "begin"))?;
        self.count_anew();
        Ok(())
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        check_size(topic, &record)?;
        let timeout = self.options.delivery_timeout;
        let mut deadline = None;
        loop {
            let target = self.target(topic, partition);
            let (target, number) = target.map_err(|error| sort(&error, topic))?;
            match target.send(native(partition), &record, number) {
                Ok(()) => return Ok(()),
                Err(Code::QueueFull)
                    if Instant::now() < *deadline.get_or_insert(Instant::now() + timeout) =>
                {
                    // A time-out says that not all has gone yet, which isn't asked for.
                    let _unfinished = self.producer.flush(QUEUE_FULL);
                }
                Err(Code::State | Code::Fatal) => return self.closed(topic),
                Err(code) if is_unknown(code) => {
                    self.doubt.raise(Instant::now());
                    return Err(unknown_topic(
                        format_args!("sending to {topic}[{partition}]"),
                        code,
                    ));
                }
                Err(code) => {
                    return Err(failed_send(sort(&KafkaError::MessageProduction(code), topic)));
                }
            }
        }
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        let list = with_offsets(offsets)?;
        let (producer, standing) = (Arc::clone(&self.producer), standing(group)?);
        let timeout = self.options.transaction_timeout;
        let id = &self.id;
        let sent = within(timeout + OFFSETS_MARGIN, move || {
            producer.send_offsets_to_transaction(&list, &standing, timeout)
        });
        let sent = sent.map_err(|error| {
            LogError::Retriable(format!(
                "transactional id {id}: no thread for the offsets: {error}"
            ))
        })?;
        let Some(sent) = sent else {
            return Err(LogError::Unknown(format!(
                "transactional id {id}: librdkafka has lost the answer to the offsets and waits for ever; its client is given up"
            )));
        };
        sent.map_err(|error| match self.delivery_failure() {
            Err(failure @ LogError::Refused(_)) => failure,
            _ => self.failed(&error, "sending offsets"),
        })
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let timeout = self.options.delivery_timeout + FLUSH_MARGIN;
        match self.producer.flush(timeout).map_err(|error| self.failed(&error, "flushing")) {
            // Asked again, it would wait as long, and again.
            Err(LogError::Retriable(reason)) => Err(LogError::Unknown(reason)),
            flushed => flushed.and_then(|()| self.delivery_failure()),
        }
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.flush()?;
        self.end("committing", |producer, timeout| producer.commit_transaction(timeout))
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.end("aborting", |producer, timeout| producer.abort_transaction(timeout))?;
        let failure = self.producer.context().failure().take();
        if matches!(failure, Some(LogError::Refused(_))) {
            // librdkafka 2.12 has counted the refused record and the broker
            // hasn't: the next transaction would fail with a gap in the sequence
            // numbers.
            self.replace_client()?;
            self.init()?;
        }
        Ok(())
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        let target = self.targets.get(&*at.topic)?;
        let partition = (*target.partitions.get(at.partition as usize)?)?;
        let current = partition.transaction == self.transaction;
        current.then(|| self.producer.context().next(partition.number)).flatten()
    }
}

/// A full queue that stays full for the whole delivery timeout.
fn failed_send(error: LogError) -> LogError {
    match error {
        LogError::Retriable(text) => LogError::Abort(text),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_returns_is_given_up() {
        let (hold, held) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || held.recv().is_ok()).unwrap(), None);
        drop(hold);
        assert_eq!(within(Duration::from_secs(10), || 7).unwrap(), Some(7));
    }
}
