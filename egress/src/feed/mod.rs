//! The realtime feed inside one process: the log's `user_feed`, fanned out to
//! whoever follows a user or an order here.
//!
//! Each process reads all partitions itself, so it doesn't matter which
//! instance a consumer is connected to.

mod backlog;
mod event;
mod history;
mod hub;
mod recovery;
mod tail;
mod topic;

pub use backlog::{Followed, TooSlow};
pub use event::FeedEvent;
pub use hub::{Follower, Hub};
pub use recovery::{Position, Resumed, TopicRefused, Wish, resume};
pub use tail::{FeedSettings, run_feed};
pub use topic::Topic;
