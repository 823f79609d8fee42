//! Placing, reading, changing and calling off orders.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ingress::auth::Role;
use ingress::limits::Tier;
use schemas::messages::OrderStatus;
use serde_json::json;

use crate::harness::{GUIDE, GUIDE_BODY, Harness, body, memory_log, settings};

#[tokio::test]
async fn the_guides_create_test_gives_201_with_and_without_the_slash() {
    let harness = Harness::start().await;
    for path in ["/api/v1/orders/", "/api/v1/orders"] {
        let answer = harness
            .call("POST", path, Some(&harness.customer()), &[], Some(GUIDE_BODY))
            .await
            .expect(201);
        let order = answer.json();
        assert_eq!(order["status"], "pending");
        assert_eq!(order["user_id"], GUIDE);
        assert_eq!(order["version"], 1);
        assert_eq!(order["items"][0]["line_id"], "1");
        assert_eq!(order["next_states"], json!(["validated", "failed", "cancelled"]));
        assert!(answer.text.contains("\"total_amount\":59.98"), "{}", answer.text);
        let id = order["order_id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(format!("/api/v1/orders/{id}").as_str()));
        assert_eq!(answer.header("etag"), Some("\"1\""));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn the_guides_get_test_gives_200_and_the_same_order() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let answer =
        harness.get(&format!("/api/v1/orders/{id}"), &harness.customer()).await.expect(200);
    assert_eq!(answer.json()["order_id"], id.as_str());
    let fresh = answer.header("etag").unwrap().to_owned();
    let again = harness
        .call(
            "GET",
            &format!("/api/v1/orders/{id}"),
            Some(&harness.customer()),
            &[("if-none-match", &fresh)],
            None,
        )
        .await
        .expect(304);
    assert!(again.text.is_empty());
    assert_eq!(again.header("etag"), Some("\"1\""));
}

#[tokio::test]
async fn a_created_order_answers_as_it_was_created_even_if_it_has_moved_on() {
    let harness = Harness::start().await;
    let key = [("idempotency-key", "k1")];
    let first = harness
        .call("POST", "/api/v1/orders", Some(&harness.customer()), &key, Some(GUIDE_BODY))
        .await
        .expect(201);
    let id = first.json()["order_id"].as_str().unwrap().to_owned();
    harness.backend.advance(&id, OrderStatus::Validated).await;
    let replay = harness
        .call("POST", "/api/v1/orders", Some(&harness.customer()), &key, Some(GUIDE_BODY))
        .await
        .expect(201);
    assert_eq!(replay.json(), first.json(), "version 1 is rebuilt exactly");
    assert_eq!(replay.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn unknown_and_foreign_orders_are_one_404() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let stranger =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Standard);
    let foreign =
        harness.get(&format!("/api/v1/orders/{id}"), &stranger).await.problem(404, "not_found");
    let unknown = harness
        .get("/api/v1/orders/00000000-0000-4000-8000-000000000002", &stranger)
        .await
        .problem(404, "not_found");
    assert_eq!(foreign["detail"], "Order not found");
    assert_eq!(foreign["detail"], unknown["detail"]);
    for (method, path) in [
        ("POST", format!("/api/v1/orders/{id}/cancel")),
        ("DELETE", format!("/api/v1/orders/{id}")),
    ] {
        harness.call(method, &path, Some(&stranger), &[], None).await.problem(404, "not_found");
    }
    harness
        .call(
            "PATCH",
            &format!("/api/v1/orders/{id}"),
            Some(&stranger),
            &[],
            Some("{\"metadata\":{}}"),
        )
        .await
        .problem(404, "not_found");
    harness
        .get(&format!("/api/v1/orders/{id}/timeline"), &stranger)
        .await
        .problem(404, "not_found");
    harness.get(&format!("/api/v1/orders/{id}"), &harness.admin()).await.expect(200);
    harness.get("/api/v1/orders/not-a-uuid", &stranger).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn cancelling_answers_with_the_order_and_repeats_harmlessly() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let path = format!("/api/v1/orders/{id}/cancel");
    let first = harness
        .post(&path, &harness.customer(), &json!({"reason": "changed my mind"}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (first["status"].as_str(), first["cancel_reason"].as_str(), first["version"].as_i64()),
        (Some("cancelled"), Some("changed my mind"), Some(2))
    );
    let again = harness
        .call("DELETE", &format!("/api/v1/orders/{id}"), Some(&harness.customer()), &[], None)
        .await
        .expect(200);
    assert_eq!(again.json(), first);
}

#[tokio::test]
async fn the_terms_of_a_cancellation_are_an_administrators() {
    const TERMS: [&str; 3] = ["restock", "refund", "notify_customer"];
    let harness = Harness::start().await;
    for term in TERMS {
        let id = harness.placed().await;
        let path = format!("/api/v1/orders/{id}/cancel");
        let problem = harness
            .post(&path, &harness.customer(), &json!({ term: false }))
            .await
            .problem(422, "invalid_request");
        assert_eq!(
            (problem["errors"][0]["field"].as_str(), problem["errors"][0]["code"].as_str()),
            (Some(term), Some("forbidden"))
        );
        harness.post(&path, &harness.admin(), &json!({ term: false })).await.expect(200);
        let sent = harness.backend.commands.lock().last().and_then(|c| c.cancel.clone()).unwrap();
        let terms = [sent.restock, sent.refund, sent.notify_customer];
        assert_eq!(terms, TERMS.map(|name| (name == term).then_some(false)));
        let id = harness.placed().await;
        let path = format!("/api/v1/orders/{id}/cancel");
        harness.post(&path, &harness.customer(), &json!({ term: true })).await.expect(200);
    }
}

#[tokio::test]
async fn a_forbidden_transition_is_409_with_what_is_allowed() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    harness.backend.advance(&id, OrderStatus::Shipped).await;
    let problem = harness
        .call("POST", &format!("/api/v1/orders/{id}/cancel"), Some(&harness.customer()), &[], None)
        .await
        .problem(409, "transition_not_allowed");
    assert_eq!(problem["current_status"], "shipped");
    assert_eq!(problem["allowed"], json!(["delivered"]));
}

#[tokio::test]
async fn patches_follow_if_match() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let path = format!("/api/v1/orders/{id}");
    let patch = r#"{"shipping_address":{"city":"Boston","state":"MA"},"metadata":{"gift":true,"n":{"a":1}}}"#;
    harness
        .call("PATCH", &path, Some(&harness.customer()), &[("if-match", "\"9\"")], Some(patch))
        .await
        .problem(412, "version_mismatch");
    harness
        .call("PATCH", &path, Some(&harness.admin()), &[], Some(patch))
        .await
        .problem(428, "if_match_required");
    let answer = harness
        .call("PATCH", &path, Some(&harness.customer()), &[("if-match", "\"1\"")], Some(patch))
        .await
        .expect(200);
    assert_eq!(answer.header("etag"), Some("\"2\""));
    let order = answer.json();
    assert_eq!(
        order["shipping_address"],
        json!({"street": "123 Main St", "city": "Boston", "state": "MA", "zip": "10001"})
    );
    assert_eq!(order["metadata"], json!({"gift": true, "n": {"a": 1}}));
    let patch = r#"{"metadata":{"gift":null,"n":{"b":2,"a":null}},"items":[{"product_id":"prod-2","quantity":1,"price":5}],"total_amount":5.00}"#;
    let order = harness
        .call(
            "PATCH",
            &path,
            Some(&harness.admin()),
            &[("if-match", "\"2\""), ("content-type", "application/merge-patch+json")],
            Some(patch),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(order["metadata"], json!({"n": {"b": 2}}));
    assert_eq!(order["items"][0]["product_id"], "prod-2");
    let cleared = harness
        .call("PATCH", &path, Some(&harness.customer()), &[], Some(r#"{"metadata":null}"#))
        .await
        .expect(200)
        .json();
    assert_eq!(cleared["metadata"], json!({}));
    for bad in [
        r#"{"status":"paid"}"#,
        r#"{"total_amount":5}"#,
        r#"{"shipping_address":null}"#,
        r#"{"shipping_address":{"city":null}}"#,
        r#"{"user_id":"x"}"#,
        "[]",
    ] {
        harness
            .call("PATCH", &path, Some(&harness.customer()), &[], Some(bad))
            .await
            .problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn waiting_for_a_status_is_woken_by_the_read_model() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let path = format!("/api/v1/orders/{id}?wait_for=validated,failed&timeout=20");
    let token = harness.customer();
    let (answer, ()) = tokio::join!(
        harness.get(&path, &token),
        harness.backend.advance(&id, OrderStatus::Validated)
    );
    assert_eq!(answer.expect(200).json()["status"], "validated");
    harness.backend.advance(&id, OrderStatus::Paid).await;
    let passed = harness.get(&path, &token).await.expect(200).json();
    assert_eq!(passed["status"], "paid", "an order that has been validated need not be waited for");
    let problem = harness
        .get(&format!("/api/v1/orders/{id}?wait_for=delivered&timeout=0"), &token)
        .await
        .problem(504, "wait_timed_out");
    assert_eq!(problem["current_status"], "paid");
    harness
        .get(&format!("/api/v1/orders/{id}?wait_for=sent"), &token)
        .await
        .problem(422, "invalid_request");
    harness
        .get(&format!("/api/v1/orders/{id}?timeout=31"), &token)
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn an_order_nobody_confirms_in_time_is_202_and_was_recorded() {
    let mut settings = settings();
    settings.confirm_within = Duration::from_millis(50);
    let harness = Harness::with(settings).await;
    harness.backend.silent.store(true, Ordering::Relaxed);
    let answer = harness
        .call("POST", "/api/v1/orders", Some(&harness.customer()), &[], Some(GUIDE_BODY))
        .await
        .expect(202);
    let id = answer.json()["order_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({"order_id": id, "status": "pending"}));
    assert_eq!(answer.header("location"), Some(format!("/api/v1/orders/{id}").as_str()));
    let commands = harness.backend.commands.lock();
    assert_eq!(commands[0].order_id.to_string(), id);
    assert_eq!(commands[0].user_id.to_string(), GUIDE);
}

#[tokio::test]
async fn a_log_that_does_not_acknowledge_is_503_with_retry_after() {
    let mut settings = settings();
    settings.acknowledge_within = Duration::from_millis(50);
    let harness = Harness::with_log(settings, crate::backend::deaf(memory_log())).await;
    let answer = harness
        .call("POST", "/api/v1/orders", Some(&harness.customer()), &[], Some(GUIDE_BODY))
        .await;
    assert!(answer.header("retry-after").is_some());
    answer.problem(503, "log_unavailable");
}

#[tokio::test]
async fn prefer_wait_answers_with_a_later_status() {
    let harness = Harness::start().await;
    let token = harness.customer();
    let place = harness.call(
        "POST",
        "/api/v1/orders",
        Some(&token),
        &[("prefer", "wait=20")],
        Some(GUIDE_BODY),
    );
    let advance = async {
        let id = loop {
            if let Some(command) = harness.backend.commands.lock().first() {
                break command.order_id.to_string();
            }
            tokio::task::yield_now().await;
        };
        harness.get(&format!("/api/v1/orders/{id}"), &token).await;
        while harness.get(&format!("/api/v1/orders/{id}"), &token).await.status != 200 {}
        harness.backend.advance(&id, OrderStatus::Validated).await;
    };
    let (answer, ()) = tokio::join!(place, advance);
    let answer = answer.expect(201);
    assert_eq!(answer.json()["status"], "validated");
    assert_eq!(answer.header("preference-applied"), Some("wait=20"));
}

#[tokio::test]
async fn others_orders_agreed_prices_and_imports_are_for_administrators() {
    let harness = Harness::start().await;
    let other = body(|body| body["user_id"] = json!("00000000-0000-4000-8000-000000000001"));
    harness.post("/api/v1/orders", &harness.customer(), &other).await.problem(403, "forbidden");
    let agreed = body(|body| body["items"][0]["price_override"] = json!(true));
    harness.post("/api/v1/orders", &harness.customer(), &agreed).await.problem(403, "forbidden");
    let import = body(|body| body["channel"] = json!("import"));
    harness.post("/api/v1/orders", &harness.customer(), &import).await.problem(403, "forbidden");
    let mut all = other.clone();
    all["items"][0]["price_override"] = json!(true);
    all["channel"] = json!("import");
    let order = harness.post("/api/v1/orders", &harness.admin(), &all).await.expect(201).json();
    assert_eq!(order["user_id"], "00000000-0000-4000-8000-000000000001");
    assert_eq!(order["items"][0]["price_override"], true);
    assert_eq!(order["channel"], "import");
}

#[tokio::test]
async fn the_timeline_and_the_transition_table_can_be_read() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    harness.backend.advance(&id, OrderStatus::Validated).await;
    let timeline = harness
        .get(&format!("/api/v1/orders/{id}/timeline"), &harness.customer())
        .await
        .expect(200)
        .json();
    let types: Vec<_> = timeline["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["order.created", "order.validated"]);
    let states =
        harness.call("GET", "/api/v1/order-states", None, &[], None).await.expect(200).json();
    assert_eq!(states["states"].as_array().unwrap().len(), 9);
    assert!(
        states["transitions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["from"] == "pending" && row["to"] == "validated")
    );
}
