//! Something that one thread has at a time, where who waits for it has a deadline.
//!
//! For clients of the log that queries share: one that hangs for as long as a request may take holds up who has it, and
//! nobody else for longer than they want to wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// See the module page. Empty at first.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    place: Mutex<Place<T>>,
    is_free: Condvar,
}

#[derive(Debug)]
struct Place<T> {
    is_taken: bool,
    left: Option<T>,
}

/// A turn, which ends when this is dropped. What is in it then is there for the next.
#[derive(Debug)]
pub(crate) struct Taken<'t, T> {
    turn: &'t Turn<T>,
    pub(crate) has: Option<T>,
}

impl<T> Default for Turn<T> {
    fn default() -> Self {
        Self { place: Mutex::new(Place { is_taken: false, left: None }), is_free: Condvar::new() }
    }
}

impl<T> Turn<T> {
    /// With what the one before left; `None`: others had it until then.
    pub(crate) fn take(&self, until: Instant) -> Option<Taken<'_, T>> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.is_free.wait_timeout_while(place, left, |place| place.is_taken);
        let mut place = waited.unwrap_or_else(PoisonError::into_inner).0;
        if std::mem::replace(&mut place.is_taken, true) {
            return None;
        }
        Some(Taken { turn: self, has: place.left.take() })
    }

    /// How long somebody waits who doesn't want to wait: as long as others have it who do the same.
    pub(crate) fn at_once() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut place = self.turn.place.lock().unwrap_or_else(PoisonError::into_inner);
        (place.is_taken, place.left) = (false, self.has.take());
        self.turn.is_free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_has_a_deadline_and_what_was_left_is_there_for_the_next() {
        let turn = Turn::default();
        let far = Instant::now() + Duration::from_secs(60);
        let mut first = turn.take(far).unwrap();
        assert_eq!(first.has, None);
        assert!(turn.take(Instant::now()).is_none(), "somebody has it");
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turn.take(far).unwrap().has.take());
            first.has = Some(7);
            drop(first);
            assert_eq!(next.join().unwrap(), Some(7));
        });
        assert_eq!(turn.take(Instant::now()).unwrap().has, None, "the one before took it away");
    }
}
