//! The workspace's `unsafe` code: three things that librdkafka can and rdkafka
//! 0.39 can't, each behind a safe function.
//!
//! * [`flush`]: `BaseProducer::flush` and `commit_transaction` of rdkafka
//!   0.38–0.39 wait for unacknowledged records in steps of 100 ms, so that a
//!   commit costs at least 101 ms. librdkafka's own `rd_kafka_flush` waits on a
//!   condition and lifts `linger.ms` meanwhile: called first, it makes the same
//!   commit 2–4 ms (measured).
//! * [`header`]: `BorrowedHeaders` panics on a header whose name isn't UTF-8,
//!   which any outside producer may write.
//! * [`topic_ids`]: rdkafka's metadata has no topic ids.
//!
//! Invariant: no pointer leaves a function; what is returned borrows from an
//! argument or is a copy.

#![expect(unsafe_code, reason = "see the module's page")]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use hashbrown::HashMap;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedHeaders;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

/// Waits until nothing is unacknowledged. Needs a [`ThreadedProducer`]: its
/// thread serves the delivery reports this waits for.
pub(super) fn flush<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    timeout: Duration,
) -> Result<(), KafkaError> {
    // SAFETY: the native client lives as long as `producer`, which is borrowed
    // for the call, and rd_kafka_flush may be called from any thread.
    let result = unsafe { native::rd_kafka_flush(producer.client().native_ptr(), millis(timeout)) };
    match RDKafkaErrorCode::from(result) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::Flush(code)),
    }
}

/// Name and value of the header at `index`, as they are on the log; None behind
/// the last one.
pub(super) fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&[u8], Option<&[u8]>)> {
    let list: *const native::rd_kafka_headers_t = ptr::from_ref(headers).cast();
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: a `&BorrowedHeaders` is librdkafka's own pointer under another
    // type (rdkafka makes it by a cast); the call only reads and writes to the
    // three locals.
    let result = unsafe {
        native::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size)
    };
    if RDKafkaErrorCode::from(result) != RDKafkaErrorCode::NoError || name.is_null() {
        return None;
    }
    // SAFETY: librdkafka ends names with a zero byte and keeps them as long as
    // the headers, which the result borrows.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    // SAFETY: `size` bytes at `value`, kept as long as the headers; null is no
    // value.
    let value =
        (!value.is_null()).then(|| unsafe { std::slice::from_raw_parts(value.cast(), size) });
    Some((name, value))
}

/// The ids of topics that exist, by name; empty where the broker has none.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<HashMap<String, String>, KafkaError> {
    let names: Vec<CString> =
        topics.iter().map(|topic| CString::new(*topic)).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let rk = client.native_ptr();
    // SAFETY: `client` is borrowed, so `rk` lives; everything made here is
    // destroyed here, once, the event after the last use of what lies in it.
    // The names are copied by librdkafka.
    unsafe {
        let queue = native::rd_kafka_queue_new(rk);
        let asked =
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = native::rd_kafka_AdminOptions_new(
            rk,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        native::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        native::rd_kafka_DescribeTopics(rk, asked, options, queue);
        // The request ends within its own timeout, with an event either way.
        let event = native::rd_kafka_queue_poll(queue, -1);
        let found = read_ids(event);
        native::rd_kafka_event_destroy(event);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(asked);
        native::rd_kafka_queue_destroy(queue);
        found
    }
}

/// # Safety
/// `event` is null or an event that isn't destroyed before this returns.
unsafe fn read_ids(
    event: *mut native::rd_kafka_event_t,
) -> Result<HashMap<String, String>, KafkaError> {
    // SAFETY: by the caller; librdkafka answers null with an error or nothing.
    let (failure, result) = unsafe {
        (native::rd_kafka_event_error(event), native::rd_kafka_event_DescribeTopics_result(event))
    };
    let code = RDKafkaErrorCode::from(failure);
    if code != RDKafkaErrorCode::NoError || result.is_null() {
        return Err(KafkaError::AdminOp(code));
    }
    let mut count = 0;
    // SAFETY: what a result holds lives as long as its event.
    let topics = unsafe {
        let first = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 { &[] } else { std::slice::from_raw_parts(first, count) }
    };
    let text = |at: *const c_char| {
        // SAFETY: null, or a text of the event that ends with a zero byte.
        (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned())
    };
    let entry = |topic: &*const native::rd_kafka_TopicDescription_t| {
        // SAFETY: a topic of the event; only one that exists has an id.
        let (name, id) = unsafe {
            let name = text(native::rd_kafka_TopicDescription_name(*topic))?;
            if !native::rd_kafka_TopicDescription_error(*topic).is_null() {
                return None;
            }
            (name, native::rd_kafka_TopicDescription_topic_id(*topic))
        };
        // SAFETY: null, or an id of the event; its text lies in it.
        let id = (!id.is_null()).then(|| unsafe { native::rd_kafka_Uuid_base64str(id) });
        let id = id.and_then(text).filter(|id| id != NO_ID).unwrap_or_default();
        Some((name, id))
    };
    Ok(topics.iter().filter_map(entry).collect())
}

/// What brokers before 2.8 answer: sixteen zero bytes in Base64.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    #[test]
    fn headers_are_read_in_order_with_and_without_values() {
        let owned = OwnedHeaders::new()
            .insert(Header { key: "a", value: Some("1") })
            .insert(Header { key: "", value: Some("") })
            .insert(Header::<&str> { key: "a", value: None });
        let read: Vec<_> = (0..).map_while(|index| header(owned.as_borrowed(), index)).collect();
        assert_eq!(
            read,
            [(&b"a"[..], Some(&b"1"[..])), (&b""[..], Some(&b""[..])), (&b"a"[..], None)]
        );
    }
}
