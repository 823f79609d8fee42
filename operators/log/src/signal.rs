//! What a poll waits on: a record arrived, or somebody called the waker. Other
//! threads raise it, so nobody looks in a loop.
//!
//! Invariant: nothing is lost between looking and waiting. The waiter takes
//! [`Signal::seen`] first, looks, and waits only while that number stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::traits::Waker;

#[derive(Debug, Default)]
struct State {
    count: u64,
    woken: bool,
}

/// A counter that can be waited on.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

impl Signal {
    /// How often something happened so far.
    pub(crate) fn seen(&self) -> u64 {
        self.state.lock().count
    }

    /// Something happened. Cheap, and calls nothing: librdkafka holds a lock.
    pub(crate) fn raise(&self) {
        self.state.lock().count += 1;
        self.changed.notify_all();
    }

    /// Waits until something happened after `seen`, or until the deadline.
    pub(crate) fn wait(&self, seen: u64, deadline: Instant) {
        let mut state = self.state.lock();
        while state.count == seen && !state.woken {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// True once for each time the waker was called since.
    pub(crate) fn take_wake(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }

    /// Ends the present wait, or the next one.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        let signal = Arc::clone(self);
        Arc::new(move || {
            signal.state.lock().woken = true;
            signal.changed.notify_all();
        })
    }
}

/// When a timeout is over; a very long one ends in a century.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(3_155_760_000);
    Instant::now() + timeout.min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_between_looking_and_waiting_is_not_lost() {
        let signal = Signal::default();
        let seen = signal.seen();
        signal.raise();
        let before = Instant::now();
        signal.wait(seen, before + Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_wake_counts_once() {
        let signal = Arc::new(Signal::default());
        (signal.waker())();
        signal.wait(signal.seen(), Instant::now() + Duration::from_secs(60));
        assert!(signal.take_wake());
        assert!(!signal.take_wake());
    }
}
