//! What one batch of records makes of the rows: last value per key, sorted, so
//! that two writers lock rows in the same order.

use std::collections::BTreeMap;

use schemas::messages::{Order, OrderEvent, Product, RevenueByMinute, StockLevel, UserFeedEntry};
use schemas::{OrderId, UserId};
use serde_json::Value;

use crate::applied::AppliedBatch;

/// Longest `payment_method` the column takes (R254), in characters.
const PAYMENT_METHOD: usize = 50;

/// Changes of one batch. Fill it record by record in the order of the log,
/// then hand it to [`crate::Database::apply`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) orders: BTreeMap<OrderId, OrderChange>,
    pub(crate) timeline: BTreeMap<(OrderId, i64), TimelineChange>,
    pub(crate) feed: BTreeMap<UserId, i64>,
    pub(crate) products: BTreeMap<String, Option<Product>>,
    pub(crate) stock: BTreeMap<(String, String), Option<StockLevel>>,
    pub(crate) revenue: BTreeMap<(String, i64), RevenueByMinute>,
    requests: Vec<String>,
}

/// One row of `orders`.
#[derive(Clone, Debug)]
pub(crate) struct OrderChange {
    pub(crate) user_id: UserId,
    pub(crate) status: &'static str,
    pub(crate) items: String,
    pub(crate) total_amount: String,
    pub(crate) currency: String,
    pub(crate) shipping_address: String,
    pub(crate) payment_method: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) metadata: String,
    pub(crate) version: i64,
    pub(crate) payment_status: String,
    pub(crate) fulfillment_status: String,
    pub(crate) arrival: i64,
    pub(crate) feed_number: i64,
    pub(crate) document: String,
}

/// One row of `order_timeline`.
#[derive(Clone, Debug)]
pub(crate) struct TimelineChange {
    pub(crate) user_id: UserId,
    pub(crate) event_id: String,
    pub(crate) event_type: &'static str,
    pub(crate) status: &'static str,
    pub(crate) occurred_at: i64,
    pub(crate) actor_type: String,
    pub(crate) actor_id: String,
    pub(crate) reason_code: Option<String>,
    pub(crate) reason_detail: Option<String>,
}

impl Batch {
    /// A record of `user_feed`. `document` is the order after the event as the
    /// interfaces show it: object members `items`, `total_amount`,
    /// `shipping_address`, `metadata`, `payment_status`, `fulfillment_status`.
    pub fn feed_entry(&mut self, entry: &UserFeedEntry, document: &Value) {
        self.order(&entry.event.order, document, entry.number);
        self.event(&entry.event);
        let number = self.feed.entry(entry.user_id).or_default();
        *number = (*number).max(entry.number);
    }

    /// An event without its order (topic `order_events`), as a rebuild reads
    /// what the feed no longer holds: the timeline alone.
    pub fn event(&mut self, event: &OrderEvent) {
        self.timeline.insert(
            (event.order_id, event.version),
            TimelineChange {
                user_id: event.user_id,
                event_id: event.event_id.clone(),
                event_type: event.event_type.public_name(),
                status: event.status.as_str(),
                occurred_at: event.occurred_at.0,
                actor_type: text(&serde_json::to_value(event.actor.kind).unwrap_or_default()),
                actor_id: event.actor.id.clone(),
                reason_code: event.reason.as_ref().map(|reason| reason.code.clone()),
                reason_detail: event.reason.as_ref().and_then(|reason| reason.detail.clone()),
            },
        );
    }

    /// A whole order without its event (topic `orders`), as a rebuild reads
    /// it before the feed. `number` is 0 where it isn't known.
    pub fn order(&mut self, order: &Order, document: &Value, number: i64) {
        let before = self.orders.get(&order.order_id);
        if before.is_some_and(|before| before.version > order.version) {
            return;
        }
        let arrival = before.map_or(number, |before| before.arrival);
        self.orders.insert(
            order.order_id,
            OrderChange {
                user_id: order.user_id,
                status: order.status.as_str(),
                items: text(&document["items"]),
                total_amount: text(&document["total_amount"]),
                currency: order.currency.to_string(),
                shipping_address: text(&document["shipping_address"]),
                payment_method: order.payment_method.chars().take(PAYMENT_METHOD).collect(),
                created_at: order.created_at.0,
                updated_at: order.updated_at.0,
                metadata: match &document["metadata"] {
                    Value::Null => "{}".to_owned(),
                    metadata => text(metadata),
                },
                version: order.version,
                payment_status: text(&document["payment_status"]),
                fulfillment_status: text(&document["fulfillment_status"]),
                arrival,
                feed_number: number,
                document: document.to_string(),
            },
        );
    }

    /// A record of `products`; none = tombstone.
    pub fn product(&mut self, product_id: &str, product: Option<Product>) {
        self.requests.extend(product.iter().map(|product| product.command_id.clone()));
        self.products.insert(product_id.to_owned(), product);
    }

    /// A record of `stock_levels`, key `<warehouse>/<product>`; none =
    /// tombstone. A key without a slash changes nothing.
    pub fn stock_level(&mut self, key: &str, level: Option<StockLevel>) {
        self.requests.extend(level.iter().map(|level| level.request_id.clone()));
        if let Some((warehouse, product)) = key.split_once('/') {
            self.stock.insert((product.to_owned(), warehouse.to_owned()), level);
        }
    }

    /// A record of `revenue_by_minute`.
    pub fn revenue(&mut self, revenue: RevenueByMinute) {
        self.revenue
            .insert((revenue.revenue.currency.to_string(), revenue.window_start.0), revenue);
    }

    /// What becomes visible with it.
    #[must_use]
    pub fn applied(&self) -> AppliedBatch {
        AppliedBatch {
            orders: self.orders.iter().map(|(order, change)| (*order, change.version)).collect(),
            requests: self.requests.clone(),
        }
    }
}

/// A string's text, or any other value as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
