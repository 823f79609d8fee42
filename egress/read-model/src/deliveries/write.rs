//! New deliveries and orders to send again, together with the reader's offset.

use schemas::OrderId;
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::database::Database;
use crate::dialect::on_writer;
use crate::error::ReadModelError;
use crate::offsets::{Progress, Unreadable, advance};

/// Rows per INSERT: below SQLite's 32,766 parameters.
const CHUNK: usize = 500;

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Derived from webhook and event; a second insert changes nothing.
    pub delivery_id: Uuid,
    /// Which webhook.
    pub webhook_id: String,
    /// Which event.
    pub event_id: String,
    /// Webhook name.
    pub event_type: String,
    /// None for `webhook.test`.
    pub order_id: Option<OrderId>,
    /// The order's version: the order of an ordered endpoint.
    pub sequence: i64,
    /// Not before the same order's earlier deliveries are settled.
    pub ordered: bool,
    /// What is sent, constant over retries.
    pub body: Vec<u8>,
    /// Trace context of the event.
    pub traceparent: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// When the first attempt is due, microseconds.
    pub next_attempt_at: i64,
}

/// What a range of records asks of the deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryChange {
    /// Send this.
    Insert(Box<NewDelivery>),
    /// Try this one now, whatever became of it.
    Retry {
        /// Whose.
        webhook_id: String,
        /// Which.
        delivery_id: Uuid,
        /// Microseconds.
        now: i64,
    },
    /// Send again what failed and was created at `since` or later.
    Recover {
        /// Whose.
        webhook_id: String,
        /// Microseconds.
        since: i64,
        /// Microseconds.
        now: i64,
    },
    /// The endpoint is off: nothing pending will be sent.
    GiveUp {
        /// Whose.
        webhook_id: String,
    },
}

impl Database {
    /// Applies the changes in their order and moves the reader's offsets, in
    /// one transaction: [`ReadModelError::Fenced`] and nothing changed where
    /// somebody else did.
    pub async fn apply_deliveries(
        &self,
        consumer: &str,
        progress: &[Progress],
        changes: &[DeliveryChange],
        unreadable: &[Unreadable],
    ) -> Result<(), ReadModelError> {
        on_writer!(self, |pool, dialect| {
            let mut transaction = match dialect {
                crate::dialect::Dialect::Postgres => pool.begin().await?,
                crate::dialect::Dialect::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await?,
            };
            advance!(transaction, consumer, progress, unreadable);
            let mut rest = changes;
            while let Some(first) = rest.first() {
                let inserts: Vec<&NewDelivery> = rest
                    .iter()
                    .map_while(|change| {
                        if let DeliveryChange::Insert(new) = change { Some(&**new) } else { None }
                    })
                    .take(CHUNK)
                    .collect();
                let mut query =
                    if inserts.is_empty() { update::<Db>(first) } else { insert::<Db>(&inserts) };
                query.build().execute(&mut *transaction).await?;
                rest = rest.get(inserts.len().max(1)..).unwrap_or_default();
            }
            transaction.commit().await?;
            Ok(())
        })
    }
}

/// The types a delivery's columns need, in both databases.
pub(super) trait Columns: sqlx::Database {}
impl Columns for sqlx::Postgres {}
impl Columns for sqlx::Sqlite {}

fn insert<'a, Db>(rows: &'a [&'a NewDelivery]) -> QueryBuilder<Db>
where
    Db: Columns,
    Uuid: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    Option<Uuid>: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    &'a str: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    Option<&'a str>: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    &'a [u8]: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    i64: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    bool: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
{
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO webhook_deliveries (delivery_id, webhook_id, event_id, event_type, order_id, sequence, ordered, \
         body, traceparent, created_at, next_attempt_at, status) ",
    );
    query.push_values(rows.iter().copied(), |mut row, new| {
        row.push_bind(new.delivery_id)
            .push_bind(new.webhook_id.as_str())
            .push_bind(new.event_id.as_str());
        row.push_bind(new.event_type.as_str())
            .push_bind(new.order_id.map(OrderId::uuid))
            .push_bind(new.sequence);
        row.push_bind(new.ordered)
            .push_bind(new.body.as_slice())
            .push_bind(new.traceparent.as_deref());
        row.push_bind(new.created_at).push_bind(new.next_attempt_at).push("'pending'");
    });
    query.push(" ON CONFLICT (delivery_id) DO NOTHING");
    query
}

fn update<'a, Db>(change: &'a DeliveryChange) -> QueryBuilder<Db>
where
    Db: Columns,
    Uuid: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    &'a str: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
    i64: sqlx::Encode<'a, Db> + sqlx::Type<Db>,
{
    let mut query = QueryBuilder::<Db>::new("UPDATE webhook_deliveries SET ");
    match change {
        // Inserts go through `insert`; nothing is left for them here.
        DeliveryChange::Insert(_) => {
            query.push("status = status WHERE 1 = 0");
        }
        DeliveryChange::Retry { webhook_id, delivery_id, now } => {
            query.push("step = CASE status WHEN 'pending' THEN step ELSE 0 END, status = 'pending', next_attempt_at = ");
            query.push_bind(*now).push(" WHERE delivery_id = ").push_bind(*delivery_id);
            query.push(" AND webhook_id = ").push_bind(webhook_id.as_str());
        }
        DeliveryChange::Recover { webhook_id, since, now } => {
            query.push("status = 'pending', step = 0, next_attempt_at = ").push_bind(*now);
            query.push(" WHERE status = 'failed' AND created_at >= ").push_bind(*since);
            query.push(" AND webhook_id = ").push_bind(webhook_id.as_str());
        }
        DeliveryChange::GiveUp { webhook_id } => {
            query.push("status = 'failed', next_attempt_at = NULL WHERE status = 'pending' AND webhook_id = ");
            query.push_bind(webhook_id.as_str());
        }
    }
    query
}
