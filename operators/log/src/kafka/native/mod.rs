//! The workspace's `unsafe` code: what librdkafka can and rdkafka 0.39 can't,
//! each thing behind a safe interface.
//!
//! * [`Served::flush`]: `BaseProducer::flush` and `commit_transaction` of rdkafka
//!   0.38–0.39 wait for unacknowledged records in steps of 100 ms, so that a
//!   commit costs at least 101 ms. librdkafka's own `rd_kafka_flush` waits on a
//!   condition and lifts `linger.ms` meanwhile: called first, it makes the same
//!   commit 2–4 ms (measured).
//! * [`Served`]: rdkafka's own thread for deliveries burns 1 % of a core for each
//!   producer, busy or idle.
//! * [`Queue`]: rdkafka polls messages one by one, each as an event in an `Arc` of
//!   its own, with five looks at the clock; librdkafka hands out hundreds at once.
//!   Its ends of partitions come without their offset. Its headers panic on a name
//!   that isn't UTF-8, which any outside producer may write.
//! * [`OutTopic`]: rdkafka looks the topic up by name, under the client's lock, for
//!   each record.
//! * [`topic_ids`]: rdkafka's metadata has no topic ids.
//! * [`describe_group`]: rdkafka lists groups of the classic protocol only.
//! * [`group_epoch`]: rdkafka's metadata of a group's member is opaque.
//!
//! Invariant: no pointer leaves this module; what it gives out borrows from what
//! owns the memory, or is a copy.

#![expect(unsafe_code, reason = "see the module's page")]

mod epoch;
mod groups;
mod message;
mod out_topic;
mod queue;
mod served;
mod topic_ids;

use std::ffi::c_void;
use std::time::Duration;

use rdkafka::bindings as native;

use crate::signal::Signal;

pub(super) use epoch::group_epoch;
pub(super) use groups::describe_group;
pub(super) use message::Fetched;
pub(super) use out_topic::OutTopic;
pub(super) use queue::{Found, Queue};
pub(super) use served::Served;
pub(super) use topic_ids::topic_ids;

/// librdkafka calls it when a queue stops being empty.
unsafe extern "C" fn raise(_: *mut native::rd_kafka_t, signal: *mut c_void) {
    // SAFETY: the `Signal` that the queue's owner keeps while this may be called.
    unsafe { &*signal.cast::<Signal>().cast_const() }.raise();
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
