//! Idempotent producer of single records; the caller learns of each.
//!
//! Invariant: `done` is called exactly once for every append, at the latest
//! after the delivery timeout, whichever way it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext};
use state_stores::partition::partition_for_key;

use crate::error::LogError;
use crate::record::NewRecord;
use crate::traits::{Appended, Appender};

use super::context::{log_error, log_line};
use super::metadata::wait_until_ready;
use super::native::Served;
use super::outgoing::{check_size, outgoing, report};
use super::settings::KafkaOptions;
use super::triage::{sort, sort_question};

type Done = Box<dyn FnOnce(Appended) + Send>;

/// The caller's closure. librdkafka's opaque must be `Sync`, hence the lock.
struct Pending(Mutex<Option<Done>>);

impl Pending {
    /// What panics in the caller's closure may not end the thread that tells others of their records.
    fn finish(&self, appended: Appended) {
        let Some(done) = self.0.lock().take() else { return };
        if catch_unwind(AssertUnwindSafe(|| done(appended))).is_err() {
            tracing::error!("what was to be done after an append panicked");
        }
    }
}

struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, pending: Box<Pending>) {
        pending.finish(match delivered {
            Ok(message) => {
                report(Ok(message));
                Ok((message.partition().unsigned_abs(), message.offset()))
            }
            Err((error, message)) => {
                report(Err((error, message)));
                // Its partitions were counted before it was sent.
                Err(sort_question(error, format_args!("appending to {}", message.topic())))
            }
        });
    }
}

/// See [`Appender`].
pub(super) struct KafkaAppender {
    producer: Served<Deliveries>,
    options: KafkaOptions,
    /// Partition counts. They never change: a topic's count is fixed when it is
    /// made, and another count is refused at start.
    counts: RwLock<HashMap<String, u32>>,
}

impl KafkaAppender {
    pub(super) fn connect(options: &KafkaOptions, client_id: &str) -> Result<Self, LogError> {
        let producer = Served::connect(&options.appender(client_id), Deliveries)
            .map_err(|error| sort(&error, format_args!("making producer {client_id}")))?;
        let counts = RwLock::new(HashMap::new());
        Ok(Self { producer, options: options.clone(), counts })
    }

    /// Asks the cluster once for each topic.
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        if let Some(count) = self.counts.read().get(topic) {
            return Ok(*count);
        }
        let count = wait_until_ready(self.producer.client(), topic, self.options.request_timeout)?;
        self.counts.write().insert(topic.to_owned(), count);
        Ok(count)
    }

    fn target(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: &NewRecord<'_>,
    ) -> Result<Option<u32>, LogError> {
        check_size(topic, record)?;
        let count = self.partitions(topic)?;
        let target = partition.or_else(|| record.key.map(|key| partition_for_key(key, count)));
        match target {
            Some(partition) if partition >= count => Err(LogError::Fatal(format!(
                "{topic}[{partition}]: the topic has {count} partitions"
            ))),
            target => Ok(target),
        }
    }
}

impl Appender for KafkaAppender {
    fn append(&self, topic: &str, partition: Option<u32>, record: NewRecord<'_>, done: Done) {
        let target = match self.target(topic, partition, &record) {
            Ok(target) => target,
            Err(error) => return done(Err(error)),
        };
        let pending = Box::new(Pending(Mutex::new(Some(done))));
        if let Err((error, back)) = self.producer.send(outgoing(topic, target, &record, pending)) {
            let refused = sort_question(&error, format_args!("appending to {topic}"));
            back.delivery_opaque.finish(Err(refused));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_in_a_closure_stays_there() {
        let pending = Pending(Mutex::new(Some(Box::new(|_| panic!("the caller's")))));
        pending.finish(Ok((0, 0)));
        assert!(pending.0.lock().is_none(), "once");
    }
}
