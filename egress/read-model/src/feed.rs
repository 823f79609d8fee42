//! What a feed consumer loads before it follows the deltas.
//!
//! Invariant: rows and feed number are read in one database transaction (one
//! snapshot of the database), so no event lies between them.

use schemas::{OrderId, UserId};
use sqlx::QueryBuilder;

use crate::database::Database;
use crate::dialect::on_reader;
use crate::error::ReadModelError;
use crate::orders::{OrderRow, RawOrder, select};

/// A user's orders as of one feed number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSnapshot {
    /// All of the user's events up to this number are in the rows; 0 before
    /// the first event.
    pub number: i64,
    /// Newest first.
    pub orders: Vec<OrderRow>,
}

impl Database {
    /// The user's newest `limit` orders and the feed number they stand for.
    pub async fn feed_snapshot(
        &self,
        user_id: UserId,
        limit: u32,
    ) -> Result<FeedSnapshot, ReadModelError> {
        let (number, raw): (Option<i64>, Vec<RawOrder>) = on_reader!(self, |pool, dialect| {
            // SQLite: a deferred transaction reads one snapshot from its first
            // read on. Postgres: repeatable read does the same.
            let mut transaction = match dialect {
                crate::dialect::Dialect::Postgres => {
                    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
                }
                crate::dialect::Dialect::Sqlite => pool.begin().await?,
            };
            let number =
                QueryBuilder::<Db>::new("SELECT number FROM user_feed_position WHERE user_id = ")
                    .push_bind(user_id.uuid())
                    .build_query_scalar()
                    .fetch_optional(&mut *transaction)
                    .await?;
            let rows = QueryBuilder::<Db>::new(select(dialect))
                .push(" WHERE user_id = ")
                .push_bind(user_id.uuid())
                .push(" ORDER BY created_at DESC, arrival DESC, order_id DESC LIMIT ")
                .push_bind(i64::from(limit))
                .build_query_as()
                .fetch_all(&mut *transaction)
                .await?;
            transaction.commit().await?;
            (number, rows)
        });
        let orders = raw.into_iter().map(OrderRow::try_from).collect::<Result<_, _>>()?;
        Ok(FeedSnapshot { number: number.unwrap_or(0), orders })
    }

    /// The user's feed number as projected; 0 before the first event.
    pub async fn feed_number(&self, user_id: UserId) -> Result<i64, ReadModelError> {
        let number: Option<i64> = on_reader!(self, |pool, _dialect| {
            QueryBuilder::<Db>::new("SELECT number FROM user_feed_position WHERE user_id = ")
                .push_bind(user_id.uuid())
                .build_query_scalar()
                .fetch_optional(pool)
                .await?
        });
        Ok(number.unwrap_or(0))
    }

    /// Versions of many orders at once: what a waiter missed while the
    /// notifications were disconnected.
    pub async fn order_versions(
        &self,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, i64)>, ReadModelError> {
        let mut found = Vec::with_capacity(orders.len());
        for chunk in orders.chunks(500) {
            let rows: Vec<(uuid::Uuid, i64)> = on_reader!(self, |pool, _dialect| {
                let mut query = QueryBuilder::<Db>::new(
                    "SELECT order_id, version FROM orders WHERE order_id IN (",
                );
                let mut list = query.separated(", ");
                for order in chunk {
                    list.push_bind(order.uuid());
                }
                query.push(")").build_query_as().fetch_all(pool).await?
            });
            found.extend(rows.into_iter().map(|(order, version)| (OrderId::new(order), version)));
        }
        Ok(found)
    }

    /// Which of these requests the catalogue's or the warehouses' latest
    /// versions name.
    pub(crate) async fn known_requests(
        &self,
        requests: &[String],
    ) -> Result<Vec<String>, ReadModelError> {
        let mut found = Vec::new();
        for chunk in requests.chunks(500) {
            for table in [
                "SELECT command_id FROM products WHERE command_id IN (",
                "SELECT request_id FROM stock_levels WHERE request_id IN (",
            ] {
                let ids: Vec<String> = on_reader!(self, |pool, _dialect| {
                    let mut query = QueryBuilder::<Db>::new(table);
                    let mut list = query.separated(", ");
                    for request in chunk {
                        list.push_bind(request.as_str());
                    }
                    query.push(")").build_query_scalar().fetch_all(pool).await?
                });
                found.extend(ids);
            }
        }
        Ok(found)
    }
}
