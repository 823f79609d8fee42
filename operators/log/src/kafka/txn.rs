//! Producer of atomic transactions.
//!
//! Invariants: a record that couldn't be delivered is remembered and fails the
//! transaction's `flush` and `commit`, as `Refused` if the broker won't ever
//! take it; the queue is never purged (an abort after
//! a purge breaks the next transaction); a commit that times out is asked again,
//! and is `Unknown` only when that doesn't help either.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

use crate::error::LogError;
use crate::record::{NewRecord, TopicPartition};
use crate::traits::{GroupMetadata, TxnProducer};

use super::context::{log_error, log_line};
use super::membership::with_native;
use super::metadata::with_offsets;
use super::native::flush;
use super::outgoing::{check_size, outgoing, report};
use super::settings::KafkaOptions;
use super::triage::sort;

/// librdkafka's queue is full: its thread needs a moment.
const QUEUE_FULL: Duration = Duration::from_micros(500);

/// Longer than any delivery may take: past it the client is broken.
const FLUSH_MARGIN: Duration = Duration::from_secs(5);

/// How long a commit or abort is repeated before its outcome counts as unknown.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// A partition this producer has sent to.
struct Slot {
    /// Number of the last transaction that sent here.
    transaction: AtomicU64,
    /// Highest acknowledged offset + 1 of that transaction; 0 = none yet.
    next: AtomicI64,
}

/// Keeps the delivery to blame.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<LogError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Slot>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, slot: Arc<Slot>) {
        match delivered {
            Ok(message) => {
                report(Ok(message));
                slot.next.fetch_max(message.offset() + 1, Ordering::Relaxed);
            }
            // An abort gives its records back like this.
            Err((KafkaError::MessageProduction(Code::PurgeQueue | Code::PurgeInflight), _)) => {}
            Err((error, message)) => {
                report(Err((error, message)));
                let doing = format!("delivery to {}[{}]", message.topic(), message.partition());
                blame(&mut self.failure.lock(), failed_delivery(sort(error, doing)));
            }
        }
    }
}

/// The first failure counts, but a refused record fails others that were in its
/// batch: then it is the one to name.
fn blame(known: &mut Option<LogError>, failure: LogError) {
    match (&known, &failure) {
        (None, _) | (Some(LogError::Abort(_)), LogError::Refused(_)) => *known = Some(failure),
        _ => {}
    }
}

/// Any record that wasn't delivered ends the transaction, or more.
fn failed_delivery(error: LogError) -> LogError {
    match error {
        LogError::Retriable(text) | LogError::Unknown(text) => LogError::Abort(text),
        error => error,
    }
}

/// See [`TxnProducer`].
pub(super) struct KafkaTxnProducer {
    producer: ThreadedProducer<Deliveries>,
    config: ClientConfig,
    options: KafkaOptions,
    id: String,
    slots: HashMap<String, Vec<Option<Arc<Slot>>>>,
    transaction: u64,
}

