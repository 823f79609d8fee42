//! Access tokens that died before their time: logout, password change, new role.
//!
//! Invariants: the database is the truth. Each process keeps the few living rows
//! in memory and reads them again when they are a second old, so a revocation
//! made by another process holds after at most a second, one made here at once,
//! and with Redis at once everywhere. Redis may lose entries without harm.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use read_model::{Database, ReadModelError};
use redis::aio::ConnectionManager;
use schemas::{Micros, UserId};
use uuid::Uuid;

use super::database::{reading, writing};
use super::tokens::Claims;
use crate::limits::breaker::Breaker;
use crate::limits::redis::PATIENCE;

const FRESH: i64 = 1_000_000;

/// Which access tokens are dead. Cheap to clone.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    database: Database,
    redis: Option<ConnectionManager>,
    breaker: Breaker,
    /// Subject → tokens issued at or before this (ms) are dead.
    known: RwLock<HashMap<String, i64>>,
    read_at: AtomicI64,
    lifetime: i64,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revocations")
    }
}

impl Revocations {
    /// For tokens that live `lifetime` seconds.
    #[must_use]
    pub fn new(database: Database, redis: Option<ConnectionManager>, lifetime: i64) -> Self {
        let (known, read_at) = (RwLock::default(), AtomicI64::new(i64::MIN));
        let breaker = Breaker::default();
        let inner = Inner { database, redis, breaker, known, read_at, lifetime };
        Self(Arc::new(inner))
    }

    /// Kills the access tokens of a login.
    ///
    /// # Errors
    /// The database.
    pub async fn end_session(
        &self,
        user: UserId,
        session: Uuid,
        now: Micros,
    ) -> Result<(), ReadModelError> {
        self.revoke(&session_key(user, session), now).await
    }

    /// Kills the access tokens a user has now; refreshing gives new ones.
    ///
    /// # Errors
    /// The database.
    pub async fn end_tokens_of(&self, user: UserId, now: Micros) -> Result<(), ReadModelError> {
        self.revoke(&user_key(user), now).await
    }

    /// Reads what was revoked before the start.
    ///
    /// # Errors
    /// The database.
    pub async fn load(&self, now: Micros) -> Result<(), ReadModelError> {
        self.read_if_stale(now).await
    }

    /// True if the token was revoked.
    ///
    /// # Errors
    /// Neither Redis nor the database answers.
    pub async fn contains(&self, claims: &Claims, now: Micros) -> Result<bool, ReadModelError> {
        let mut keys = vec![user_key(claims.sub)];
        keys.extend(claims.sid.map(|session| session_key(claims.sub, session)));
        let read = self.read_if_stale(now).await;
        let dead = |not_after: &i64| claims.iat_ms <= *not_after;
        if keys.iter().any(|key| self.0.known.read().get(key).is_some_and(dead)) {
            return Ok(true);
        }
        match self.in_redis(&keys, now).await {
            Some(found) => Ok(found.iter().flatten().any(dead)),
            None => read.map(|()| false),
        }
    }

    async fn in_redis(&self, keys: &[String], now: Micros) -> Option<Vec<Option<i64>>> {
        let mut redis = self.0.redis.clone()?;
        if !self.0.breaker.may_ask(now.as_millis()) {
            return None;
        }
        let mut command = redis::cmd("MGET");
        command.arg(keys);
        match tokio::time::timeout(PATIENCE, command.query_async(&mut redis)).await {
            Ok(Ok(found)) => {
                self.0.breaker.answered();
                Some(found)
            }
            _ => {
                self.0.breaker.failed(now.as_millis());
                None
            }
        }
    }

    async fn revoke(&self, key: &str, now: Micros) -> Result<(), ReadModelError> {
        const FORGET: &str = "DELETE FROM revoked_tokens WHERE expires_at < $1";
        const SQL: &str = "INSERT INTO revoked_tokens (subject, not_after, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (subject) DO UPDATE SET not_after = excluded.not_after, expires_at = excluded.expires_at";
        // A minute more than a token lives covers the leeway of every verifier.
        let seconds = self.0.lifetime + 60;
        writing!(self.0.database, pool => {
            sqlx::query(FORGET).bind(now.0).execute(pool).await?;
            sqlx::query(SQL).bind(key).bind(now.as_millis()).bind(now.0 + seconds * 1_000_000).execute(pool).await?;
        });
        self.0.known.write().insert(key.to_owned(), now.as_millis());
        if let Some(mut redis) = self.0.redis.clone() {
            let mut command = redis::cmd("SET");
            command.arg(key).arg(now.as_millis()).arg("EX").arg(seconds);
            let written = tokio::time::timeout(
                std::time::Duration::from_millis(250),
                command.query_async::<()>(&mut redis),
            )
            .await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::warn!("redis did not take a revocation; it holds through the database");
            }
        }
        Ok(())
    }

    async fn read_if_stale(&self, now: Micros) -> Result<(), ReadModelError> {
        const SQL: &str = "SELECT subject, not_after FROM revoked_tokens WHERE expires_at >= $1";
        let read_at = self.0.read_at.load(Ordering::Relaxed);
        if now.0.saturating_sub(read_at) < FRESH
            || self
                .0
                .read_at
                .compare_exchange(read_at, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return Ok(());
        }
        let rows: Result<Vec<(String, i64)>, sqlx::Error> = reading!(self.0.database, pool => sqlx::query_as(SQL).bind(now.0).fetch_all(pool).await);
        match rows {
            Ok(rows) => {
                // Keeps what this process revoked while the rows were read.
                let oldest = now.as_millis() - (self.0.lifetime + 60) * 1_000;
                let mut known = self.0.known.write();
                known.retain(|_, not_after| *not_after >= oldest);
                for (subject, not_after) in rows {
                    let newest = known.entry(subject).or_insert(not_after);
                    *newest = (*newest).max(not_after);
                }
                Ok(())
            }
            Err(error) => {
                self.0.read_at.store(i64::MIN, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }
}

/// The braces keep a user's keys together on a Redis Cluster.
fn user_key(user: UserId) -> String {
    format!("revoked:{{u:{user}}}:all")
}

fn session_key(user: UserId, session: Uuid) -> String {
    format!("revoked:{{u:{user}}}:session:{session}")
}
