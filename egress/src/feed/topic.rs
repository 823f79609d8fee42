//! What can be followed, and its name on the wire.

use std::fmt;
use std::str::FromStr;

use schemas::{OrderId, UserId};

use super::event::FeedEvent;

/// What can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `user:<id>`: all orders of a user.
    User(UserId),
    /// `order:<id>`: one order.
    Order(OrderId),
}

impl Topic {
    /// True where the topic shows this event of its owner's feed.
    pub(super) fn has(self, event: &FeedEvent) -> bool {
        match self {
            Self::User(user) => event.user_id == user,
            Self::Order(order) => event.order_id == order,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Order(order) => write!(f, "order:{order}"),
        }
    }
}

/// Neither `user:<id>` nor `order:<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic must be user:<id> or order:<id>")]
pub struct BadTopic;

impl FromStr for Topic {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        match text.split_once(':') {
            Some(("user", id)) => id.parse().map(Self::User).map_err(|_| BadTopic),
            Some(("order", id)) => id.parse().map(Self::Order).map_err(|_| BadTopic),
            _ => Err(BadTopic),
        }
    }
}
