//! The realtime feed inside one process: the log's `user_feed`, fanned out to
//! whoever follows a user or an order here.
//!
//! Each process reads all partitions itself, so it doesn't matter which
//! instance a consumer is connected to.

mod event;
mod history;
mod hub;
mod recovery;
mod tail;

pub use event::FeedEvent;
pub use hub::{Followed, Follower, Hub, Topic};
pub use recovery::{Position, Resumed, TopicRefused, Wish, resume};
pub use tail::{FeedSettings, run_feed};
