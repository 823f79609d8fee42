//! What `order-feed` and `order-analytics` write.

use serde::{Deserialize, Serialize};

use super::event::OrderEvent;
use crate::{Micros, Money, UserId};

/// An order event with its number in the user's feed. Key: user, topic
/// `user_feed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFeedEntry {
    /// Whose feed.
    pub user_id: UserId,
    /// Counts the user's events from 1 without holes; the feed's `offset`.
    pub number: i64,
    /// The event.
    pub event: OrderEvent,
}

/// Key: currency, topic `revenue_by_minute`: captured money per minute of the
/// event's time. The last record of a window is the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevenueByMinute {
    /// Start of the minute.
    pub window_start: Micros,
    /// Σ of `order.payment_processed` in it.
    pub revenue: Money,
    /// How many orders.
    pub orders: i64,
}
