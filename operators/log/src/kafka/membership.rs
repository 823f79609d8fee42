//! A member's standing in its group, as `send_offsets` needs it.
//!
//! Classic groups: the metadata captured when the assignment was answered; the
//! broker refuses it once the generation has moved on. KIP-848 groups: the
//! member's epoch moves without an event whenever others come and go, so the
//! metadata is taken fresh for each use, and is refused when the assignment is
//! lost. That is sound because librdkafka joins anew only after the caller
//! answered the revoke.
//!
//! rdkafka shows neither generation nor member id. [`GroupMetadata::generation`]
//! therefore counts the assignments this client answered, and `member` is its
//! client id ([`GroupMetadata::epoch`] is the broker's number, for comparing
//! members only: it may be of a moment after the capture); a member that was thrown out while it answered gets −1. One that
//! the broker doesn't know any more may slip through with an empty member id,
//! which the broker refuses beside any generation.

use std::sync::{Arc, Weak};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};

use crate::error::LogError;
use crate::traits::{GroupMetadata, NativeGroup};

use super::context::Context;
use super::native::group_epoch;
use super::settings::GroupProtocol;

struct Membership {
    consumer: Weak<BaseConsumer<Context>>,
    /// None in a KIP-848 group.
    captured: Option<Arc<ConsumerGroupMetadata>>,
}

/// Captures where a member stands. `answered` counts its assignments.
pub(super) fn capture(
    consumer: &Arc<BaseConsumer<Context>>,
    protocol: GroupProtocol,
    group: &str,
    client_id: &str,
    answered: i32,
) -> GroupMetadata {
    let membership = consumer.group_metadata().map(|metadata| Membership {
        consumer: Arc::downgrade(consumer),
        captured: (protocol == GroupProtocol::Classic).then(|| Arc::new(metadata)),
    });
    // Asked after the capture: where librdkafka marks a loss, it does so in the
    // step in which it clears generation and member id.
    let out = consumer.assignment_lost();
    GroupMetadata {
        group: group.to_owned(),
        generation: if out || membership.is_none() { -1 } else { answered },
        epoch: group_epoch(consumer.client()),
        member: client_id.to_owned(),
        native: membership.map(|membership| NativeGroup(Arc::new(membership))),
    }
}

/// Where the member stands now, as librdkafka wants it. Keeps no consumer: who uses it may wait for long.
///
/// # Errors
/// [`LogError::Abort`]: nowhere.
pub(super) fn standing(metadata: &GroupMetadata) -> Result<Arc<ConsumerGroupMetadata>, LogError> {
    let group = &metadata.group;
    let nobody = || LogError::Abort(format!("group {group}: this member isn't in the group"));
    if metadata.generation < 0 || metadata.member.is_empty() {
        return Err(nobody());
    }
    let membership = membership_of(metadata)?;
    if let Some(captured) = &membership.captured {
        return Ok(Arc::clone(captured));
    }
    let consumer = membership.consumer.upgrade().ok_or_else(nobody)?;
    let fresh = consumer.group_metadata().ok_or_else(nobody)?;
    if consumer.assignment_lost() { Err(nobody()) } else { Ok(Arc::new(fresh)) }
}

/// The consumer that may commit offsets without a transaction. It commits as what it is by then, so it has to be what it was.
///
/// # Errors
/// [`LogError::Abort`]: the generation is over, or the consumer is gone.
pub(super) fn committer(metadata: &GroupMetadata) -> Result<Arc<BaseConsumer<Context>>, LogError> {
    standing(metadata)?;
    let membership = membership_of(metadata)?;
    let over = || LogError::Abort(format!("group {}: this generation is over", metadata.group));
    let consumer = membership.consumer.upgrade().ok_or_else(over)?;
    let same = membership.captured.is_none() || group_epoch(consumer.client()) == metadata.epoch;
    if same && !consumer.assignment_lost() { Ok(consumer) } else { Err(over()) }
}

fn membership_of(metadata: &GroupMetadata) -> Result<&Membership, LogError> {
    let group = &metadata.group;
    let Some(native) = &metadata.native else {
        return Err(LogError::Abort(format!("group {group}: this member isn't in the group")));
    };
    let other = || LogError::Fatal(format!("group {group}: metadata of another kind of log"));
    native.0.downcast_ref().ok_or_else(other)
}
