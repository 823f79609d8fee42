//! Registering webhooks.

use ingress::auth::Role;
use ingress::limits::Tier;
use serde_json::{Value, json};

use crate::harness::Harness;

const URL: &str = "http://127.0.0.1:9099/hook";

async fn created(harness: &Harness) -> Value {
    harness
        .post(
            "/api/v1/webhooks",
            &harness.customer(),
            &json!({"url": URL, "events": ["order.paid", "order.shipped"]}),
        )
        .await
        .expect(201)
        .json()
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let harness = Harness::start().await;
    let made = created(&harness).await;
    let id = made["webhook_id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        (made["status"].as_str(), made["ordering"].as_str()),
        (Some("enabled"), Some("none"))
    );
    let read = harness
        .get(&format!("/api/v1/webhooks/{id}"), &harness.customer())
        .await
        .expect(200)
        .json();
    assert!(read.get("secret").is_none());
    assert_eq!(read["events"], json!(["order.paid", "order.shipped"]));
    let list = harness.get("/api/v1/webhooks", &harness.customer()).await.expect(200).json();
    assert_eq!(list["data"][0], read);
    let rotated = harness
        .post(&format!("/api/v1/webhooks/{id}/rotate"), &harness.customer(), &json!({}))
        .await
        .expect(200)
        .json();
    assert_ne!(rotated["secret"], made["secret"]);
}

#[tokio::test]
async fn webhooks_are_changed_tried_and_deleted_by_their_owner_only() {
    let harness = Harness::start().await;
    let made = created(&harness).await;
    let path = format!("/api/v1/webhooks/{}", made["webhook_id"].as_str().unwrap());
    let stranger =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Standard);
    for (method, sub) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
    ] {
        harness
            .call(method, &format!("{path}{sub}"), Some(&stranger), &[], Some("{}"))
            .await
            .problem(404, "not_found");
    }
    let patch =
        json!({"events": ["*"], "ordering": "order", "description": "mine", "status": "disabled"})
            .to_string();
    let changed = harness
        .call("PATCH", &path, Some(&harness.customer()), &[], Some(&patch))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (changed["ordering"].as_str(), changed["description"].as_str(), changed["status"].as_str()),
        (Some("order"), Some("mine"), Some("disabled"))
    );
    harness.post(&format!("{path}/test"), &harness.customer(), &json!({})).await.expect(202);
    harness
        .post(
            &format!("{path}/recover"),
            &harness.customer(),
            &json!({"since": "2026-02-17T00:00:00Z"}),
        )
        .await
        .expect(202);
    harness
        .post(&format!("{path}/recover"), &harness.customer(), &json!({"since": "yesterday"}))
        .await
        .problem(422, "invalid_request");
    let deliveries =
        harness.get(&format!("{path}/deliveries"), &harness.customer()).await.expect(200).json();
    assert_eq!(deliveries, json!({"data": [], "has_more": false, "next_cursor": null}));
    let retry = format!("{path}/deliveries/00000000-0000-4000-8000-000000000009/retry");
    harness.post(&retry, &harness.customer(), &json!({})).await.problem(404, "not_found");
    harness.call("DELETE", &path, Some(&harness.customer()), &[], None).await.expect(204);
    harness.get(&path, &harness.customer()).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_change_during_a_rotation_keeps_the_new_secret() {
    let harness = Harness::start().await;
    let made = created(&harness).await;
    let id = made["webhook_id"].as_str().unwrap();
    let (path, shouted) = (format!("/api/v1/webhooks/{id}"), id.to_uppercase());
    let rotate = format!("/api/v1/webhooks/{shouted}/rotate");
    let token = harness.customer();
    let owner = crate::harness::GUIDE.parse().unwrap();
    let newest = || harness.state.endpoints().get(owner, id).unwrap().sealed_secrets[0].clone();
    for round in 0..5 {
        let (before, description) = (newest(), format!("round {round}"));
        let change = json!({"description": description}).to_string();
        let nothing = json!({});
        let (rotated, changed) = tokio::join!(
            harness.post(&rotate, &token, &nothing),
            harness.call("PATCH", &path, Some(&token), &[], Some(&change)),
        );
        rotated.expect(200);
        changed.expect(200);
        assert_ne!(newest(), before, "the secret that was handed out is the one that signs");
        let read = harness.get(&path, &token).await.expect(200).json();
        assert_eq!(read["description"], description.as_str());
    }
    let (deleted, _) = tokio::join!(
        harness.call("DELETE", &path, Some(&token), &[], None),
        harness.call("PATCH", &path, Some(&token), &[], Some("{\"description\":\"late\"}")),
    );
    deleted.expect(204);
    harness.get(&path, &token).await.problem(404, "not_found");
}

#[tokio::test]
async fn bad_registrations_are_refused() {
    let harness = Harness::start().await;
    let events = json!(["*"]);
    for (bad, code) in [
        (json!({"url": "http://127.0.0.1:1/", "events": events}), "private_target"),
        (json!({"url": "http://169.254.169.254/", "events": events}), "private_target"),
        (json!({"url": "gopher://example.com/", "events": events}), "invalid"),
        (json!({"url": URL}), "required"),
        (json!({"url": URL, "events": []}), "length"),
        (json!({"url": URL, "events": ["order.sent"]}), "unknown_event"),
        (json!({"url": URL, "events": ["order.paid", "order.payment_processed"]}), "duplicate"),
        (json!({"url": URL, "events": events, "headers": {"Webhook-Id": "x"}}), "reserved"),
        (json!({"url": URL, "events": events, "headers": {"Host": "x"}}), "reserved"),
        (json!({"url": URL, "events": events, "headers": {"x": "a\nb"}}), "invalid"),
        (json!({"url": URL, "events": events, "ordering": "strict"}), "invalid"),
        (json!({"url": URL, "events": events, "secret": "mine"}), "unknown_member"),
    ] {
        let problem = harness
            .post("/api/v1/webhooks", &harness.customer(), &bad)
            .await
            .problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["code"], code, "{problem}");
    }
}
