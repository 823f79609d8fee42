//! Databases and orders for the tests: SQLite, and PostgreSQL where the rings
//! have servers.
#![allow(dead_code, reason = "each test file uses its part")]

mod servers;

use read_model::{Batch, Database, DatabaseOptions};
use schemas::messages::UserFeedEntry;
use schemas::{OrderId, UserId};
use serde_json::{Value, json};
use servers::Schema;
use uuid::Uuid;

/// A database of its own for one test.
pub(crate) struct Scratch {
    pub(crate) database: Database,
    pub(crate) url: String,
    schema: Option<Schema>,
    _folder: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Leaves nothing on a server.
    pub(crate) async fn end(self) {
        if let Some(schema) = &self.schema {
            schema.drop(&self.database).await;
        }
    }
}

pub(crate) async fn sqlite() -> Scratch {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    database.migrate().await.unwrap();
    Scratch { database, url, schema: None, _folder: Some(folder) }
}

/// A schema of its own in the test database; none in the rings that run
/// without servers.
pub(crate) async fn postgres() -> Option<Scratch> {
    let schema = Schema::new().await?;
    let url = schema.url.clone();
    let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    database.migrate().await.unwrap();
    Some(Scratch { database, url, schema: Some(schema), _folder: None })
}

pub(crate) fn order_id(n: u128) -> OrderId {
    OrderId::new(Uuid::from_u128(n))
}

pub(crate) fn user(n: u128) -> UserId {
    UserId::new(Uuid::from_u128(n))
}

/// The user's `number`-th event: order `order` becomes `status` at `version`.
pub(crate) fn entry(
    user_id: UserId,
    number: i64,
    order: OrderId,
    version: i64,
    status: &str,
) -> UserFeedEntry {
    let event_type = if version == 1 { "order.created" } else { "order.validated" };
    let created = 1_700_000_000_000_000_i64;
    let order_after = json!({
        "order_id": order, "user_id": user_id, "status": status, "version": version,
        "created_at": created, "updated_at": created + version, "currency": "USD", "total_minor": 5998,
        "items": [], "shipping_address": {"street": "1", "city": "c", "state": "s", "zip": "z", "country": null},
        "payment_method": "CREDIT_CARD", "payment_token": null, "metadata": {}, "channel": null,
        "warehouse": "main", "payment_status": "none", "fulfillment_status": "unfulfilled",
        "payments": [], "refunds": [], "shipments": []
    });
    let event = json!({
        "event_id": format!("event-{order}-{version}"), "event_type": event_type,
        "order_id": order, "user_id": user_id, "status": status, "previous_status": null,
        "version": version, "total_amount": {"minor": 5998, "currency": "USD"}, "items": [],
        "timestamp": created, "occurred_at": created + version, "actor": {"type": "customer", "id": user_id.to_string()},
        "command_id": null, "reason": {"code": "because", "detail": null}, "errors": [], "changed": [],
        "holds": [], "checks": [], "lines": [], "order": order_after
    });
    serde_json::from_value(json!({"user_id": user_id, "number": number, "event": event})).unwrap()
}

pub(crate) fn document(entry: &UserFeedEntry) -> Value {
    json!({
        "order_id": entry.event.order_id, "version": entry.event.version, "items": [{"price": 29.99}],
        "total_amount": serde_json::from_str::<Value>("59.98").unwrap(), "shipping_address": {"city": "c"},
        "metadata": {"a": 1}, "payment_status": "none", "fulfillment_status": "unfulfilled",
        "status": entry.event.status
    })
}

pub(crate) fn batch(entries: &[UserFeedEntry]) -> Batch {
    let mut batch = Batch::default();
    for entry in entries {
        batch.feed_entry(entry, &document(entry));
    }
    batch
}
