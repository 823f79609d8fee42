//! Batches on SQLite: prepared statements, row by row, in one immediate
//! transaction on the one writer connection.

use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::batch::Batch;
use crate::error::ReadModelError;
use crate::offsets::{Progress, Unreadable, advance};

const ORDER: &str = "
INSERT INTO orders (order_id, user_id, status, items, total_amount, currency, shipping_address, payment_method,
    created_at, updated_at, metadata, version, payment_status, fulfillment_status, arrival, feed_number, document)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (order_id) DO UPDATE SET
    status = excluded.status, items = excluded.items, total_amount = excluded.total_amount,
    currency = excluded.currency, shipping_address = excluded.shipping_address,
    payment_method = excluded.payment_method, updated_at = excluded.updated_at, metadata = excluded.metadata,
    version = excluded.version, payment_status = excluded.payment_status,
    fulfillment_status = excluded.fulfillment_status, feed_number = excluded.feed_number,
    document = excluded.document
WHERE orders.version < excluded.version";

const TIMELINE: &str = "
INSERT INTO order_timeline (order_id, version, user_id, event_id, event_type, status, occurred_at, actor_type,
    actor_id, reason_code, reason_detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (order_id, version) DO NOTHING";

const FEED: &str = "
INSERT INTO user_feed_position (user_id, number) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET number = max(user_feed_position.number, excluded.number)";

const PRODUCT: &str = "
INSERT INTO products (product_id, name, price_minor, currency, version, command_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (product_id) DO UPDATE SET name = excluded.name, price_minor = excluded.price_minor,
    currency = excluded.currency, version = excluded.version, command_id = excluded.command_id";

const STOCK: &str = "
INSERT INTO stock_levels (product_id, warehouse, on_hand, held, version, request_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (product_id, warehouse) DO UPDATE SET on_hand = excluded.on_hand, held = excluded.held,
    version = excluded.version, request_id = excluded.request_id";

const REVENUE: &str = "
INSERT INTO revenue_by_minute (currency, window_start, revenue_minor, orders) VALUES ($1, $2, $3, $4)
ON CONFLICT (currency, window_start) DO UPDATE SET revenue_minor = excluded.revenue_minor, orders = excluded.orders";

pub(super) async fn apply(
    pool: &SqlitePool,
    consumer: &str,
    progress: &[Progress],
    batch: &Batch,
    unreadable: &[Unreadable],
) -> Result<(), ReadModelError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    advance!(transaction, consumer, progress, unreadable);
    orders(&mut transaction, batch).await?;
    timeline(&mut transaction, batch).await?;
    catalogue(&mut transaction, batch).await?;
    transaction.commit().await?;
    Ok(())
}

async fn orders(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    for (order, row) in &batch.orders {
        sqlx::query(ORDER)
            .bind(order.uuid())
            .bind(row.user_id.uuid())
            .bind(row.status)
            .bind(row.items.as_str())
            .bind(row.total_amount.as_str())
            .bind(row.currency.as_str())
            .bind(row.shipping_address.as_str())
            .bind(row.payment_method.as_str())
            .bind(row.created_at)
            .bind(row.updated_at)
            .bind(row.metadata.as_str())
            .bind(row.version)
            .bind(row.payment_status.as_str())
            .bind(row.fulfillment_status.as_str())
            .bind(row.arrival)
            .bind(row.feed_number)
            .bind(row.document.as_str())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn timeline(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    for ((order, version), row) in &batch.timeline {
        sqlx::query(TIMELINE)
            .bind(order.uuid())
            .bind(version)
            .bind(row.user_id.uuid())
            .bind(row.event_id.as_str())
            .bind(row.event_type)
            .bind(row.status)
            .bind(row.occurred_at)
            .bind(row.actor_type.as_str())
            .bind(row.actor_id.as_str())
            .bind(row.reason_code.as_deref())
            .bind(row.reason_detail.as_deref())
            .execute(&mut **transaction)
            .await?;
    }
    for (user, number) in &batch.feed {
        sqlx::query(FEED).bind(user.uuid()).bind(number).execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn catalogue(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    for (product_id, product) in &batch.products {
        let query = match product {
            Some(row) => sqlx::query(PRODUCT)
                .bind(product_id)
                .bind(row.name.as_str())
                .bind(row.price.minor)
                .bind(row.price.currency.to_string())
                .bind(row.version)
                .bind(row.command_id.as_str()),
            None => sqlx::query("DELETE FROM products WHERE product_id = $1").bind(product_id),
        };
        query.execute(&mut **transaction).await?;
    }
    for ((product, warehouse), level) in &batch.stock {
        let query = match level {
            Some(row) => sqlx::query(STOCK)
                .bind(product)
                .bind(warehouse)
                .bind(row.on_hand)
                .bind(row.held)
                .bind(row.version)
                .bind(row.request_id.as_str()),
            None => {
                sqlx::query("DELETE FROM stock_levels WHERE product_id = $1 AND warehouse = $2")
                    .bind(product)
                    .bind(warehouse)
            }
        };
        query.execute(&mut **transaction).await?;
    }
    for ((currency, window), row) in &batch.revenue {
        sqlx::query(REVENUE)
            .bind(currency)
            .bind(window)
            .bind(row.revenue.minor)
            .bind(row.orders)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
