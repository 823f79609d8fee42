//! The sliding logs in Redis, shared by all instances: one Lua script decides
//! and records all scopes of a request.
//!
//! Keys: `ratelimit:{u:<id>}:<METHOD route>:<window in s>` and
//! `ratelimit:{ip:<address>}:…`; the braces are literal, so that Redis Cluster
//! keeps one caller's keys together. TTL = window (R133). `<key>:total` counts
//! admitted requests by INCR (R131) for a day.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{AsyncCommands, RedisError, Script};

use super::decision::{Decision, LogState, Scope, conclude};

/// A Redis that answers slower than this is treated as down.
pub const PATIENCE: Duration = Duration::from_millis(25);

/// Which clock a decision uses.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The Redis server's: one clock for all instances.
    Server,
    /// A given time in ms, for tests.
    At(i64),
}

/// Handle on the logs. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct RedisLogs {
    connection: ConnectionManager,
    script: std::sync::Arc<Script>,
}

impl std::fmt::Debug for RedisLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisLogs")
    }
}

/// A connection that reconnects by itself and fails fast. Connects on first use.
///
/// # Errors
/// A URL that is no Redis URL.
pub fn connect(url: &str) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_millis(250)))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_secs(1));
    ConnectionManager::new_lazy_with_config(::redis::Client::open(url)?, config)
}

impl RedisLogs {
    /// Uses this connection.
    #[must_use]
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            script: std::sync::Arc::new(Script::new(include_str!("sliding_log.lua"))),
        }
    }

    /// Decides one request and records it if all scopes allow it.
    ///
    /// # Errors
    /// Redis can't be reached or answers nonsense. Nothing may have been recorded.
    pub async fn decide(&self, scopes: &[Scope], clock: Clock) -> Result<Decision, RedisError> {
        let now = match clock {
            Clock::Server => -1,
            Clock::At(now) => now,
        };
        let mut call = self.script.prepare_invoke();
        call.arg(now);
        for scope in scopes {
            call.key(&scope.key).arg(scope.limit).arg(scope.window_ms);
        }
        let answer: Vec<i64> = call.invoke_async(&mut self.connection.clone()).await?;
        let [now_ms, rest @ ..] = answer.as_slice() else {
            return Err(RedisError::from((
                ::redis::ErrorKind::UnexpectedReturnType,
                "empty answer of the rate limit script",
            )));
        };
        let states: Vec<LogState> = rest
            .chunks_exact(3)
            .map(|state| LogState {
                count: u32::try_from(state[0]).unwrap_or(u32::MAX),
                oldest_ms: state[1],
                blocker_ms: (state[2] >= 0).then_some(state[2]),
            })
            .collect();
        Ok(conclude(scopes, &states, *now_ms))
    }

    /// Forgets a log.
    ///
    /// # Errors
    /// Redis can't be reached.
    pub async fn forget(&self, key: &str) -> Result<(), RedisError> {
        let mut connection = self.connection.clone();
        connection.del(key).await
    }
}
