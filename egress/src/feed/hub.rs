//! Who follows what in this process.
//!
//! Invariants: following and reading what was sent before is one step, so no
//! event falls between; the hub never waits for a follower: one whose queue is
//! full is cut off and told so.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::{OrderId, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::event::FeedEvent;
use super::history::History;

/// What can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `user:<id>`: all orders of a user.
    User(UserId),
    /// `order:<id>`: one order.
    Order(OrderId),
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

/// An event on its way to one follower.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Which of the follower's topics.
    pub topic: Topic,
    /// What happened.
    pub event: Arc<FeedEvent>,
}

/// One receiver's end: a bounded queue and the sign that it was too slow.
#[derive(Clone, Debug)]
pub struct Follower {
    id: u64,
    queue: mpsc::Sender<Followed>,
    slow: CancellationToken,
}

impl Follower {
    /// Cancelled when the queue was full once: nothing more will come.
    #[must_use]
    pub fn slow(&self) -> &CancellationToken {
        &self.slow
    }
}

/// The place where the tail meets the followers.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    caught_up: CancellationToken,
    epoch: std::sync::OnceLock<String>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    followers: HashMap<Topic, Vec<Follower>>,
    history: History,
}

impl Default for Hub {
    /// Keeps 32 MiB of events.
    fn default() -> Self {
        Self::new(32 * 1024 * 1024)
    }
}

impl Hub {
    /// Keeps events up to `history_bytes` for those who resume.
    #[must_use]
    pub fn new(history_bytes: usize) -> Self {
        let state =
            State { next_id: 0, followers: HashMap::new(), history: History::new(history_bytes) };
        Self {
            state: Mutex::new(state),
            caught_up: CancellationToken::new(),
            epoch: std::sync::OnceLock::new(),
        }
    }

    /// Changes only when history was lost; empty until the tail has begun.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.epoch.get().map_or("", String::as_str)
    }

    pub(super) fn begin(&self, epoch: String) {
        let _already_begun = self.epoch.set(epoch);
    }

    pub(super) fn caught_up(&self) {
        self.caught_up.cancel();
    }

    /// Returns once the tail has read what was there when it began.
    pub async fn ready(&self) {
        self.caught_up.cancelled().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new receiver that follows nothing yet, with a queue of `capacity`.
    pub fn follower(&self, capacity: usize) -> (Follower, mpsc::Receiver<Followed>) {
        let (queue, receiver) = mpsc::channel(capacity);
        let mut state = self.state();
        state.next_id += 1;
        (Follower { id: state.next_id, queue, slow: CancellationToken::new() }, receiver)
    }

    /// From now on `follower` receives the topic's events. Returns those that
    /// were sent before and are still held, oldest first. `owner` is whose
    /// feed the topic's events are in.
    pub fn follow(&self, follower: &Follower, topic: Topic, owner: UserId) -> Vec<Arc<FeedEvent>> {
        let mut state = self.state();
        let list = state.followers.entry(topic).or_default();
        if list.iter().all(|other| other.id != follower.id) {
            list.push(follower.clone());
        }
        let wanted = |event: &&Arc<FeedEvent>| match topic {
            Topic::User(_) => true,
            Topic::Order(order) => event.order_id == order,
        };
        state.history.of(owner).filter(wanted).map(Arc::clone).collect()
    }

    /// True where `follower` receives the topic's events.
    pub fn follows(&self, follower: &Follower, topic: Topic) -> bool {
        let followers = &self.state().followers;
        followers.get(&topic).is_some_and(|list| list.iter().any(|other| other.id == follower.id))
    }

    /// No more of this topic; what is queued already may still arrive.
    pub fn unfollow(&self, follower: &Follower, topic: Topic) {
        let mut state = self.state();
        if let Some(list) = state.followers.get_mut(&topic) {
            list.retain(|other| other.id != follower.id);
            if list.is_empty() {
                state.followers.remove(&topic);
            }
        }
    }

    /// Passes an event to its followers. Never waits.
    pub fn publish(&self, event: &Arc<FeedEvent>) {
        let mut state = self.state();
        if !state.history.push(event) {
            return;
        }
        for topic in [Topic::User(event.user_id), Topic::Order(event.order_id)] {
            let Some(list) = state.followers.get_mut(&topic) else { continue };
            list.retain(|follower| {
                let queued = follower.queue.try_send(Followed { topic, event: Arc::clone(event) });
                if matches!(queued, Err(mpsc::error::TrySendError::Full(_))) {
                    follower.slow.cancel();
                }
                queued.is_ok()
            });
            if list.is_empty() {
                state.followers.remove(&topic);
            }
        }
    }

    /// How many (follower, topic) pairs there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.state().followers.values().map(Vec::len).sum()
    }
}
