//! Batches on Postgres: one `UNNEST` upsert per table, keys sorted.

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::applied::AppliedBatch;
use crate::batch::Batch;
use crate::error::ReadModelError;
use crate::listen::{CHANNEL, payloads};
use crate::offsets::{Progress, Unreadable, advance};

const ORDERS: &str = "
INSERT INTO orders (order_id, user_id, status, items, total_amount, currency, shipping_address, payment_method,
    created_at, updated_at, metadata, version, payment_status, fulfillment_status, arrival, feed_number, document)
SELECT order_id, user_id, status, items::jsonb, total_amount::numeric, currency, shipping_address::jsonb,
    payment_method, timestamptz 'epoch' + created_at * interval '1 microsecond',
    timestamptz 'epoch' + updated_at * interval '1 microsecond', metadata::jsonb, version, payment_status,
    fulfillment_status, arrival, feed_number, document::json
FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::bigint[],
    $16::bigint[], $17::text[])
  AS t(order_id, user_id, status, items, total_amount, currency, shipping_address, payment_method, created_at,
    updated_at, metadata, version, payment_status, fulfillment_status, arrival, feed_number, document)
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
SELECT order_id, version, user_id, event_id, event_type, status,
    timestamptz 'epoch' + occurred_at * interval '1 microsecond', actor_type, actor_id, reason_code, reason_detail
FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
    $9::text[], $10::text[], $11::text[])
  AS t(order_id, version, user_id, event_id, event_type, status, occurred_at, actor_type, actor_id, reason_code,
    reason_detail)
ON CONFLICT (order_id, version) DO NOTHING";

const FEED: &str = "
INSERT INTO user_feed_position (user_id, number) SELECT * FROM UNNEST($1::uuid[], $2::bigint[])
ON CONFLICT (user_id) DO UPDATE SET number = greatest(user_feed_position.number, excluded.number)";

const PRODUCTS: &str = "
INSERT INTO products (product_id, name, price_minor, currency, version, command_id)
SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
ON CONFLICT (product_id) DO UPDATE SET name = excluded.name, price_minor = excluded.price_minor,
    currency = excluded.currency, version = excluded.version, command_id = excluded.command_id";

const STOCK: &str = "
INSERT INTO stock_levels (product_id, warehouse, on_hand, held, version, request_id)
SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
ON CONFLICT (product_id, warehouse) DO UPDATE SET on_hand = excluded.on_hand, held = excluded.held,
    version = excluded.version, request_id = excluded.request_id";

const REVENUE: &str = "
INSERT INTO revenue_by_minute (currency, window_start, revenue_minor, orders)
SELECT currency, timestamptz 'epoch' + window_start * interval '1 microsecond', revenue_minor, orders
FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS t(currency, window_start, revenue_minor, orders)
ON CONFLICT (currency, window_start) DO UPDATE SET revenue_minor = excluded.revenue_minor, orders = excluded.orders";

pub(super) async fn apply(
    pool: &PgPool,
    consumer: &str,
    progress: &[Progress],
    batch: &Batch,
    unreadable: &[Unreadable],
    applied: &AppliedBatch,
) -> Result<(), ReadModelError> {
    let mut transaction = pool.begin().await?;
    advance!(transaction, consumer, progress, unreadable);
    orders(&mut transaction, batch).await?;
    timeline(&mut transaction, batch).await?;
    catalogue(&mut transaction, batch).await?;
    for payload in payloads(applied) {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn orders(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    if batch.orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = batch.orders.keys().map(|order| order.uuid()).collect();
    let rows: Vec<_> = batch.orders.values().collect();
    sqlx::query(ORDERS)
        .bind(ids)
        .bind(rows.iter().map(|row| row.user_id.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.status).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.items.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.total_amount.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.currency.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shipping_address.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.payment_method.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.created_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.updated_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.metadata.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.payment_status.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.fulfillment_status.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.arrival).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.feed_number).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.document.as_str()).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn timeline(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    if !batch.timeline.is_empty() {
        let rows: Vec<_> = batch.timeline.values().collect();
        sqlx::query(TIMELINE)
            .bind(batch.timeline.keys().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
            .bind(batch.timeline.keys().map(|(_, version)| *version).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.user_id.uuid()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_id.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_type).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.status).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.occurred_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.actor_type.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.actor_id.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.reason_code.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.reason_detail.as_deref()).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
    }
    if !batch.feed.is_empty() {
        sqlx::query(FEED)
            .bind(batch.feed.keys().map(|user| user.uuid()).collect::<Vec<_>>())
            .bind(batch.feed.values().copied().collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn catalogue(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    let products: Vec<_> = batch.products.values().flatten().collect();
    if !products.is_empty() {
        sqlx::query(PRODUCTS)
            .bind(products.iter().map(|row| row.product_id.as_str()).collect::<Vec<_>>())
            .bind(products.iter().map(|row| row.name.as_str()).collect::<Vec<_>>())
            .bind(products.iter().map(|row| row.price.minor).collect::<Vec<_>>())
            .bind(products.iter().map(|row| row.price.currency.to_string()).collect::<Vec<_>>())
            .bind(products.iter().map(|row| row.version).collect::<Vec<_>>())
            .bind(products.iter().map(|row| row.command_id.as_str()).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
    }
    let levels: Vec<_> =
        batch.stock.iter().filter_map(|(key, level)| Some((key, level.as_ref()?))).collect();
    if !levels.is_empty() {
        sqlx::query(STOCK)
            .bind(levels.iter().map(|((product, _), _)| product.as_str()).collect::<Vec<_>>())
            .bind(levels.iter().map(|((_, warehouse), _)| warehouse.as_str()).collect::<Vec<_>>())
            .bind(levels.iter().map(|(_, row)| row.on_hand).collect::<Vec<_>>())
            .bind(levels.iter().map(|(_, row)| row.held).collect::<Vec<_>>())
            .bind(levels.iter().map(|(_, row)| row.version).collect::<Vec<_>>())
            .bind(levels.iter().map(|(_, row)| row.request_id.as_str()).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
    }
    if !batch.revenue.is_empty() {
        let rows: Vec<_> = batch.revenue.values().collect();
        sqlx::query(REVENUE)
            .bind(batch.revenue.keys().map(|(currency, _)| currency.as_str()).collect::<Vec<_>>())
            .bind(batch.revenue.keys().map(|(_, window)| *window).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.revenue.minor).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.orders).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
    }
    tombstones(transaction, batch).await
}

async fn tombstones(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), ReadModelError> {
    for (product, _) in batch.products.iter().filter(|(_, row)| row.is_none()) {
        sqlx::query("DELETE FROM products WHERE product_id = $1")
            .bind(product)
            .execute(&mut **transaction)
            .await?;
    }
    for ((product, warehouse), _) in batch.stock.iter().filter(|(_, row)| row.is_none()) {
        sqlx::query("DELETE FROM stock_levels WHERE product_id = $1 AND warehouse = $2")
            .bind(product)
            .bind(warehouse)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
