//! Where one follower stands in the history.
//!
//! Invariant: a topic is in `fresh` exactly when it has a `pending` event, so
//! nothing is forgotten; what is kept per topic is one number, however far
//! behind the follower is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use schemas::UserId;
use tokio::sync::Notify;

use super::event::FeedEvent;
use super::history::History;
use super::topic::Topic;

/// An event on its way to one follower.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Which of the follower's topics.
    pub topic: Topic,
    /// What happened.
    pub event: Arc<FeedEvent>,
}

/// The history no longer holds what this follower takes next: it was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next event is no longer held; resume")]
pub struct TooSlow;

/// What one follower has yet to take.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    places: HashMap<Topic, Place>,
    /// Topics with something to take, in the order in which they will be.
    fresh: VecDeque<Topic>,
    /// Wakes the follower.
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Place {
    /// In whose feed the topic's events are.
    owner: UserId,
    /// The first event not taken yet, by its number in the owner's feed.
    pending: Option<i64>,
}

impl Backlog {
    pub(super) fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// From now on the topic's events wait here. False if they did before.
    pub(super) fn follow(&mut self, topic: Topic, owner: UserId) -> bool {
        let known = self.places.contains_key(&topic);
        if !known {
            self.places.insert(topic, Place { owner, pending: None });
        }
        !known
    }

    pub(super) fn unfollow(&mut self, topic: Topic) {
        if self.places.remove(&topic).is_some_and(|place| place.pending.is_some()) {
            self.fresh.retain(|fresh| *fresh != topic);
        }
    }

    pub(super) fn follows(&self, topic: Topic) -> bool {
        self.places.contains_key(&topic)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> {
        self.places.keys().copied()
    }

    /// The event with this number is the topic's newest. After a hole in the
    /// feed it is also the oldest that can be had.
    pub(super) fn add(&mut self, topic: Topic, number: i64, after_hole: bool) {
        let Some(place) = self.places.get_mut(&topic) else { return };
        if place.pending.is_none() {
            place.pending = Some(number);
            self.fresh.push_back(topic);
            self.news.notify_one();
        } else if after_hole {
            place.pending = Some(number);
        }
    }

    /// Up to `most` events, each topic's in order; topics take turns.
    pub(super) fn take(
        &mut self,
        history: &History,
        most: usize,
    ) -> Result<Vec<Followed>, TooSlow> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(topic) = self.fresh.pop_front()
        {
            let Some(place) = self.places.get_mut(&topic) else { continue };
            let Some(first) = place.pending.take() else { continue };
            for event in history.since(place.owner, first).ok_or(TooSlow)? {
                if taken.len() >= most {
                    place.pending = Some(event.number);
                    self.fresh.push_back(topic);
                    break;
                }
                if topic.has(event) {
                    taken.push(Followed { topic, event: Arc::clone(event) });
                }
            }
        }
        if !self.fresh.is_empty() {
            self.news.notify_one();
        }
        Ok(taken)
    }
}
