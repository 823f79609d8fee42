//! What librdkafka tells a consumer: rebalances, ends of partitions, its log.
//!
//! Invariants: a rebalance is only queued here and answered by the caller; while
//! the consumer is closing it is answered here at once, because dropping a
//! consumer that still owns partitions waits for that answer for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::record::TopicPartition;

use super::metadata::partitions_of;

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
    /// Offset of the end-of-partition event being delivered; rdkafka passes it
    /// only in the text that precedes the event on the same thread.
    end: AtomicI64,
}

const NO_END: i64 = -1;

impl Context {
    /// The oldest rebalance that wasn't taken yet.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().pop_front()
    }

    /// From now on rebalances are answered by the context.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// The offset of the end-of-partition event just returned by a poll.
    pub(super) fn take_end(&self) -> Option<i64> {
        let end = self.end.swap(NO_END, Ordering::Relaxed);
        (end >= 0).then_some(end)
    }
}

/// Gives up what a rebalance names, in the way of the group's protocol.
pub(super) fn give_up(
    consumer: &BaseConsumer<Context>,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
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
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => match end_in(reason) {
                Some(end) => self.end.store(end, Ordering::Relaxed),
                None => tracing::error!(reason, "librdkafka words an end of partition anew"),
            },
            _ => log_error(&error, reason),
        }
    }
}

/// "… reached end of partition at offset 12 (HighwaterMark 13)" → 12. The
/// wording is that of the librdkafka we link; a contract case fails if it moves.
fn end_in(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once("end of partition at offset ")?;
    rest.split(' ').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::end_in;

    #[test]
    fn the_end_is_read_out_of_the_text() {
        let text = "Fetch from broker 1 reached end of partition at offset 12 (HighwaterMark 13)";
        assert_eq!(end_in(text), Some(12));
        assert_eq!(end_in("something else"), None);
    }
}
