//! `order-feed`: gives each of a user's events its number, so that a client
//! can tell whether it missed one.

pub mod flow;

use schemas::messages::{OrderEvent, UserFeedEntry};

/// The entry after `last` (0 before the first): numbers count from 1 without
/// holes.
#[must_use]
pub fn entry(last: i64, event: &OrderEvent) -> UserFeedEntry {
    UserFeedEntry { user_id: event.user_id, number: last + 1, event: event.clone() }
}
