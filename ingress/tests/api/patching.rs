//! Changes that meet each other, and changes nobody confirms in time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::messages::OrderStatus;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, body, settings};

async fn patch(harness: &Harness, path: &str, patch: &Value) -> Answer {
    let token = harness.customer();
    harness.call("PATCH", path, Some(&token), &[], Some(&patch.to_string())).await
}

#[tokio::test]
async fn patches_at_the_same_time_keep_each_others_work() {
    let harness = Harness::start().await;
    let order = body(|body| body["metadata"] = json!({"n": {"zero": 0}}));
    let order =
        harness.post("/api/v1/orders", &harness.customer(), &order).await.expect(201).json();
    let path = format!("/api/v1/orders/{}", order["order_id"].as_str().unwrap());
    let patches = [
        json!({"shipping_address": {"city": "Boston"}}),
        json!({"shipping_address": {"street": "1 Elm St"}}),
        json!({"metadata": {"n": {"one": 1}}}),
        json!({"metadata": {"n": {"two": 2, "zero": null}, "m": 3}}),
    ];
    let answers =
        futures::future::join_all(patches.iter().map(|change| patch(&harness, &path, change)))
            .await;
    for answer in answers {
        answer.expect(200);
    }
    let order = harness.get(&path, &harness.customer()).await.expect(200).json();
    assert_eq!(
        order["shipping_address"],
        json!({"street": "1 Elm St", "city": "Boston", "state": "NY", "zip": "10001"})
    );
    assert_eq!(order["metadata"], json!({"n": {"one": 1, "two": 2}, "m": 3}));
    assert_eq!(order["version"], 5, "each patch was applied once");
}

#[tokio::test]
async fn a_patch_with_if_match_is_refused_and_one_that_replaces_is_not_conditional() {
    let harness = Harness::start().await;
    let path = format!("/api/v1/orders/{}", harness.placed().await);
    patch(&harness, &path, &json!({"metadata": {"a": 1}})).await.expect(200);
    assert_eq!(harness.backend.commands.lock().last().unwrap().expected_version, None);
    let stale = harness
        .call(
            "PATCH",
            &path,
            Some(&harness.customer()),
            &[("if-match", "\"1\"")],
            Some(r#"{"shipping_address":{"city":"Boston"}}"#),
        )
        .await;
    assert_eq!(stale.problem(412, "version_mismatch")["current_version"], 2);
}

#[tokio::test]
async fn a_change_nobody_confirms_is_202_with_the_status_that_was_seen() {
    let mut settings = settings();
    settings.confirm_within = Duration::from_secs(1);
    let harness = Harness::with(settings).await;
    let id = harness.placed().await;
    harness.backend.advance(&id, OrderStatus::Paid).await;
    harness.backend.silent.store(true, Ordering::Relaxed);
    let (path, unknown) = (format!("/api/v1/orders/{id}"), uuid::Uuid::nil());
    let (customer, admin) = (harness.customer(), harness.admin());
    let status_path = format!("/api/v1/admin/orders/{id}/status");
    let (cancel, status) = (format!("{path}/cancel"), json!({"status": "fulfilled"}));
    let nowhere = format!("/api/v1/orders/{unknown}/cancel");
    let change = json!({"metadata": {"a": 1}});
    let (amended, cancelled, set, unseen) = tokio::join!(
        patch(&harness, &path, &change),
        harness.call("POST", &cancel, Some(&customer), &[], None),
        harness.post(&status_path, &admin, &status),
        harness.call("POST", &nowhere, Some(&customer), &[], None),
    );
    for answer in [amended, cancelled, set] {
        let answer = answer.expect(202);
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_eq!(answer.json(), json!({"order_id": id, "status": "paid"}));
    }
    assert_eq!(unseen.expect(202).json(), json!({"order_id": unknown}), "nothing is known of it");
}
