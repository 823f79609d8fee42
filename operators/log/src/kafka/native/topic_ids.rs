//! Topic ids, which change when a topic is deleted and made again.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use hashbrown::HashMap;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::millis;

/// The ids of topics that exist, by name; empty where the broker has none.
pub(in crate::kafka) fn topic_ids<C: ClientContext>(
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
        let found = if event.is_null() {
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
        } else {
            read_ids(event)
        };
        native::rd_kafka_event_destroy(event);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(asked);
        native::rd_kafka_queue_destroy(queue);
        found
    }
}

/// # Safety
/// `event` is an event that isn't destroyed before this returns.
unsafe fn read_ids(
    event: *mut native::rd_kafka_event_t,
) -> Result<HashMap<String, String>, KafkaError> {
    // SAFETY: by the caller.
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
