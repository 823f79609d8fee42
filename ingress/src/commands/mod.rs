//! From a request to the log and back: append, wait for the outcome, wait until
//! the read model shows it.
//!
//! Invariants: waiters are registered before the record is appended; outcomes
//! come from tailing the answer topics, never from polling a table; a request
//! that gives up waiting leaves nothing registered.

pub mod follow;
pub mod replies;
pub mod sender;

pub use follow::Follower;
pub use replies::{Expected, Replies};
pub use sender::{Sender, Typed};
