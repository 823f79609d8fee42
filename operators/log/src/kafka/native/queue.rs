//! The queue of one partition, emptied in one call.
//!
//! Not by `rd_kafka_consume_batch_queue`: up to librdkafka 2.13.1 it counts the end of a partition as a record, so that a
//! partition that is paused there by a cooperative rebalance is resumed beyond its end.

use std::any::Any;
use std::ffi::{CString, c_void};
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::context::Context;
use super::{Fetched, raise};
use crate::signal::Signal;

/// What lies in a queue.
pub(in crate::kafka) enum Found<'b> {
    Record(Fetched<'b>),
    /// Everything below this offset was handed out or can't be.
    End(i64),
    Failed(Code),
}

/// Owns librdkafka's queue of a partition, cut off from the consumer's common one.
pub(in crate::kafka) struct Queue {
    native: *mut native::rd_kafka_queue_t,
    /// Raised from librdkafka's threads while the queue is open.
    signal: Arc<Signal>,
    /// Outlives the queue.
    consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Splits the partition's queue off, empty; `signal` is raised whenever it stops being so. Call before the partition
    /// is assigned.
    pub(in crate::kafka) fn open(
        consumer: &Arc<BaseConsumer<Context>>,
        topic: &str,
        partition: i32,
        signal: &Arc<Signal>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let rk = consumer.client().native_ptr();
        // SAFETY: `rk` lives as long as the consumer, which is kept below.
        let queue = unsafe { native::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition) };
        if queue.is_null() {
            return None;
        }
        let opaque: *const Signal = Arc::as_ptr(signal);
        // SAFETY: the queue is ours until it is destroyed at the drop, which disables the call
        // first; until then `signal` is kept below.
        unsafe {
            native::rd_kafka_queue_forward(queue, ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(
                queue,
                Some(raise),
                opaque.cast_mut().cast::<c_void>(),
            );
        }
        let (signal, consumer) = (Arc::clone(signal), Arc::clone(consumer));
        let mut queue = Self { native: queue, signal, consumer };
        // What lies here is of a former assignment: an "offset out of range" has no version that would tell.
        queue.drain(usize::MAX, &mut |_stale| {});
        Some(queue)
    }

    /// Shows up to `max` (> 0) of what has arrived, without waiting; how many that were. Fewer: the queue is empty now.
    pub(in crate::kafka) fn drain(
        &mut self,
        max: usize,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> usize {
        let rk = self.consumer.client().native_ptr();
        let mut call = Call { visit, max, visited: 0, rk, panic: None };
        let opaque = (&raw mut call).cast::<c_void>();
        // SAFETY: `hand_over` is called from here only, with `call`, which lives until the end of this function.
        unsafe { native::rd_kafka_consume_callback_queue(self.native, 0, Some(hand_over), opaque) };
        if let Some(panic) = call.panic {
            std::panic::resume_unwind(panic);
        }
        call.visited
    }
}

/// One emptying of a queue.
struct Call<'c> {
    visit: &'c mut dyn FnMut(Found<'_>),
    max: usize,
    visited: usize,
    rk: *mut native::rd_kafka_t,
    /// Of a visitor: it must not unwind through C.
    panic: Option<Box<dyn Any + Send>>,
}

unsafe extern "C" fn hand_over(message: *mut native::rd_kafka_message_t, call: *mut c_void) {
    // SAFETY: the `Call` of the `drain` that runs, and a message that librdkafka keeps until this returns.
    let (call, message) = unsafe { (&mut *call.cast::<Call<'_>>(), &*message) };
    let found = match Code::from(message.err) {
        // SAFETY: as above.
        Code::NoError => Found::Record(unsafe { Fetched::new(message) }),
        Code::PartitionEOF => Found::End(message.offset),
        code => Found::Failed(code),
    };
    let visit = AssertUnwindSafe(|| (call.visit)(found));
    call.panic = std::panic::catch_unwind(visit).err();
    call.visited += 1;
    if call.visited >= call.max || call.panic.is_some() {
        // SAFETY: a living client; the rest stays in the queue.
        unsafe { native::rd_kafka_yield(call.rk) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: no call of `raise` begins after the first line; the queue is ours, and destroyed once.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.native, None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.native);
        }
        // Whoever waits for this queue's records should look again.
        self.signal.raise();
    }
}
