//! Who is in a consumer group, of either protocol.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::millis;
use crate::group::{GroupDescription, GroupMember};
use crate::record::TopicPartition;

/// Asks the group's coordinator.
pub(in crate::kafka) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<GroupDescription, KafkaError> {
    let name = CString::new(group)?;
    let mut names = [name.as_ptr()];
    let rk = client.native_ptr();
    // SAFETY: `client` is borrowed, so `rk` lives; everything made here is
    // destroyed here, once, the event after the last use of what lies in it.
    // The name is copied by librdkafka.
    unsafe {
        let queue = native::rd_kafka_queue_new(rk);
        let options = native::rd_kafka_AdminOptions_new(
            rk,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
        );
        native::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        native::rd_kafka_DescribeConsumerGroups(
            rk,
            names.as_mut_ptr(),
            names.len(),
            options,
            queue,
        );
        // The request ends within its own timeout, with an event either way.
        let event = native::rd_kafka_queue_poll(queue, -1);
        let found = if event.is_null() {
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
        } else {
            read_group(event)
        };
        native::rd_kafka_event_destroy(event);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_queue_destroy(queue);
        found
    }
}

/// # Safety
/// `event` is an event that isn't destroyed before this returns.
unsafe fn read_group(event: *mut native::rd_kafka_event_t) -> Result<GroupDescription, KafkaError> {
    // SAFETY: by the caller.
    let (failure, result) = unsafe {
        (
            native::rd_kafka_event_error(event),
            native::rd_kafka_event_DescribeConsumerGroups_result(event),
        )
    };
    let code = RDKafkaErrorCode::from(failure);
    if code != RDKafkaErrorCode::NoError || result.is_null() {
        return Err(KafkaError::AdminOp(code));
    }
    let mut count = 0;
    // SAFETY: what a result holds lives as long as its event; one group was asked for.
    unsafe {
        let first = native::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 || first.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let group = *first;
        let error = native::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() {
            return match RDKafkaErrorCode::from(native::rd_kafka_error_code(error)) {
                RDKafkaErrorCode::NoError => Ok(describe(group)),
                RDKafkaErrorCode::GroupIdNotFound => {
                    Ok(GroupDescription { state: "Dead".to_owned(), members: Vec::new() })
                }
                code => Err(KafkaError::AdminOp(code)),
            };
        }
        Ok(describe(group))
    }
}

/// # Safety
/// `group` is a description of an event that isn't destroyed before this returns.
unsafe fn describe(group: *const native::rd_kafka_ConsumerGroupDescription_t) -> GroupDescription {
    // SAFETY: by the caller; the names of states are static.
    unsafe {
        let state = native::rd_kafka_ConsumerGroupDescription_state(group);
        let count = native::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members = (0..count)
            .map(|index| member(native::rd_kafka_ConsumerGroupDescription_member(group, index)));
        GroupDescription {
            state: text(native::rd_kafka_consumer_group_state_name(state)),
            members: members.collect(),
        }
    }
}

/// # Safety
/// As [`describe`].
unsafe fn member(member: *const native::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: by the caller; the list's elements are `cnt` many.
    unsafe {
        let assigned = native::rd_kafka_MemberDescription_assignment(member);
        let list = if assigned.is_null() {
            ptr::null()
        } else {
            native::rd_kafka_MemberAssignment_partitions(assigned)
        };
        let elements = match list.as_ref() {
            Some(list) if list.cnt > 0 => {
                std::slice::from_raw_parts(list.elems, list.cnt.unsigned_abs() as usize)
            }
            _ => &[],
        };
        let partition = |at: &native::rd_kafka_topic_partition_t| {
            TopicPartition::new(text(at.topic), at.partition.unsigned_abs())
        };
        GroupMember {
            client_id: text(native::rd_kafka_MemberDescription_client_id(member)),
            host: text(native::rd_kafka_MemberDescription_host(member)),
            partitions: elements.iter().map(partition).collect(),
        }
    }
}

/// # Safety
/// Null, or a text that ends with a zero byte.
unsafe fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}
