//! What happened to an order, oldest first.

use schemas::OrderId;
use sqlx::QueryBuilder;

use crate::database::Database;
use crate::dialect::on_reader;
use crate::error::ReadModelError;

/// One event of an order. Holds no personal data beyond the actor's id.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TimelineEntry {
    /// The order's version after the event.
    pub version: i64,
    /// Derived from order and version.
    pub event_id: String,
    /// Webhook name, e.g. `order.paid`.
    pub event_type: String,
    /// Status after the event.
    pub status: String,
    /// Microseconds since 1970.
    pub occurred_at: i64,
    /// `customer`, `admin`, `system`, ….
    pub actor_type: String,
    /// User id or application id.
    pub actor_id: String,
    /// Stable code, where there is a reason.
    pub reason_code: Option<String>,
    /// For people.
    pub reason_detail: Option<String>,
}

impl Database {
    /// The order's events by version; empty for an unknown order.
    pub async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, ReadModelError> {
        on_reader!(self, |pool, dialect| {
            let mut query = QueryBuilder::<Db>::new(format!(
                "SELECT version, event_id, event_type, status, {} AS occurred_at, actor_type, actor_id, \
                 reason_code, reason_detail FROM order_timeline WHERE order_id = ",
                dialect.micros("occurred_at")
            ));
            query.push_bind(order_id.uuid()).push(" ORDER BY version");
            Ok(query.build_query_as().fetch_all(pool).await?)
        })
    }
}
