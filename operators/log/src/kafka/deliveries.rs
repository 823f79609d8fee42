//! What a producer of transactions learns about its records: how far each partition is acknowledged, and which failure is
//! to blame.
//!
//! Invariant: a record that couldn't be delivered is remembered until the next transaction begins.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::error::LogError;

use super::context::{log_error, log_line};
use super::outgoing::report;
use super::triage::{code_of, is_unknown, sort};

/// The producer's context; served by its thread.
#[derive(Default)]
pub(super) struct Deliveries {
    failure: Mutex<Option<LogError>>,
    /// By number of the partition: highest acknowledged offset + 1 of the present transaction; 0 = none.
    next: Mutex<Vec<i64>>,
    /// A delivery failed because its topic isn't there, or not yet.
    unknown: AtomicBool,
}

impl Deliveries {
    /// The delivery to blame.
    pub(super) fn failure(&self) -> MutexGuard<'_, Option<LogError>> {
        self.failure.lock()
    }

    /// Gives a partition a number.
    pub(super) fn add(&self) -> usize {
        let mut next = self.next.lock();
        next.push(0);
        next.len() - 1
    }

    /// The first record of a transaction goes to this partition.
    pub(super) fn restart(&self, partition: usize) {
        if let Some(next) = self.next.lock().get_mut(partition) {
            *next = 0;
        }
    }

    /// True once after a delivery failed because its topic isn't there.
    pub(super) fn take_unknown(&self) -> bool {
        self.unknown.swap(false, Ordering::Relaxed)
    }

    /// Highest acknowledged offset + 1 since the restart.
    pub(super) fn next(&self, partition: usize) -> Option<i64> {
        self.next.lock().get(partition).copied().filter(|next| *next > 0)
    }
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
    /// The partition's number: nothing that would have to be counted for each record on two threads.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, partition: usize) {
        match delivered {
            Ok(message) => {
                report(Ok(message));
                if let Some(next) = self.next.lock().get_mut(partition) {
                    *next = (message.offset() + 1).max(*next);
                }
            }
            // An abort gives its records back like this.
            Err((KafkaError::MessageProduction(Code::PurgeQueue | Code::PurgeInflight), _)) => {}
            Err((error, message)) => {
                report(Err((error, message)));
                let doing = format!("delivery to {}[{}]", message.topic(), message.partition());
                let failure = if code_of(error).is_some_and(is_unknown) {
                    self.unknown.store(true, Ordering::Relaxed);
                    unknown_topic(doing, error)
                } else {
                    failed_delivery(sort(error, doing))
                };
                blame(&mut self.failure.lock(), failure);
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

/// Sent again, the record finds its topic, or it is found out that there is none.
pub(super) fn unknown_topic(doing: impl Display, error: impl Display) -> LogError {
    LogError::Abort(format!("{doing}: {error}: a broker doesn't know the topic, or not yet"))
}

/// Any record that wasn't delivered ends the transaction, or more.
fn failed_delivery(error: LogError) -> LogError {
    match error {
        LogError::Retriable(text) | LogError::Unknown(text) => LogError::Abort(text),
        error => error,
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