impl KafkaTxnProducer {
    pub(super) fn connect(
        options: &KafkaOptions,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<Self, LogError> {
        let config = options.transactions(client_id, transactional_id);
        let producer = client(&config, transactional_id)?;
        Ok(Self {
            producer,
            config,
            options: options.clone(),
            id: transactional_id.to_owned(),
            slots: HashMap::new(),
            transaction: 0,
        })
    }

    fn failed(&self, error: &KafkaError, doing: &str) -> LogError {
        sort(error, format_args!("transactional id {}: {doing}", self.id))
    }

    fn slot(&mut self, topic: &str, partition: u32) -> Arc<Slot> {
        let index = partition as usize;
        let slots = self.slots.entry_ref(topic).or_default();
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        let slot = slots[index].get_or_insert_with(|| {
            Arc::new(Slot { transaction: AtomicU64::new(0), next: AtomicI64::new(0) })
        });
        if slot.transaction.swap(self.transaction, Ordering::Relaxed) != self.transaction {
            slot.next.store(0, Ordering::Relaxed);
        }
        Arc::clone(slot)
    }

    fn delivery_failure(&self) -> Result<(), LogError> {
        match &*self.producer.context_failure() {
            Some(failure) => Err(failure.clone()),
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
        match self.producer.context_failure().clone() {
            Some(LogError::Refused(_)) => Ok(()),
            Some(failure) => Err(failure),
            None => {
                Err(LogError::Abort(format!("{topic}: no transaction is open, or it has failed")))
            }
        }
    }

    /// Commit or abort: asks again while the cluster doesn't answer.
    fn end(
        &self,
        doing: &str,
        mut attempt: impl FnMut(&ThreadedProducer<Deliveries>, Duration) -> Result<(), KafkaError>,
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

fn client(config: &ClientConfig, id: &str) -> Result<ThreadedProducer<Deliveries>, LogError> {
    ThreadedProducer::from_config_and_context(config, Deliveries::default())
        .map_err(|error| sort(&error, format_args!("making producer {id}")))
}

/// Reaches the failure through the producer, which owns its context.
trait ContextFailure {
    fn context_failure(&self) -> parking_lot::MutexGuard<'_, Option<LogError>>;
}

impl ContextFailure for ThreadedProducer<Deliveries> {
    fn context_failure(&self) -> parking_lot::MutexGuard<'_, Option<LogError>> {
        self.client().context().failure.lock()
    }
}

impl TxnProducer for KafkaTxnProducer {
    fn init(&mut self) -> Result<(), LogError> {
        // A cold client waits half a second for its coordinator; one that knows
        // the brokers doesn't.
        let timeout = self.options.request_timeout;
        self.producer
            .client()
            .fetch_metadata(None, timeout)
            .map_err(|error| self.failed(&error, "looking for the brokers"))?;
        self.producer.init_transactions(timeout).map_err(|error| self.failed(&error, "init"))
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.producer.begin_transaction().map_err(|error| self.failed(&error, "begin"))?;
        self.transaction += 1;
        *self.producer.context_failure() = None;
        Ok(())
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        check_size(topic, &record)?;
        let slot = self.slot(topic, partition);
        let mut outgoing = outgoing(topic, Some(partition), &record, slot);
        let deadline = Instant::now() + self.options.delivery_timeout;
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    outgoing = back;
                    std::thread::sleep(QUEUE_FULL);
                }
                Err((KafkaError::MessageProduction(Code::State | Code::Fatal), _)) => {
                    return self.closed(topic);
                }
                Err((error, _)) => return Err(failed_send(sort(&error, topic))),
            }
        }
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        let list = with_offsets(offsets)?;
        let timeout = self.options.transaction_timeout;
        with_native(group, |native| {
            self.producer.send_offsets_to_transaction(&list, native, timeout)
        })?
        .map_err(|error| match self.delivery_failure() {
            Err(failure @ LogError::Refused(_)) => failure,
            _ => self.failed(&error, "sending offsets"),
        })
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let timeout = self.options.delivery_timeout + FLUSH_MARGIN;
        flush(&self.producer, timeout).map_err(|error| self.failed(&error, "flushing"))?;
        self.delivery_failure()
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.flush()?;
        self.end("committing", |producer, timeout| producer.commit_transaction(timeout))
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.end("aborting", |producer, timeout| producer.abort_transaction(timeout))?;
        let failure = self.producer.context_failure().take();
        if matches!(failure, Some(LogError::Refused(_))) {
            // librdkafka 2.12 has counted the refused record and the broker
            // hasn't: the next transaction would fail with a gap in the sequence
            // numbers. Another client begins a new sequence.
            self.producer = client(&self.config, &self.id)?;
            self.init()?;
        }
        Ok(())
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        let slot = self.slots.get(&*at.topic)?.get(at.partition as usize)?.as_ref()?;
        let next = slot.next.load(Ordering::Relaxed);
        let current = slot.transaction.load(Ordering::Relaxed) == self.transaction;
        (current && next > 0).then_some(next)
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

    fn blamed(codes: &[Code]) -> LogError {
        let mut known = None;
        for code in codes {
            let error = KafkaError::MessageProduction(*code);
            blame(&mut known, failed_delivery(sort(&error, format_args!("{code:?}"))));
        }
        known.expect("something failed")
    }

    #[test]
    fn a_refused_record_is_blamed_rather_than_its_neighbours() {
        let codes = [Code::InvalidDifferentRecord, Code::InvalidRecord, Code::MessageTimedOut];
        let failure = blamed(&codes);
        assert!(matches!(&failure, LogError::Refused(text) if text.contains("InvalidRecord")));
        assert!(matches!(blamed(&codes[2..]), LogError::Abort(_)));
        assert!(matches!(blamed(&[Code::Fenced, Code::InvalidRecord]), LogError::Fenced(_)));
    }
}
