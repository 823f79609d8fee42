//! A log in memory, a database in a file, and events to put on them.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../read-model/tests/common/servers.rs"]
pub(crate) mod servers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use egress::codecs::Codecs;
use egress::sink::{SinkSettings, run_sink};
use log::embedded::EmbeddedLog;
use log::{AppendExt as _, Cleanup, Log, NewRecord, TopicSpec};
use read_model::{Database, DatabaseOptions};
use schemas::avro::{Encoder, Local, Message};
use schemas::messages::UserFeedEntry;
use schemas::topics::{self, Topic};
use schemas::{OrderId, UserId};
use serde_json::json;
use servers::Schema;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) database: Database,
    pub(crate) codecs: Codecs,
    pub(crate) shutdown: CancellationToken,
    place: Place,
}

/// Where the database is.
enum Place {
    Folder(#[allow(dead_code, reason = "deleted when dropped")] tempfile::TempDir),
    Schema(Schema),
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        Self::on(&url, Place::Folder(folder)).await
    }

    /// On PostgreSQL, in a schema of its own; none in the rings that run
    /// without servers.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let schema = Schema::new().await?;
        Some(Self::on(&schema.url.clone(), Place::Schema(schema)).await)
    }

    async fn on(url: &str, place: Place) -> Self {
        let log = EmbeddedLog::in_memory().unwrap();
        let specs: Vec<_> = topics::ALL
            .iter()
            .map(|info| TopicSpec {
                name: info.name.to_owned(),
                partitions: 3,
                replication: 1,
                cleanup: Cleanup::Keep,
            })
            .collect();
        log.admin().unwrap().ensure_topics(&specs).unwrap();
        let database = Database::connect(url, &DatabaseOptions::default()).await.unwrap();
        database.migrate().await.unwrap();
        let codecs = Codecs::new(&Local::source()).unwrap();
        Self { log: Arc::new(log), database, codecs, shutdown: CancellationToken::new(), place }
    }

    /// Leaves nothing on a server.
    pub(crate) async fn end(&self) {
        if let Place::Schema(schema) = &self.place {
            schema.drop(&self.database).await;
        }
    }

    pub(crate) fn sink(&self) -> JoinHandle<Result<(), egress::EgressError>> {
        let (log, database, codecs) =
            (Arc::clone(&self.log), self.database.clone(), self.codecs.clone());
        tokio::spawn(run_sink(
            log,
            database,
            codecs,
            SinkSettings::default(),
            self.shutdown.clone(),
        ))
    }

    pub(crate) async fn append<V: Message>(&self, topic: &Topic<V>, key: &str, value: &V) -> i64 {
        let encoder = Encoder::for_topic(topic, Local::source().as_ref()).unwrap();
        self.append_raw(topic.name(), key, Some(&encoder.encode_to_vec(value).unwrap())).await
    }

    pub(crate) async fn append_raw(&self, topic: &str, key: &str, value: Option<&[u8]>) -> i64 {
        let record = NewRecord { key: Some(key.as_bytes()), value, timestamp: 0, headers: &[] };
        let appender = self.log.appender("test").unwrap();
        appender.appended(topic, None, record).await.unwrap().1
    }

    /// Appends feed entries of a user.
    pub(crate) async fn feed(&self, entries: &[UserFeedEntry]) {
        let encoder = Encoder::for_topic(&topics::USER_FEED, Local::source().as_ref()).unwrap();
        let appender = self.log.appender("test").unwrap();
        let mut waiting = Vec::new();
        for entry in entries {
            let (key, value) = (entry.user_id.to_string(), encoder.encode_to_vec(entry).unwrap());
            let record = NewRecord {
                key: Some(key.as_bytes()),
                value: Some(&value),
                timestamp: 0,
                headers: &[],
            };
            waiting.push(appender.appended(topics::USER_FEED.name(), None, record));
        }
        for appended in waiting {
            appended.await.unwrap();
        }
    }

    /// The same, and waits until the read model shows the last one.
    pub(crate) async fn feed_and_apply(&self, entries: &[UserFeedEntry]) {
        let last = entries.last().unwrap();
        let mut watch = self.database.applied().watch_order(last.event.order_id);
        self.feed(entries).await;
        watch.reached(last.event.version, tokio::time::Instant::now() + PATIENCE).await.unwrap();
    }
}

pub(crate) fn order(n: u128) -> OrderId {
    OrderId::new(Uuid::from_u128(n))
}

pub(crate) fn user(n: u128) -> UserId {
    UserId::new(Uuid::from_u128(n))
}

const STEPS: [(&str, &str); 7] = [
    ("order.created", "pending"),
    ("order.validated", "validated"),
    ("order.processing", "processing"),
    ("order.payment_processed", "paid"),
    ("order.fulfilled", "fulfilled"),
    ("order.shipped", "shipped"),
    ("order.delivered", "delivered"),
];

/// The user's `number`-th event: `order` reaches `version` (from 8 on it is
/// updated again and again).
pub(crate) fn entry(user: UserId, number: i64, order: OrderId, version: i64) -> UserFeedEntry {
    let step = usize::try_from(version - 1).unwrap();
    let (event_type, status) = STEPS.get(step).copied().unwrap_or(("order.updated", "delivered"));
    let created = 1_700_000_000_000_000_i64;
    let order = json!({
        "order_id": order, "user_id": user, "status": status, "version": version,
        "created_at": created, "updated_at": created + version, "currency": "USD", "total_minor": 5998,
        "items": [{"line_id": "1", "product_id": "prod-1", "quantity": 2, "unit_price": 2999, "price_override": false}],
        "shipping_address": {"street": "123 Main St", "city": "New York", "state": "NY", "zip": "10001", "country": null},
        "payment_method": "CREDIT_CARD", "payment_token": "pm_card_ok", "metadata": {}, "channel": null,
        "warehouse": "main", "payment_status": "none", "fulfillment_status": "unfulfilled",
        "payments": [], "refunds": [], "shipments": [],
        "cancel_reason": null, "failure_reason": null, "failure_detail": null
    });
    let event = json!({
        "event_id": Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{version}", order["order_id"]).as_bytes()),
        "event_type": event_type, "order_id": order["order_id"], "user_id": user, "status": status,
        "previous_status": null, "version": version, "total_amount": {"minor": 5998, "currency": "USD"},
        "items": order["items"], "timestamp": created, "occurred_at": created + version,
        "actor": {"type": "customer", "id": user.to_string()}, "command_id": null, "reason": null, "order": order,
        "idempotency_key_hash": null, "payment_attempt": null, "payment": null, "shipment": null, "delivered_at": null,
        "failure_reason": null, "errors": [], "changed": [], "holds": [], "checks": [], "lines": [], "refund": null
    });
    serde_json::from_value(json!({"user_id": user, "number": number, "event": event})).unwrap()
}

/// The user's numbers `from..=to`, all of one order, version = number.
pub(crate) fn entries(user: UserId, order: OrderId, from: i64, to: i64) -> Vec<UserFeedEntry> {
    (from..=to).map(|number| entry(user, number, order, number)).collect()
}

/// Asks until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let mut again = tokio::time::interval(Duration::from_millis(5));
    let asked = tokio::time::timeout(PATIENCE, async {
        while !so().await {
            again.tick().await;
        }
    });
    assert!(asked.await.is_ok(), "never: {what}");
}
