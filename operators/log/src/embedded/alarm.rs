//! When the background thread has something to do. Writers set it, the thread
//! waits on it; without writes it sleeps until the next look at groups and
//! maintenance.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
struct State {
    /// Something isn't synced, since then.
    dirty: Option<Instant>,
    /// Somebody waits for the sync.
    urgent: bool,
    last_sync: Option<Instant>,
    stopped: bool,
}

#[derive(Debug)]
pub(super) struct Alarm {
    state: Mutex<State>,
    condvar: Condvar,
}

/// Why the thread woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Sync,
    Look,
    Stop,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let state = State { dirty: None, urgent: false, last_sync: None, stopped: false };
        Self { state: Mutex::new(state), condvar: Condvar::new() }
    }

    /// The log was written; `urgent`: somebody waits for the sync.
    pub(super) fn written(&self, urgent: bool) {
        let mut state = self.state.lock();
        let wake = state.dirty.is_none() || (urgent && !state.urgent);
        state.dirty.get_or_insert_with(Instant::now);
        state.urgent |= urgent;
        drop(state);
        if wake {
            self.condvar.notify_one();
        }
    }

    /// True when something isn't synced.
    pub(super) fn is_dirty(&self) -> bool {
        self.state.lock().dirty.is_some()
    }

    /// A sync begins: what is written from now on needs another one.
    pub(super) fn syncing(&self) {
        let mut state = self.state.lock();
        (state.dirty, state.urgent, state.last_sync) = (None, false, Some(Instant::now()));
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.condvar.notify_one();
    }

    /// Waits for the next thing to do. An urgent sync comes at once, unless the
    /// last one was less than `urgent` ago; others `idle` after the write.
    pub(super) fn wait(&self, urgent: Duration, idle: Duration, look_at: Instant) -> Due {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Due::Stop;
            }
            let now = Instant::now();
            let sync_at = state.dirty.map(|since| match (state.urgent, state.last_sync) {
                (true, Some(last)) => last + urgent,
                (true, None) => now,
                (false, _) => since + idle,
            });
            if sync_at.is_some_and(|at| at <= now) {
                return Due::Sync;
            }
            if look_at <= now {
                return Due::Look;
            }
            let until = sync_at.map_or(look_at, |at| at.min(look_at));
            self.condvar.wait_until(&mut state, until);
        }
    }
}
