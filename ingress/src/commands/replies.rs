//! Waiters for answers that arrive on a topic, by request id.
//!
//! Invariant: a waiter is registered before its request is sent and removed when
//! it is dropped, answered or not.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Where requests wait for answers of type `T`. Cheap to clone.
#[derive(Debug)]
pub struct Replies<T>(Arc<Mutex<HashMap<String, oneshot::Sender<T>>>>);

impl<T> Clone for Replies<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Replies<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// One registered waiter.
#[derive(Debug)]
pub struct Expected<T> {
    place: Replies<T>,
    request_id: String,
    answer: oneshot::Receiver<T>,
}

impl<T> Replies<T> {
    /// Registers for the answer to a request.
    #[must_use]
    pub fn expect(&self, request_id: &str) -> Expected<T> {
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(request_id.to_owned(), sender);
        Expected { place: self.clone(), request_id: request_id.to_owned(), answer }
    }

    /// Hands an answer to whoever waits for it.
    pub fn deliver(&self, request_id: &str, answer: T) {
        let waiter = self.0.lock().remove(request_id);
        if let Some(waiter) = waiter {
            // The request may have given up in the meantime.
            drop(waiter.send(answer));
        }
    }

    /// True while nobody waits: answers need not be decoded.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl<T> Expected<T> {
    /// The answer, or none if it didn't come before the deadline.
    pub async fn by(&mut self, deadline: Instant) -> Option<T> {
        timeout_at(deadline, &mut self.answer).await.ok()?.ok()
    }
}

impl<T> Drop for Expected<T> {
    fn drop(&mut self) {
        self.place.0.lock().remove(&self.request_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_its_waiter_and_nothing_stays_behind() {
        let replies = Replies::default();
        let mut one = replies.expect("one");
        let two = replies.expect("two");
        replies.deliver("one", 1);
        replies.deliver("nobody", 3);
        assert_eq!(one.by(Instant::now()).await, Some(1));
        drop((one, two));
        assert!(replies.is_idle());
    }
}
