//! Who follows what in this process.
//!
//! Invariants: following and reading what was sent before is one step, so no
//! event falls between; the hub never waits for a follower and queues nothing
//! for it: each takes from the one history at its own pace, and is told when
//! what it takes next is no longer there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use schemas::UserId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Followed, TooSlow};
use super::event::FeedEvent;
use super::history::{History, Pushed};
use super::topic::Topic;

/// One receiver; it follows nothing any more once dropped.
#[derive(Debug)]
pub struct Follower {
    id: u64,
    news: Arc<Notify>,
    hub: Arc<Hub>,
}

impl Follower {
    /// Returns once there may be something to [take](Self::take). Cancel-safe.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// What is new, at most `most` events; [`news`](Self::news) returns at once
    /// while there is more.
    ///
    /// # Errors
    /// Events were dropped before they were taken here: nothing more will come
    /// that could be trusted.
    pub fn take(&self, most: usize) -> Result<Vec<Followed>, TooSlow> {
        let mut state = self.hub.state();
        let State { followers, history, .. } = &mut *state;
        followers.get_mut(&self.id).map_or(Ok(Vec::new()), |backlog| backlog.take(history, most))
    }

    /// From now on this receives the topic's events. Returns those that were
    /// sent before and are still held, oldest first. `owner` is whose feed the
    /// topic's events are in.
    pub fn follow(&self, topic: Topic, owner: UserId) -> Vec<Arc<FeedEvent>> {
        let mut state = self.hub.state();
        let State { followers, by_topic, history, .. } = &mut *state;
        if followers.get_mut(&self.id).is_some_and(|backlog| backlog.follow(topic, owner)) {
            by_topic.entry(topic).or_default().push(self.id);
        }
        history.of(owner).filter(|event| topic.has(event)).map(Arc::clone).collect()
    }

    /// True where this receives the topic's events.
    #[must_use]
    pub fn follows(&self, topic: Topic) -> bool {
        self.hub.state().followers.get(&self.id).is_some_and(|backlog| backlog.follows(topic))
    }

    /// No more of this topic.
    pub fn unfollow(&self, topic: Topic) {
        let mut state = self.hub.state();
        if let Some(backlog) = state.followers.get_mut(&self.id) {
            backlog.unfollow(topic);
        }
        state.forget(topic, self.id);
    }

    /// Where its events come from.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        let Some(backlog) = state.followers.remove(&self.id) else { return };
        for topic in backlog.topics() {
            state.forget(topic, self.id);
        }
    }
}

/// The place where the tail meets the followers.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    caught_up: CancellationToken,
    epoch: OnceLock<String>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    followers: HashMap<u64, Backlog>,
    by_topic: HashMap<Topic, Vec<u64>>,
    history: History,
}

impl State {
    fn forget(&mut self, topic: Topic, follower: u64) {
        let Some(list) = self.by_topic.get_mut(&topic) else { return };
        list.retain(|id| *id != follower);
        if list.is_empty() {
            self.by_topic.remove(&topic);
        }
    }
}

impl Default for Hub {
    /// Keeps 32 MiB of events.
    fn default() -> Self {
        Self::new(32 * 1024 * 1024)
    }
}

impl Hub {
    /// Keeps events up to `history_bytes`, for those who resume and those who
    /// are behind.
    #[must_use]
    pub fn new(history_bytes: usize) -> Self {
        let state = State {
            next_id: 0,
            followers: HashMap::new(),
            by_topic: HashMap::new(),
            history: History::new(history_bytes),
        };
        Self {
            state: Mutex::new(state),
            caught_up: CancellationToken::new(),
            epoch: OnceLock::new(),
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

    /// A new receiver that follows nothing yet.
    pub fn follower(self: &Arc<Self>) -> Follower {
        let mut state = self.state();
        state.next_id += 1;
        let (id, backlog) = (state.next_id, Backlog::default());
        let news = backlog.news();
        state.followers.insert(id, backlog);
        Follower { id, news, hub: Arc::clone(self) }
    }

    /// Passes an event to its followers. Never waits.
    pub fn publish(&self, event: &Arc<FeedEvent>) {
        let mut state = self.state();
        let State { followers, by_topic, history, .. } = &mut *state;
        let pushed = history.push(event);
        if pushed == Pushed::Known {
            return;
        }
        for topic in [Topic::User(event.user_id), Topic::Order(event.order_id)] {
            for id in by_topic.get(&topic).into_iter().flatten() {
                if let Some(backlog) = followers.get_mut(id) {
                    backlog.add(topic, event.number, pushed == Pushed::AfterHole);
                }
            }
        }
    }

    /// How many (follower, topic) pairs there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.state().by_topic.values().map(Vec::len).sum()
    }
}
