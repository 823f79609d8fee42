//! Sockets per user over all instances, in Redis.
//!
//! Key `ws:{<user>}`: a sorted set of socket ids by the end of their lease, in
//! milliseconds of Redis' own clock. The sockets of a killed instance fall out
//! when their leases end. While Redis can't be reached this process counts its
//! own sockets only, and says so.

use std::time::Duration;

use futures::future::BoxFuture;
use redis::Script;
use redis::aio::ConnectionManager;
use schemas::UserId;
use tokio::time::timeout;
use uuid::Uuid;

use super::limits::{Leases, LocalLeases, MAX_SOCKETS, RENEW_EVERY};

/// A Redis that answers slower than this is treated as down.
const PATIENCE: Duration = Duration::from_millis(250);

const ACQUIRE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

const RENEW: &str = "
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for at = 2, #ARGV do redis.call('ZADD', KEYS[1], till, ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1";

/// Counts the sockets of all instances that share a Redis.
pub struct RedisLeases {
    connection: ConnectionManager,
    local: LocalLeases,
    acquire: Script,
    renew: Script,
}

impl std::fmt::Debug for RedisLeases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisLeases(…)")
    }
}

impl RedisLeases {
    /// Over this connection.
    #[must_use]
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            local: LocalLeases::default(),
            acquire: Script::new(ACQUIRE),
            renew: Script::new(RENEW),
        }
    }
}

fn key(user: UserId) -> String {
    format!("ws:{{{user}}}")
}

fn lease_ms() -> u64 {
    u64::try_from(RENEW_EVERY.as_millis()).unwrap_or(u64::MAX).saturating_mul(3)
}

/// Redis says nothing: the place in this process counts.
fn alone(error: &str) -> bool {
    tracing::warn!(error, "Redis can't count sockets; counting those of this process");
    true
}

impl Leases for RedisLeases {
    fn acquire(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            if !self.local.take(user, socket) {
                return false;
            }
            let mut connection = self.connection.clone();
            let mut call = self.acquire.key(key(user));
            call.arg(socket.to_string()).arg(MAX_SOCKETS).arg(lease_ms());
            match timeout(PATIENCE, call.invoke_async::<i64>(&mut connection)).await {
                Ok(Ok(1)) => true,
                Ok(Ok(_)) => {
                    self.local.give_back(user, socket);
                    false
                }
                // The next renewal counts it there, once Redis answers.
                Ok(Err(error)) => alone(&error.to_string()),
                Err(_) => alone("no answer in time"),
            }
        })
    }

    fn release(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.local.give_back(user, socket);
            let mut connection = self.connection.clone();
            let mut call = redis::cmd("ZREM");
            call.arg(key(user)).arg(socket.to_string());
            if let Err(error) = call.query_async::<i64>(&mut connection).await {
                tracing::debug!(%error, "socket not released; its lease ends by itself");
            }
        })
    }

    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            for (user, sockets) in self.local.all() {
                let mut call = self.renew.key(key(user));
                call.arg(lease_ms());
                for socket in sockets {
                    call.arg(socket.to_string());
                }
                if let Err(error) = call.invoke_async::<i64>(&mut connection).await {
                    tracing::warn!(%error, "leases of sockets not renewed");
                    return;
                }
            }
        })
    }
}
