//! Waiters for answers that arrive on a topic, by request id.
//!
//! Invariant: a waiter is registered before its request is sent and removed when
//! it is dropped, answered or not. Several may wait for one id (the same request
//! sent twice at once); each gets the answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Where requests wait for answers of type `T`. Cheap to clone.
#[derive(Debug)]
pub struct Replies<T>(Arc<Mutex<Waiting<T>>>);

#[derive(Debug)]
struct Waiting<T> {
    by_request: HashMap<String, Vec<(u64, oneshot::Sender<T>)>>,
    /// Tells the waiters of one request apart.
    next: u64,
}

impl<T> Clone for Replies<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Replies<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { by_request: HashMap::new(), next: 0 })))
    }
}

/// One registered waiter.
#[derive(Debug)]
pub struct Expected<T> {
    place: Replies<T>,
    request_id: String,
    number: u64,
    answer: oneshot::Receiver<T>,
}

impl<T> Replies<T> {
    /// Registers for the answer to a request.
    #[must_use]
    pub fn expect(&self, request_id: &str) -> Expected<T> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.0.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_request.entry(request_id.to_owned()).or_default().push((number, sender));
        Expected { place: self.clone(), request_id: request_id.to_owned(), number, answer }
    }

    /// Hands an answer to everybody who waits for it.
    pub fn deliver(&self, request_id: &str, answer: T)
    where
        T: Clone,
    {
        let waiters = self.0.lock().by_request.remove(request_id);
        for (_, waiter) in waiters.into_iter().flatten() {
            // The request may have given up in the meantime.
            drop(waiter.send(answer.clone()));
        }
    }

    /// True while nobody waits: answers need not be decoded.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.lock().by_request.is_empty()
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
        let mut waiting = self.place.0.lock();
        if let Some(waiters) = waiting.by_request.get_mut(&self.request_id) {
            waiters.retain(|(number, _)| *number != self.number);
            if waiters.is_empty() {
                waiting.by_request.remove(&self.request_id);
            }
        }
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

    #[tokio::test]
    async fn all_who_wait_for_one_request_are_answered() {
        let replies = Replies::default();
        let mut first = replies.expect("same");
        let mut second = replies.expect("same");
        drop(replies.expect("same"));
        replies.deliver("same", 7);
        let answers = (first.by(Instant::now()).await, second.by(Instant::now()).await);
        assert_eq!(answers, (Some(7), Some(7)));
        assert!(replies.is_idle());
    }
}
