//! What is sent: made once, kept as bytes, the same at every attempt.

use schemas::Micros;
use schemas::messages::UserFeedEntry;
use serde_json::{Value, json};
use uuid::Uuid;

/// Largest body, in bytes (Standard Webhooks: 20 kB).
pub(super) const MAX_BODY: usize = 20_000;

/// Ids of deliveries are UUIDv5 in this space.
const DELIVERIES: Uuid = Uuid::from_u128(0x6f72_6465_7273_4777_8568_6f6f_6b73_0001);

/// The same for the same webhook and event, however often it is derived.
pub(super) fn delivery_id(webhook_id: &str, event_id: &str) -> Uuid {
    Uuid::new_v5(&DELIVERIES, format!("{webhook_id}/{event_id}").as_bytes())
}

/// The body of an order event. A larger order comes without its items, and if
/// that isn't enough without the caller's own metadata.
pub(super) fn of_event(entry: &UserFeedEntry) -> Vec<u8> {
    let event = &entry.event;
    let mut order = event.order.to_json();
    let name = event.event_type.public_name();
    let mut bytes = body(name, event.occurred_at, event.version, &order);
    for member in ["items", "metadata", "shipments"] {
        if bytes.len() <= MAX_BODY {
            break;
        }
        if let Some(members) = order.as_object_mut() {
            members.remove(member);
            members.insert(format!("{member}_truncated"), Value::Bool(true));
        }
        bytes = body(name, event.occurred_at, event.version, &order);
    }
    bytes
}

/// When that happened which a body tells of.
pub(super) fn happened(body: &[u8]) -> Option<Micros> {
    #[derive(serde::Deserialize)]
    struct Stamped<'a> {
        timestamp: &'a str,
    }
    let stamped: Stamped<'_> = serde_json::from_slice(body).ok()?;
    Micros::parse_rfc3339(stamped.timestamp).ok()
}

/// The body of `webhook.test`.
pub(super) fn of_test(webhook_id: &str, at: Micros) -> Vec<u8> {
    body("webhook.test", at, 0, &json!({"webhook_id": webhook_id}))
}

fn body(name: &str, at: Micros, sequence: i64, data: &Value) -> Vec<u8> {
    // Written by hand so that the members stand in the documented order.
    format!(
        "{{\"type\":{},\"timestamp\":\"{}\",\"sequence\":{sequence},\"data\":{data}}}",
        Value::from(name),
        at.to_rfc3339()
    )
    .into_bytes()
}
