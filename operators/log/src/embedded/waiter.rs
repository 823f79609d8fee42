//! What a poll waits on. One per reader; partitions and the coordinator hold it
//! and notify it, so nobody polls in a loop and nobody is woken for nothing.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct Flags {
    /// Something may be there; cleared before looking.
    news: bool,
    /// Somebody wants the poll to end; stays until a poll ended for it.
    woken: bool,
}

#[derive(Debug, Default)]
pub(super) struct Waiter {
    flags: Mutex<Flags>,
    condvar: Condvar,
}

impl Waiter {
    /// There may be something to read.
    pub(super) fn notify(&self) {
        let mut flags = self.flags.lock();
        if !flags.news {
            flags.news = true;
            self.condvar.notify_one();
        }
    }

    /// Ends the poll that waits, or the next one.
    pub(super) fn wake(&self) {
        self.flags.lock().woken = true;
        self.condvar.notify_one();
    }

    /// Before looking: what comes from now on counts as news.
    pub(super) fn clear(&self) {
        self.flags.lock().news = false;
    }

    /// After looking in vain: waits for news until `deadline`. True: look
    /// again. False: the poll is over.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let mut flags = self.flags.lock();
        loop {
            if std::mem::take(&mut flags.woken) {
                return false;
            }
            if flags.news {
                return true;
            }
            if self.condvar.wait_until(&mut flags, deadline).timed_out() {
                flags.woken = false;
                return flags.news;
            }
        }
    }
}

/// When a poll that begins now and waits this long is over.
pub(super) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + Duration::from_secs(365 * 24 * 3600))
}
