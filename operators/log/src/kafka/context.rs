//! What librdkafka tells a consumer: rebalances, its log.
//!
//! Invariants: a rebalance is only queued here and answered by the caller; while
//! the consumer is closing it is answered here at once, because dropping a
//! consumer that still owns partitions waits for that answer for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use crate::record::TopicPartition;

use super::metadata::{list_of, partitions_of};

/// A rebalance that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// Classic: the whole assignment; KIP-848: what is added.
    Assign(Vec<TopicPartition>),
    /// Classic: everything; KIP-848: what is taken away.
    Revoke { lost: bool, partitions: Vec<TopicPartition> },
}

/// The consumers' context.
#[derive(Default)]
pub(super) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Context {
    /// The oldest rebalance that wasn't taken yet.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().pop_front()
    }

    /// From now on rebalances are answered by the context.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

/// Gives up what a rebalance names, in the way of the group's protocol.
pub(super) fn give_up(
    consumer: &BaseConsumer<Context>,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    if !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        return consumer.unassign();
    }
    let Err(error) = consumer.incremental_unassign(partitions) else { return Ok(()) };
    // Asked to give everything up, librdkafka names what it offered, too, and
    // refuses the whole list for a partition that was never taken. (The error
    // is without a code; what is held tells.)
    let held = partitions_of(&consumer.assignment()?);
    let named = partitions_of(partitions);
    let left: Vec<_> = named.iter().filter(|at| held.contains(at)).cloned().collect();
    if left.len() == named.len() {
        return Err(error);
    }
    tracing::debug!(?named, ?held, "not all of what is given up was held");
    consumer.incremental_unassign(&list_of(&left))
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::SeqCst) {
            if let Err(error) = give_up(consumer, partitions) {
                tracing::debug!(%error, "giving partitions up while closing");
            }
            return;
        }
        let named = partitions_of(partitions);
        let event = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(named)
        } else {
            Rebalance::Revoke { lost: consumer.assignment_lost(), partitions: named }
        };
        tracing::debug!(?event, "rebalance");
        self.rebalances.lock().push_back(event);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

/// Passes a line of librdkafka's log on.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Logs an error of a client that concerns no single call.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", %error, "{reason}");
}

/// The context of clients that only ask.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quiet;

impl ConsumerContext for Quiet {}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}
