//! Orders as callers read them.
//!
//! Newest first by `created_at`, then by arrival (the user's feed number of
//! the order's first event), then by id: a total order that a rebuild keeps.

use schemas::messages::OrderStatus;
use schemas::{Micros, OrderId, UserId};
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::database::Database;
use crate::dialect::{Dialect, on_reader};
use crate::error::ReadModelError;

/// Where an order stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderPosition {
    /// The order's `created_at`.
    pub created_at: Micros,
    /// The user's feed number of its first event.
    pub arrival: i64,
    /// Which order.
    pub order_id: OrderId,
}

/// An order and what a caller needs to decide who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Where it stands in lists, with its id.
    pub position: OrderPosition,
    /// Its owner: the caller checks.
    pub user_id: UserId,
    /// One of nine.
    pub status: OrderStatus,
    /// What `ETag` shows.
    pub version: i64,
    /// The whole order as JSON text, ready to be sent.
    pub document: String,
}

impl OrderRow {
    /// Which order.
    #[must_use]
    pub fn order_id(&self) -> OrderId {
        self.position.order_id
    }
}

/// Which orders. All conditions hold together; empty means any.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Of this user.
    pub user_id: Option<UserId>,
    /// In one of these.
    pub statuses: Vec<OrderStatus>,
    /// Inclusive.
    pub created_after: Option<Micros>,
    /// Exclusive.
    pub created_before: Option<Micros>,
    /// Only orders that aren't finished and haven't moved since before this.
    pub stuck_since: Option<Micros>,
}

/// Which part of the list.
#[derive(Clone, Copy, Debug)]
pub enum OrderPage {
    /// Leaves out the first `skip`.
    Skip {
        /// How many to leave out.
        skip: u32,
        /// At most this many.
        limit: u32,
    },
    /// Goes on behind a position (none = from the first).
    After {
        /// The last order of the page before.
        position: Option<OrderPosition>,
        /// At most this many; ask for one more to know whether there are more.
        limit: u32,
    },
}

#[derive(sqlx::FromRow)]
pub(crate) struct RawOrder {
    order_id: Uuid,
    user_id: Uuid,
    status: String,
    version: i64,
    created_at: i64,
    arrival: i64,
    document: String,
}

impl TryFrom<RawOrder> for OrderRow {
    type Error = ReadModelError;

    fn try_from(raw: RawOrder) -> Result<Self, ReadModelError> {
        let status = OrderStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == raw.status)
            .ok_or_else(|| ReadModelError::Corrupt {
                table: "orders",
                what: format!("unknown status {:?} of {}", raw.status, raw.order_id),
            })?;
        Ok(Self {
            position: OrderPosition {
                created_at: Micros(raw.created_at),
                arrival: raw.arrival,
                order_id: OrderId::new(raw.order_id),
            },
            user_id: UserId::new(raw.user_id),
            status,
            version: raw.version,
            document: raw.document,
        })
    }
}

pub(crate) fn select(dialect: Dialect) -> String {
    format!(
        "SELECT order_id, user_id, status, version, {} AS created_at, arrival, CAST(document AS TEXT) AS document FROM orders",
        dialect.micros("created_at")
    )
}

impl Database {
    /// The order, whoever owns it.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<OrderRow>, ReadModelError> {
        let raw: Option<RawOrder> = on_reader!(self, |pool, dialect| {
            QueryBuilder::<Db>::new(select(dialect))
                .push(" WHERE order_id = ")
                .push_bind(order_id.uuid())
                .build_query_as()
                .fetch_optional(pool)
                .await?
        });
        raw.map(OrderRow::try_from).transpose()
    }

    /// Orders newest first.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        page: OrderPage,
    ) -> Result<Vec<OrderRow>, ReadModelError> {
        let raw: Vec<RawOrder> = on_reader!(self, |pool, dialect| {
            let mut query = QueryBuilder::<Db>::new(select(dialect));
            query.push(" WHERE 1 = 1");
            let (before, after) = dialect.at();
            if let Some(user_id) = filter.user_id {
                query.push(" AND user_id = ").push_bind(user_id.uuid());
            }
            if !filter.statuses.is_empty() {
                query.push(" AND status IN (");
                let mut list = query.separated(", ");
                for status in &filter.statuses {
                    list.push_bind(status.as_str());
                }
                query.push(")");
            }
            if let Some(from) = filter.created_after {
                query.push(" AND created_at >= ").push(before).push_bind(from.0).push(after);
            }
            if let Some(to) = filter.created_before {
                query.push(" AND created_at < ").push(before).push_bind(to.0).push(after);
            }
            if let Some(since) = filter.stuck_since {
                query.push(
                    " AND status NOT IN ('delivered', 'cancelled', 'failed') AND updated_at < ",
                );
                query.push(before).push_bind(since.0).push(after);
            }
            let (skip, limit) = match page {
                OrderPage::Skip { skip, limit } => (skip, limit),
                OrderPage::After { position, limit } => {
                    if let Some(last) = position {
                        query
                            .push(" AND (created_at, arrival, order_id) < (")
                            .push(before)
                            .push_bind(last.created_at.0);
                        query.push(after).push(", ").push_bind(last.arrival);
                        query.push(", ").push_bind(last.order_id.uuid()).push(")");
                    }
                    (0, limit)
                }
            };
            query
                .push(" ORDER BY created_at DESC, arrival DESC, order_id DESC LIMIT ")
                .push_bind(i64::from(limit));
            query.push(" OFFSET ").push_bind(i64::from(skip));
            query.build_query_as().fetch_all(pool).await?
        });
        raw.into_iter().map(OrderRow::try_from).collect()
    }
}
