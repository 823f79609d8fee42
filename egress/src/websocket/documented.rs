//! `asyncapi.json` says what the code does.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::messages::{OrderEventType, UserFeedEntry};
use schemas::{OrderId, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::protocol::{self, ClientMessage, Close, ErrorCode};
use super::upgrade::{OF_USER, OWN};
use crate::feed::{FeedEvent, Topic};

fn document() -> Value {
    serde_json::from_str(crate::asyncapi::DOCUMENT).unwrap()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Names of the messages that the server receives or sends; replies are sent.
fn exchanged(document: &Value, received: bool) -> BTreeSet<&str> {
    let name = |message: &'_ Value| {
        let pointer = message["$ref"].as_str().unwrap().strip_prefix('#').unwrap().to_owned();
        let channel = document.pointer(&pointer).unwrap()["$ref"].as_str().unwrap();
        document.pointer(channel.strip_prefix('#').unwrap()).unwrap()["name"].as_str().unwrap()
    };
    let operations = document["operations"].as_object().unwrap().values();
    operations
        .flat_map(|operation| {
            let asked = (operation["action"] == "receive") == received;
            let asked = asked.then(|| operation["messages"].as_array()).flatten();
            let replies = (!received).then(|| operation["reply"]["messages"].as_array()).flatten();
            asked.into_iter().chain(replies).flatten()
        })
        .map(name)
        .collect()
}

fn name_of(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Ping => "ping",
        ClientMessage::Auth { .. } => "auth",
        ClientMessage::Refresh { .. } => "refresh",
        ClientMessage::Subscribe { .. } => "subscribe",
        ClientMessage::Unsubscribe { .. } => "unsubscribe",
    }
}

#[test]
fn clients_may_say_what_is_documented_and_nothing_else() {
    let document = document();
    let mut understood = BTreeSet::new();
    for name in exchanged(&document, true) {
        let example = &document["components"]["messages"][name]["examples"][0]["payload"];
        let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        understood.insert(name_of(&ClientMessage::parse(&text).unwrap()));
        assert!(understood.contains(name), "{name}");
    }
    assert_eq!(understood, BTreeSet::from(["ping", "auth", "refresh", "subscribe", "unsubscribe"]));
}

#[test]
fn what_the_server_says_has_the_documented_members() {
    let document = document();
    let user = UserId::new(Uuid::from_u128(1));
    let topic = Topic::User(user);
    let said = [
        protocol::authenticated(user),
        protocol::error(ErrorCode::Malformed, "not JSON"),
        protocol::subscribed(topic, "e", 7, true, None),
        protocol::subscribed(topic, "e", 7, false, Some(vec!["{}".to_owned()])),
        Arc::new(FeedEvent::new(&entry(user))).message(topic),
    ];
    let mut spoken = BTreeSet::from(["pong".to_owned()]);
    for text in said {
        let message: Value = serde_json::from_str(&text).unwrap();
        let name = message["type"].as_str().unwrap();
        spoken.insert(name.to_owned());
        let payload = &document["components"]["messages"][name]["payload"];
        assert_eq!(payload["properties"]["type"]["const"], name);
        let members = names(&message);
        assert!(members.is_superset(&texts(&payload["required"])), "{text}");
        assert!(members.is_subset(&names(&payload["properties"])), "{text}");
    }
    assert_eq!(
        spoken.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        exchanged(&document, false)
    );
    let all: BTreeSet<_> =
        exchanged(&document, true).union(&exchanged(&document, false)).copied().collect();
    assert_eq!(names(&document["components"]["messages"]), all);
    for channel in document["channels"].as_object().unwrap().values() {
        assert_eq!(names(&channel["messages"]), all);
    }
}

#[test]
fn codes_types_and_addresses_are_those_of_the_code() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        texts(&schemas["EventType"]["enum"]),
        OrderEventType::ALL.iter().map(|event| event.public_name()).collect()
    );
    assert_eq!(
        texts(&schemas["ErrorCode"]["enum"]),
        ErrorCode::ALL.iter().map(|code| code.as_str()).collect()
    );
    let closes = document["x-close-codes"].as_object().unwrap();
    assert_eq!(closes.len(), Close::ALL.len());
    for close in Close::ALL {
        let documented = closes[&close.code().to_string()].as_str().unwrap();
        assert!(documented.starts_with(close.reason()), "{documented}");
    }
    let addresses: BTreeSet<_> = document["channels"]
        .as_object()
        .unwrap()
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, BTreeSet::from([OWN, OF_USER]));
}

fn entry(user: UserId) -> UserFeedEntry {
    let order = OrderId::new(Uuid::from_u128(2));
    let (minor, items) = (json!({"minor": 100, "currency": "USD"}), json!([]));
    let document = json!({
        "order_id": order, "user_id": user, "status": "pending", "version": 1, "created_at": 1, "updated_at": 1,
        "currency": "USD", "total_minor": 100, "items": items,
        "shipping_address": {"street": "s", "city": "c", "state": "NY", "zip": "1", "country": null},
        "payment_method": "CREDIT_CARD", "payment_token": null, "metadata": {}, "channel": null, "warehouse": "main",
        "payment_status": "none", "fulfillment_status": "unfulfilled", "payments": [], "refunds": [], "shipments": [],
        "cancel_reason": null, "failure_reason": null, "failure_detail": null
    });
    let event = json!({
        "event_id": Uuid::from_u128(3), "event_type": "order.created", "order_id": order, "user_id": user,
        "status": "pending", "previous_status": null, "version": 1, "total_amount": minor, "items": items,
        "timestamp": 1, "occurred_at": 1, "actor": {"type": "customer", "id": "1"}, "command_id": null,
        "reason": null, "order": document, "idempotency_key_hash": null, "payment_attempt": null, "payment": null,
        "shipment": null, "delivered_at": null, "failure_reason": null, "errors": [], "changed": [], "holds": [],
        "checks": [], "lines": [], "refund": null
    });
    serde_json::from_value(json!({"user_id": user, "number": 1, "event": event})).unwrap()
}
