//! Which deliveries are due, who makes them, and how it went.
//!
//! A claim is a lease in the row, so several processes share the work and one
//! that dies leaves nothing behind but a lease that runs out.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Attempt, DeliveryStatus};
use crate::database::Database;
use crate::dialect::{on_reader, on_writer};
use crate::error::ReadModelError;

/// A delivery under lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Also the `webhook-id` header.
    pub delivery_id: Uuid,
    /// Which webhook.
    pub webhook_id: String,
    /// Webhook name.
    pub event_type: String,
    /// What is sent.
    pub body: Vec<u8>,
    /// Trace context of the event.
    pub traceparent: Option<String>,
    /// Attempts of the schedule used so far.
    pub step: i32,
    /// Attempts so far, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which delivery.
    pub delivery_id: Uuid,
    /// All attempts, this one last.
    pub attempts: Vec<Attempt>,
    /// Where it stands now.
    pub status: DeliveryStatus,
    /// Attempts of the schedule used so far.
    pub step: i32,
    /// Microseconds; set while pending.
    pub next_attempt_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawClaim {
    delivery_id: Uuid,
    webhook_id: String,
    event_type: String,
    body: Vec<u8>,
    traceparent: Option<String>,
    step: i32,
    attempts: String,
}

impl From<RawClaim> for Claimed {
    fn from(raw: RawClaim) -> Self {
        Self {
            delivery_id: raw.delivery_id,
            webhook_id: raw.webhook_id,
            event_type: raw.event_type,
            body: raw.body,
            traceparent: raw.traceparent,
            step: raw.step,
            attempts: serde_json::from_str(&raw.attempts).unwrap_or_default(),
        }
    }
}

impl Database {
    /// Deliveries due at `now` (microseconds) that nobody holds, earliest
    /// first, as (delivery, webhook), leaving out the webhooks in `except`.
    /// Of an ordered endpoint only the first pending one of each order.
    pub async fn due_deliveries(
        &self,
        now: i64,
        except: &[String],
        limit: u32,
    ) -> Result<Vec<(Uuid, String)>, ReadModelError> {
        on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT d.delivery_id, d.webhook_id FROM webhook_deliveries d WHERE d.status = 'pending' \
                 AND d.next_attempt_at <= ",
            );
            query.push_bind(now).push(" AND d.lease_until <= ").push_bind(now);
            if !except.is_empty() {
                query.push(" AND d.webhook_id NOT IN (");
                let mut list = query.separated(", ");
                for webhook in except {
                    list.push_bind(webhook.as_str());
                }
                query.push(")");
            }
            query.push(
                " AND (NOT d.ordered OR NOT EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.status = 'pending' \
                 AND e.webhook_id = d.webhook_id AND e.order_id = d.order_id AND e.sequence < d.sequence)) \
                 ORDER BY d.next_attempt_at LIMIT ",
            );
            query.push_bind(i64::from(limit));
            Ok(query.build_query_as().fetch_all(pool).await?)
        })
    }

    /// Takes the leases; what somebody else took meanwhile is left out.
    pub async fn claim_deliveries(
        &self,
        deliveries: &[Uuid],
        owner: &str,
        now: i64,
        lease_until: i64,
    ) -> Result<Vec<Claimed>, ReadModelError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let raw: Vec<RawClaim> = on_writer!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new("UPDATE webhook_deliveries SET lease_owner = ");
            query.push_bind(owner).push(", lease_until = ").push_bind(lease_until);
            query.push(" WHERE status = 'pending' AND lease_until <= ").push_bind(now);
            query.push(" AND delivery_id IN (");
            let mut list = query.separated(", ");
            for delivery in deliveries {
                list.push_bind(*delivery);
            }
            query.push(
                ") RETURNING delivery_id, webhook_id, event_type, body, traceparent, step, \
                 CAST(attempts AS TEXT) AS attempts",
            );
            query.build_query_as().fetch_all(pool).await?
        });
        Ok(raw.into_iter().map(Claimed::from).collect())
    }

    /// Notes an attempt and gives the lease back. False where the lease was
    /// lost meanwhile and nothing was written.
    pub async fn record_attempt(
        &self,
        owner: &str,
        done: &Attempted,
    ) -> Result<bool, ReadModelError> {
        let attempts = serde_json::to_string(&done.attempts).unwrap_or_else(|_| "[]".to_owned());
        on_writer!(self, |pool, dialect| {
            let json = if dialect == crate::dialect::Dialect::Postgres { "::json" } else { "" };
            let mut query = QueryBuilder::<Db>::new("UPDATE webhook_deliveries SET attempts = ");
            query
                .push_bind(attempts)
                .push(json)
                .push(", status = ")
                .push_bind(done.status.as_str());
            query
                .push(", step = ")
                .push_bind(done.step)
                .push(", next_attempt_at = ")
                .push_bind(done.next_attempt_at);
            query
                .push(", lease_owner = NULL, lease_until = 0 WHERE delivery_id = ")
                .push_bind(done.delivery_id);
            query.push(" AND lease_owner = ").push_bind(owner);
            Ok(query.build().execute(pool).await?.rows_affected() == 1)
        })
    }

    /// Gives back what this owner held when it died. Call at start, only with
    /// an owner id that no running process uses.
    pub async fn release_leases(&self, owner: &str) -> Result<u64, ReadModelError> {
        on_writer!(self, |pool, _dialect| {
            let released = sqlx::query("UPDATE webhook_deliveries SET lease_owner = NULL, lease_until = 0 WHERE lease_owner = $1")
                .bind(owner)
                .execute(pool)
                .await?;
            Ok(released.rows_affected())
        })
    }

    /// Forgets settled deliveries created before `before` (microseconds), at
    /// most `limit`; returns how many.
    pub async fn prune_deliveries(&self, before: i64, limit: u32) -> Result<u64, ReadModelError> {
        on_writer!(self, |pool, _dialect| {
            let pruned = sqlx::query(
                "DELETE FROM webhook_deliveries WHERE delivery_id IN (SELECT delivery_id FROM webhook_deliveries \
                 WHERE status IN ('delivered', 'failed') AND created_at < $1 LIMIT $2)",
            )
            .bind(before)
            .bind(i64::from(limit))
            .execute(pool)
            .await?;
            Ok(pruned.rows_affected())
        })
    }

    /// The next moment after `now` (microseconds) at which a delivery falls
    /// due or a lease runs out.
    pub async fn next_delivery_due(&self, now: i64) -> Result<Option<i64>, ReadModelError> {
        on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT MIN(CASE WHEN next_attempt_at > lease_until THEN next_attempt_at ELSE lease_until END) \
                 FROM webhook_deliveries WHERE status = 'pending' AND (next_attempt_at > ",
            );
            query.push_bind(now).push(" OR lease_until > ").push_bind(now).push(")");
            let due: Option<i64> = query.build_query_scalar().fetch_one(pool).await?;
            Ok(due)
        })
    }
}
