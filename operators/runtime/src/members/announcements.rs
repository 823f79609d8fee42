//! The way of a process to the members' topics: one producer for all its threads and applications.
//!
//! Invariants: who announces never waits for the log, where [`Announcements::spawn`] gave it a thread, and never fails
//! with it; what waits is bounded, the latest of each key; a record that didn't get there is written again unless a later
//! one of its key has been announced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use log::error::LogError;
use log::record::NewRecord;
use log::topic::{Cleanup, TopicSpec};
use log::traits::{Appended, Appender, Log};

/// A record that didn't get there is written again after so long.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MS: i64 = 1_000;

/// How long a process that ends waits for its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A topic and a key in it.
type Key = (String, Vec<u8>);

/// What is to be said under a key.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// None: nothing any more.
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
    /// Of the topic, should it have to be made.
    pub(super) replication: i32,
}

/// See the module page.
pub struct Announcements {
    desk: Arc<Desk>,
    has_thread: bool,
}

impl fmt::Debug for Announcements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcements")
            .field("has_thread", &self.has_thread)
            .finish_non_exhaustive()
    }
}

/// Shared with its thread, and with records under way.
struct Desk {
    log: Arc<dyn Log>,
    state: Mutex<State>,
    changed: Condvar,
    /// Made when there is something to say.
    way: Mutex<Option<Way>>,
}

#[derive(Default)]
struct State {
    /// What isn't on its way yet.
    due: BTreeMap<Key, (u64, Post)>,
    /// The number of the last post of each key.
    latest: BTreeMap<Key, u64>,
    posts: u64,
    under_way: usize,
    /// Something failed since the last look at the clock.
    has_failed: bool,
    /// Topics that took no record: they may have been deleted.
    doubtful: BTreeSet<String>,
    /// By the clock of whoever has no thread.
    again_at: Option<i64>,
    ends: bool,
    has_ended: bool,
}

struct Way {
    appender: Box<dyn Appender>,
    topics: BTreeSet<String>,
}

impl Announcements {
    /// Whoever announces writes, and may wait for the log. For workers that are stepped by hand.
    pub(crate) fn inline(log: &Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self { desk: Desk::new(log), has_thread: false })
    }

    /// With a thread that writes. One for all workers of a process
    /// ([`Worker::announce_through`](crate::Worker::announce_through)); what was announced last is waited for at the end,
    /// for two seconds at most.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn spawn(log: &Arc<dyn Log>) -> std::io::Result<Arc<Self>> {
        let desk = Desk::new(log);
        let served = Arc::clone(&desk);
        let builder = std::thread::Builder::new().name("announcements".to_owned());
        // It ends with this; nobody joins it, for the log may not answer it for longer than anybody waits.
        drop(builder.spawn(move || served.serve())?);
        Ok(Arc::new(Self { desk, has_thread: true }))
    }

    /// From now on this is what is said under the key.
    pub(super) fn post(&self, topic: &str, key: &str, post: Post) {
        let mut state = self.desk.state();
        state.posts += 1;
        let (number, key) = (state.posts, (topic.to_owned(), key.as_bytes().to_vec()));
        state.latest.insert(key.clone(), number);
        state.due.insert(key, (number, post));
        drop(state);
        if self.has_thread {
            self.desk.changed.notify_all();
        } else {
            self.desk.deliver();
        }
    }

    /// Writes again what didn't get there, a while after it failed; does nothing where a thread does so.
    pub(super) fn look(&self, now: i64) {
        if self.has_thread {
            return;
        }
        let mut state = self.desk.state();
        if std::mem::take(&mut state.has_failed) {
            state.again_at = Some(now + AGAIN_MS);
        }
        if state.again_at.take_if(|at| *at <= now).is_some() {
            drop(state);
            self.desk.deliver();
        }
    }
}

impl Drop for Announcements {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.ends = true;
        self.desk.changed.notify_all();
        if self.has_thread {
            let left = self.desk.changed.wait_timeout_while(state, LAST_WORDS, |it| !it.has_ended);
            drop(left.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Desk {
    fn new(log: &Arc<dyn Log>) -> Arc<Self> {
        let (log, way) = (Arc::clone(log), Mutex::new(None));
        Arc::new(Self { log, state: Mutex::default(), changed: Condvar::new(), way })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until nobody announces any more.
    fn serve(self: &Arc<Self>) {
        loop {
            let idle = |state: &mut State| state.due.is_empty() && !state.ends;
            let waited = self.changed.wait_while(self.state(), idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut state.has_failed) && !state.ends {
                let waited = self.changed.wait_timeout_while(state, AGAIN, |it| !it.ends);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let (is_done, ends) = (state.due.is_empty(), state.ends);
            drop(state);
            if !is_done {
                self.deliver();
            }
            if ends {
                break;
            }
        }
        let waits = |state: &mut State| state.under_way > 0;
        let waited = self.changed.wait_timeout_while(self.state(), LAST_WORDS, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended = true;
        self.changed.notify_all();
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends all that is due on its way.
    fn deliver(self: &Arc<Self>) {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let due = std::mem::take(&mut self.state().due);
        for (key, (number, post)) in due {
            if let Err(error) = self.open(&mut way, &key.0, post.replication) {
                self.failed(key, number, post, &error);
                continue;
            }
            let Some(way) = way.as_ref() else { continue };
            self.state().under_way += 1;
            // The producer, which belongs to the desk, may not be ended by its own delivery.
            let (desk, sent, at) = (Arc::downgrade(self), post.clone(), key.clone());
            let done = Box::new(move |appended: Appended| {
                let Some(desk) = Weak::upgrade(&desk) else { return };
                desk.state().under_way -= 1;
                match appended {
                    Ok(_) => desk.changed.notify_all(),
                    Err(error) => desk.failed(at, number, sent, &error),
                }
            });
            let (value, timestamp) = (post.value.as_deref(), post.timestamp);
            let record = NewRecord { key: Some(&key.1), value, timestamp, headers: &[] };
            way.appender.append(&key.0, Some(0), record, done);
        }
    }

    fn open(&self, way: &mut Option<Way>, topic: &str, replication: i32) -> Result<(), LogError> {
        let is_doubtful = self.state().doubtful.remove(topic);
        if !is_doubtful && way.as_ref().is_some_and(|way| way.topics.contains(topic)) {
            return Ok(());
        }
        let (name, partitions, cleanup) = (topic.to_owned(), 1, Cleanup::CompactOften);
        let spec = TopicSpec { name, partitions, replication, cleanup };
        self.log.admin()?.ensure_topics(&[spec])?;
        let way = match way {
            Some(way) => way,
            None => {
                let appender = self.log.appender("members")?;
                way.insert(Way { appender, topics: BTreeSet::new() })
            }
        };
        way.topics.insert(topic.to_owned());
        Ok(())
    }

    /// It is due again, unless something later is to be said.
    fn failed(&self, key: Key, number: u64, post: Post, error: &LogError) {
        tracing::warn!(topic = key.0, %error, "the members' topic took no record; trying again");
        let mut state = self.state();
        state.doubtful.insert(key.0.clone());
        if state.latest.get(&key) == Some(&number) {
            state.due.insert(key, (number, post));
        }
        state.has_failed = true;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
