//! One event of the feed, rendered once for all its receivers.

use schemas::messages::UserFeedEntry;
use schemas::{Micros, OrderId, UserId};
use serde_json::{Value, json};

use super::topic::Topic;

/// An event as the feed sends it. Cheap to share, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// Whose feed.
    pub user_id: UserId,
    /// The user's gapless number: the offset in `user:<id>`.
    pub number: i64,
    /// Which order.
    pub order_id: OrderId,
    /// The order's version: the offset in `order:<id>`.
    pub version: i64,
    /// Webhook name, e.g. `order.paid`.
    pub event_type: &'static str,
    /// When it happened.
    pub occurred_at: Micros,
    /// `"sequence":…,…,"data":{…}}`: what is the same for every topic.
    tail: String,
}

impl FeedEvent {
    /// Renders an entry of `user_feed`.
    #[must_use]
    pub fn new(entry: &UserFeedEntry) -> Self {
        let event = &entry.event;
        let event_type = event.event_type.public_name();
        let order = &event.order;
        let tail = format!(
            "\"sequence\":{},\"event_type\":{},\"order_id\":\"{}\",\"status\":\"{}\",\"version\":{},\
             \"occurred_at\":\"{}\",\"data\":{}}}",
            event.version,
            Value::from(event_type),
            event.order_id,
            event.status.as_str(),
            event.version,
            event.occurred_at.to_rfc3339(),
            order.to_json(),
        );
        Self {
            user_id: entry.user_id,
            number: entry.number,
            order_id: event.order_id,
            version: event.version,
            event_type,
            occurred_at: event.occurred_at,
            tail,
        }
    }

    /// Its place in a topic.
    #[must_use]
    pub fn offset(&self, topic: Topic) -> i64 {
        match topic {
            Topic::User(_) => self.number,
            Topic::Order(_) => self.version,
        }
    }

    /// The message for a follower of `topic` (`contract.md` §2).
    #[must_use]
    pub fn message(&self, topic: Topic) -> String {
        let head = json!(topic.to_string());
        format!(
            "{{\"type\":\"event\",\"topic\":{head},\"offset\":{},{}",
            self.offset(topic),
            self.tail
        )
    }

    /// How much memory it holds, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.tail.len()
    }
}
