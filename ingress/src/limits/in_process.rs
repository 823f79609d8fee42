//! The sliding logs of one process.
//!
//! Invariant: all logs of one identity live behind one lock, so the scopes of a
//! request are decided and recorded as one step. A clock that steps back is held
//! at the newest stamp, so it can't open the gate.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::decision::{Decision, LogState, Scope, conclude};

const SHARDS: usize = 16;
/// Every so many decisions of a shard, logs without live entries are dropped.
const SWEEP_EVERY: u32 = 4096;

/// Logs by identity and key.
#[derive(Debug)]
pub struct InProcess {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    logs: HashMap<String, Log>,
    decisions: u32,
}

#[derive(Debug, Default)]
struct Log {
    /// Newest last.
    stamps: VecDeque<i64>,
    window_ms: i64,
}

impl Default for InProcess {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl InProcess {
    /// Decides one request and records it if all scopes allow it.
    #[must_use]
    pub fn decide(&self, scopes: &[Scope], now_ms: i64) -> Decision {
        let Some(first) = scopes.first() else { return Decision::unlimited(now_ms) };
        let mut shard = self.shard(&first.key).lock();
        shard.sweep(now_ms);
        let newest = scopes
            .iter()
            .filter_map(|scope| shard.logs.get(&scope.key)?.stamps.back().copied())
            .max();
        let now = newest.map_or(now_ms, |newest| newest.max(now_ms));
        let blockers: Vec<Option<i64>> =
            scopes.iter().map(|scope| shard.log(scope).blocker(scope, now)).collect();
        let allowed = blockers.iter().all(Option::is_none);
        let states: Vec<LogState> = scopes
            .iter()
            .zip(blockers)
            .map(|(scope, blocker_ms)| {
                let log = shard.log(scope);
                if allowed {
                    log.stamps.push_back(now);
                }
                LogState {
                    count: log.stamps.len() as u32,
                    oldest_ms: log.stamps.front().copied().unwrap_or(now),
                    blocker_ms,
                }
            })
            .collect();
        conclude(scopes, &states, now)
    }

    /// Forgets a log: a successful login clears the failures before it.
    pub fn forget(&self, key: &str) {
        self.shard(key).lock().logs.remove(key);
    }

    /// The shard of a key's identity, the part in braces.
    fn shard(&self, key: &str) -> &Mutex<Shard> {
        let identity = key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map_or(key, |(identity, _)| identity);
        &self.shards[self.hasher.hash_one(identity) as usize % SHARDS]
    }
}

impl Shard {
    fn log(&mut self, scope: &Scope) -> &mut Log {
        let log = self.logs.entry(scope.key.clone()).or_default();
        log.window_ms = scope.window_ms;
        log
    }

    fn sweep(&mut self, now_ms: i64) {
        self.decisions += 1;
        if self.decisions >= SWEEP_EVERY {
            self.decisions = 0;
            self.logs.retain(|_, log| {
                log.stamps.back().is_some_and(|newest| newest + log.window_ms > now_ms)
            });
        }
    }
}

impl Log {
    /// Drops what left the window; the stamp that has to leave before one more
    /// fits, if the log is full.
    fn blocker(&mut self, scope: &Scope, now: i64) -> Option<i64> {
        while self.stamps.front().is_some_and(|oldest| oldest + scope.window_ms <= now) {
            self.stamps.pop_front();
        }
        let limit = scope.limit as usize;
        let index = self.stamps.len().checked_sub(limit)?;
        self.stamps.get(index).copied()
    }
}
