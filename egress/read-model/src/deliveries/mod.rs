//! What the webhook dispatcher owes: one row per (webhook, event), written in
//! the transaction that moves the dispatcher's offset, so that `kill -9` at
//! any point loses nothing.
//!
//! Invariant: `delivery_id` is derived from webhook and event and the body is
//! kept byte for byte, so however often a range is read or an attempt is
//! made, the receiver sees one id and one body.

mod claim;
mod write;

use schemas::OrderId;
use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;
use uuid::Uuid;

pub use claim::{Attempted, Claimed};
pub use write::{DeliveryChange, NewDelivery};

use crate::database::Database;
use crate::dialect::on_reader;
use crate::error::ReadModelError;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Another attempt will be made.
    Pending,
    /// A receiver answered 2xx.
    Delivered,
    /// No attempt is left, or the endpoint is off.
    Failed,
}

impl DeliveryStatus {
    /// The name on the wire and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One attempt as the interfaces show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// RFC 3339, UTC, six decimals.
    pub at: String,
    /// None where no answer came.
    pub status_code: Option<u16>,
    /// From connecting to the end of the answer.
    pub duration_ms: i64,
    /// Why it failed, without secrets.
    pub error: Option<String>,
}

impl Attempt {
    /// The receiver took it: it answered 2xx.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.status_code.is_some_and(|code| (200..300).contains(&code))
    }
}

/// A delivery as lists show it, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Also the `webhook-id` header.
    pub delivery_id: Uuid,
    /// Which webhook.
    pub webhook_id: String,
    /// Which event.
    pub event_id: String,
    /// Webhook name, e.g. `order.paid`.
    pub event_type: String,
    /// None for `webhook.test`.
    pub order_id: Option<OrderId>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970; none when no attempt is planned.
    pub next_attempt_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawDelivery {
    delivery_id: Uuid,
    webhook_id: String,
    event_id: String,
    event_type: String,
    order_id: Option<Uuid>,
    status: String,
    attempts: String,
    created_at: i64,
    next_attempt_at: Option<i64>,
}

impl TryFrom<RawDelivery> for DeliveryRow {
    type Error = ReadModelError;

    fn try_from(raw: RawDelivery) -> Result<Self, ReadModelError> {
        let corrupt = |what: String| ReadModelError::Corrupt { table: "webhook_deliveries", what };
        let status = [DeliveryStatus::Pending, DeliveryStatus::Delivered, DeliveryStatus::Failed]
            .into_iter()
            .find(|status| status.as_str() == raw.status)
            .ok_or_else(|| corrupt(format!("unknown status {:?}", raw.status)))?;
        Ok(Self {
            delivery_id: raw.delivery_id,
            webhook_id: raw.webhook_id,
            event_id: raw.event_id,
            event_type: raw.event_type,
            order_id: raw.order_id.map(OrderId::new),
            status,
            attempts: serde_json::from_str(&raw.attempts)
                .map_err(|error| corrupt(error.to_string()))?,
            created_at: raw.created_at,
            next_attempt_at: raw.next_attempt_at,
        })
    }
}

/// What is owed to receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Owed {
    /// Pending deliveries.
    pub deliveries: i64,
    /// When the oldest of them was made, microseconds since 1970.
    pub oldest: Option<i64>,
}

const SELECT: &str = "SELECT delivery_id, webhook_id, event_id, event_type, order_id, status, \
     CAST(attempts AS TEXT) AS attempts, created_at, next_attempt_at FROM webhook_deliveries";

impl Database {
    /// Deliveries of a webhook, newest first, behind `after` (a row's
    /// `created_at` and `delivery_id`).
    pub async fn deliveries(
        &self,
        webhook_id: &str,
        after: Option<(i64, Uuid)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, ReadModelError> {
        let raw: Vec<RawDelivery> = on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(SELECT);
            query.push(" WHERE webhook_id = ").push_bind(webhook_id);
            if let Some((created_at, delivery_id)) = after {
                query.push(" AND (created_at, delivery_id) < (").push_bind(created_at);
                query.push(", ").push_bind(delivery_id).push(")");
            }
            query
                .push(" ORDER BY created_at DESC, delivery_id DESC LIMIT ")
                .push_bind(i64::from(limit));
            query.build_query_as().fetch_all(pool).await?
        });
        raw.into_iter().map(DeliveryRow::try_from).collect()
    }

    /// What is pending, of all webhooks.
    pub async fn owed_deliveries(&self) -> Result<Owed, ReadModelError> {
        const SQL: &str = "SELECT COUNT(*) AS deliveries, MIN(created_at) AS oldest FROM webhook_deliveries \
             WHERE status = 'pending'";
        on_reader!(self, |pool, _dialect| { Ok(sqlx::query_as(SQL).fetch_one(pool).await?) })
    }

    /// One delivery of a webhook.
    pub async fn delivery(
        &self,
        webhook_id: &str,
        delivery_id: Uuid,
    ) -> Result<Option<DeliveryRow>, ReadModelError> {
        let raw: Option<RawDelivery> = on_reader!(self, |pool, _dialect| {
            QueryBuilder::<Db>::new(SELECT)
                .push(" WHERE delivery_id = ")
                .push_bind(delivery_id)
                .push(" AND webhook_id = ")
                .push_bind(webhook_id)
                .build_query_as()
                .fetch_optional(pool)
                .await?
        });
        raw.map(DeliveryRow::try_from).transpose()
    }
}
