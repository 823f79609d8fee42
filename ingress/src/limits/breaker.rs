//! Keeps a slow or absent Redis from slowing every request.
//!
//! Invariant: while it is down, at most one request per pause waits to find out
//! whether it is back; pauses double up to five seconds.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const FIRST_PAUSE_MS: i64 = 100;
const LONGEST_PAUSE_MS: i64 = 5_000;

/// Whether to ask, by what happened before. Time is the caller's, in ms.
#[derive(Debug)]
pub struct Breaker {
    asleep_until: AtomicI64,
    pause_ms: AtomicI64,
    open: AtomicBool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            asleep_until: AtomicI64::new(i64::MIN),
            pause_ms: AtomicI64::new(FIRST_PAUSE_MS),
            open: AtomicBool::new(false),
        }
    }
}

impl Breaker {
    /// True while it doesn't answer.
    #[must_use]
    pub fn open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// True if this request may ask.
    #[must_use]
    pub fn may_ask(&self, now_ms: i64) -> bool {
        if !self.open() {
            return true;
        }
        let until = self.asleep_until.load(Ordering::Relaxed);
        let next = now_ms + self.pause_ms.load(Ordering::Relaxed);
        let swap = |until| {
            self.asleep_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
        };
        now_ms >= until && swap(until).is_ok()
    }

    /// It answered; true if it had not before.
    pub fn answered(&self) -> bool {
        self.pause_ms.store(FIRST_PAUSE_MS, Ordering::Relaxed);
        self.open.swap(false, Ordering::Relaxed)
    }

    /// It did not answer; true if it had before.
    pub fn failed(&self, now_ms: i64) -> bool {
        let pause = self.pause_ms.load(Ordering::Relaxed);
        self.asleep_until.store(now_ms + pause, Ordering::Relaxed);
        self.pause_ms.store((pause * 2).min(LONGEST_PAUSE_MS), Ordering::Relaxed);
        !self.open.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_per_pause_asks_and_pauses_grow() {
        let breaker = Breaker::default();
        assert!(breaker.may_ask(0) && breaker.may_ask(0));
        assert!(breaker.failed(0), "news");
        assert!(!breaker.may_ask(99));
        assert!(breaker.may_ask(100));
        assert!(!breaker.may_ask(100), "somebody is asking");
        assert!(!breaker.failed(100), "no news");
        assert!(!breaker.may_ask(299));
        assert!(breaker.may_ask(300));
        assert!(breaker.answered());
        assert!(!breaker.open() && breaker.may_ask(301));
    }
}
