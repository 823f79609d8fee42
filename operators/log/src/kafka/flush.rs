//! The workspace's one `unsafe` block.
//!
//! `BaseProducer::flush` and `commit_transaction` of rdkafka 0.38–0.39 wait for
//! unacknowledged records in steps of 100 ms, so that a commit costs at least
//! 101 ms. librdkafka's own `rd_kafka_flush` waits on a condition and lifts
//! `linger.ms` meanwhile: called first, it makes the same commit 2–4 ms
//! (measured). rdkafka doesn't expose it alone.

use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

/// Waits until nothing is unacknowledged. Needs a [`ThreadedProducer`]: its
/// thread serves the delivery reports this waits for.
#[expect(unsafe_code, reason = "the safe flush costs 100 ms a commit, see the module's page")]
pub(super) fn flush<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    timeout: Duration,
) -> Result<(), KafkaError> {
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the native client lives as long as `producer`, which is borrowed
    // for the call, and rd_kafka_flush may be called from any thread.
    let result = unsafe { native::rd_kafka_flush(producer.client().native_ptr(), timeout) };
    match RDKafkaErrorCode::from(result) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::Flush(code)),
    }
}
