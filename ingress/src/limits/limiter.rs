//! One door to the limits: Redis where there is one, the process's own logs
//! behind it.
//!
//! Invariant: limits never vanish and never block. While Redis is slow or gone,
//! each instance counts for itself (at most instances × limit get through).

use std::sync::Arc;
use std::time::Instant;

use super::breaker::Breaker;
use super::decision::{Decision, Scope};
use super::in_process::InProcess;
use super::redis::{Clock, PATIENCE, RedisLogs};

/// Decides requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: InProcess,
    redis: Option<RedisLogs>,
    breaker: Breaker,
}

impl Limiter {
    /// In process only, or in Redis with the process behind it.
    #[must_use]
    pub fn new(redis: Option<RedisLogs>) -> Self {
        if redis.is_some() {
            show_mode(false);
        }
        Self(Arc::new(Inner { own: InProcess::default(), redis, breaker: Breaker::default() }))
    }

    /// True while a configured Redis doesn't answer.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.0.breaker.open()
    }

    /// Decides one request and records it if all scopes allow it. `now_ms` is
    /// the process's clock; Redis uses its own. `tier` is for the metrics.
    pub async fn decide(&self, scopes: &[Scope], tier: &'static str, now_ms: i64) -> Decision {
        if scopes.is_empty() {
            count("", tier, "bypass");
            return Decision::unlimited(now_ms);
        }
        let started = Instant::now();
        let decision = match self.in_redis(scopes, now_ms).await {
            Some(decision) => decision,
            None => self.0.own.decide(scopes, now_ms),
        };
        measure(scopes, tier, &decision, started);
        decision
    }

    async fn in_redis(&self, scopes: &[Scope], now_ms: i64) -> Option<Decision> {
        let redis = self.0.redis.as_ref().filter(|_| self.0.breaker.may_ask(now_ms))?;
        let (kind, failure) =
            match tokio::time::timeout(PATIENCE, redis.decide(scopes, Clock::Server)).await {
                Ok(Ok(decision)) => {
                    if self.0.breaker.answered() {
                        show_mode(false);
                        tracing::info!("redis answers again; limits are shared");
                    }
                    return Some(decision);
                }
                Ok(Err(error)) => ("failed", error.to_string()),
                Err(_) => ("timeout", "no answer in time".to_owned()),
            };
        metrics::counter!("ratelimit_backend_errors_total", "kind" => kind).increment(1);
        if self.0.breaker.failed(now_ms) {
            show_mode(true);
            tracing::warn!(
                failure,
                "redis does not answer; each instance limits by itself until it does"
            );
        }
        None
    }

    /// Forgets a log, so that what it counted no longer counts.
    pub async fn forget(&self, key: &str) {
        self.0.own.forget(key);
        if let Some(redis) = &self.0.redis
            && !self.degraded()
        {
            // A log that stays only limits sooner, and ends with its window.
            let _unanswered = tokio::time::timeout(PATIENCE, redis.forget(key)).await;
        }
    }
}

/// Whether each instance limits by itself though there is a Redis.
fn show_mode(falls_back: bool) {
    metrics::gauge!("ratelimit_backend_mode").set(f64::from(u8::from(falls_back)));
}

/// By the scope that decided: the one that refused, or has the least left.
fn measure(scopes: &[Scope], tier: &'static str, decision: &Decision, started: Instant) {
    let scope = decision.standing.and_then(|standing| scopes.get(standing.scope));
    let scope = scope.map_or("", |scope| scope.policy);
    let outcome = if decision.allowed { "allow" } else { "deny" };
    count(scope, tier, outcome);
    metrics::histogram!("ratelimit_check_duration_seconds").record(started.elapsed().as_secs_f64());
}

fn count(scope: &'static str, tier: &'static str, outcome: &'static str) {
    let labels = [("scope", scope), ("tier", tier), ("outcome", outcome)];
    metrics::counter!("ratelimit_decisions_total", &labels).increment(1);
}
