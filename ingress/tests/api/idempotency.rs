//! Idempotency keys: one order however often a request comes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ingress::auth::Role;
use ingress::limits::Tier;
use serde_json::json;

use crate::harness::{GUIDE_BODY, Harness, body, settings};

async fn place(harness: &Harness, key: &str, text: &str) -> crate::harness::Answer {
    harness
        .call(
            "POST",
            "/api/v1/orders",
            Some(&harness.customer()),
            &[("idempotency-key", key)],
            Some(text),
        )
        .await
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let harness = Harness::start().await;
    let first = place(&harness, "k", GUIDE_BODY).await.expect(201);
    assert_eq!(first.header("idempotent-replayed"), None);
    let reordered = body(|_| {}).to_string();
    let second = place(&harness, "k", &reordered).await.expect(201);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.json(), first.json());
    let slash = harness
        .call(
            "POST",
            "/api/v1/orders/",
            Some(&harness.customer()),
            &[("idempotency-key", "k")],
            Some(GUIDE_BODY),
        )
        .await
        .expect(201);
    assert_eq!(slash.json(), first.json(), "both spellings are one route");
    let order = uuid::Uuid::parse_str(first.json()["order_id"].as_str().unwrap()).unwrap();
    assert_eq!(order.get_version_num(), 4);
}

#[tokio::test]
async fn another_body_is_422_and_another_key_or_user_another_order() {
    let harness = Harness::start().await;
    let first = place(&harness, "k", GUIDE_BODY).await.expect(201).json();
    let other = body(|body| body["metadata"] = json!({"x": 1})).to_string();
    place(&harness, "k", &other).await.problem(422, "idempotency_key_reused");
    let second = place(&harness, "\"k\"", GUIDE_BODY).await.expect(201).json();
    assert_ne!(first["order_id"], second["order_id"], "the bytes are the key");
    let stranger =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Standard);
    let anonymous = body(|body| drop(body.as_object_mut().unwrap().remove("user_id"))).to_string();
    let third = harness
        .call(
            "POST",
            "/api/v1/orders",
            Some(&stranger),
            &[("idempotency-key", "k")],
            Some(&anonymous),
        )
        .await
        .expect(201)
        .json();
    assert_ne!(first["order_id"], third["order_id"]);
}

#[tokio::test]
async fn a_refused_request_does_not_use_the_key_up() {
    let harness = Harness::start().await;
    let wrong = body(|body| body["total_amount"] = json!(1)).to_string();
    place(&harness, "k", &wrong).await.problem(422, "invalid_request");
    place(&harness, "k", GUIDE_BODY).await.expect(201);
}

#[tokio::test]
async fn concurrent_duplicates_make_one_order() {
    let harness = Harness::start().await;
    let answers =
        futures::future::join_all((0..20).map(|_| place(&harness, "k", GUIDE_BODY))).await;
    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let in_flight = answers.iter().filter(|answer| answer.status == 409).count();
    assert!(!created.is_empty() && created.len() + in_flight == 20);
    let ids: std::collections::BTreeSet<_> =
        created.iter().map(|answer| answer.json()["order_id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        created.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(),
        1
    );
}

#[tokio::test]
async fn a_key_in_flight_is_409_and_free_again_afterwards() {
    let mut settings = settings();
    settings.confirm_within = Duration::from_millis(200);
    let harness = Harness::with(settings).await;
    harness.backend.silent.store(true, Ordering::Relaxed);
    let (first, second) =
        tokio::join!(place(&harness, "k", GUIDE_BODY), place(&harness, "k", GUIDE_BODY));
    first.expect(202);
    assert_eq!(second.header("retry-after"), Some("1"));
    second.problem(409, "idempotency_key_in_flight");
    place(&harness, "k", GUIDE_BODY).await.expect(202);
}

#[tokio::test]
async fn keys_that_are_not_printable_ascii_are_refused() {
    let harness = Harness::start().await;
    place(&harness, "", GUIDE_BODY).await.problem(422, "invalid_request");
    place(&harness, &"k".repeat(256), GUIDE_BODY).await.problem(422, "invalid_request");
}
