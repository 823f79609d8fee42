//! Catalogue, stock, users and statuses by hand.

use ingress::auth::Role;
use ingress::limits::Tier;
use schemas::messages::OrderStatus;
use serde_json::{Value, json};

use crate::harness::Harness;

async fn put(harness: &Harness, id: &str, body: &Value) -> crate::harness::Answer {
    harness
        .call(
            "PUT",
            &format!("/api/v1/admin/products/{id}"),
            Some(&harness.admin()),
            &[],
            Some(&body.to_string()),
        )
        .await
}

#[tokio::test]
async fn products_are_put_and_read_at_once() {
    let harness = Harness::start().await;
    let answer = put(&harness, "prod-1", &json!({"name": "Lamp", "price": 29.99, "stock": 5}))
        .await
        .expect(200);
    assert!(answer.text.contains("\"price\":29.99"), "{}", answer.text);
    let product = answer.json();
    assert_eq!(
        (product["on_hand"].as_i64(), product["held"].as_i64(), product["available"].as_i64()),
        (Some(5), Some(0), Some(5))
    );
    let shown =
        harness.call("GET", "/api/v1/products/prod-1", None, &[], None).await.expect(200).json();
    assert_eq!(shown["currency"], "USD");
    assert!(shown.get("on_hand").is_none(), "stock on hand is for administrators");
    let renamed =
        put(&harness, "prod-1", &json!({"price": 30, "stock": 7})).await.expect(200).json();
    assert_eq!((renamed["name"].as_str(), renamed["available"].as_i64()), (Some("Lamp"), Some(7)));
    put(&harness, "prod-2", &json!({"price": 1, "currency": "GBP", "stock": 0})).await.expect(200);
    let list =
        harness.call("GET", "/api/v1/products?limit=1", None, &[], None).await.expect(200).json();
    assert_eq!(
        (list["data"][0]["product_id"].as_str(), list["has_more"].as_bool()),
        (Some("prod-1"), Some(true))
    );
    let next = format!("/api/v1/products?limit=1&cursor={}", list["next_cursor"].as_str().unwrap());
    assert_eq!(
        harness.call("GET", &next, None, &[], None).await.expect(200).json()["data"][0]["product_id"],
        "prod-2"
    );
    harness
        .call("GET", "/api/v1/products/nothing", None, &[], None)
        .await
        .problem(404, "not_found");
    for bad in [
        json!({"price": -1, "stock": 1}),
        json!({"price": 1.234, "stock": 1}),
        json!({"price": 1}),
        json!({"price": 1, "stock": -1}),
        json!({"price": 1, "stock": 1, "x": 1}),
    ] {
        put(&harness, "prod-3", &bad).await.problem(422, "invalid_request");
    }
    harness
        .call("PUT", "/api/v1/admin/products/prod-1", Some(&harness.customer()), &[], Some("{}"))
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn adjustments_go_to_zero_and_not_below() {
    let harness = Harness::start().await;
    put(&harness, "prod-1", &json!({"price": 1, "stock": 5})).await.expect(200);
    let adjust = async |delta: i64| {
        harness
            .post(
                "/api/v1/admin/products/prod-1/stock-adjustments",
                &harness.admin(),
                &json!({"delta": delta, "reason": "count"}),
            )
            .await
    };
    assert_eq!(adjust(-5).await.expect(201).json()["available"], 0);
    let problem = adjust(-1).await.problem(409, "below_zero");
    assert_eq!(problem["available"], 0);
    adjust(0).await.problem(422, "invalid_request");
    harness
        .post(
            "/api/v1/admin/products/none/stock-adjustments",
            &harness.admin(),
            &json!({"delta": 1, "reason": "x"}),
        )
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn an_adjustment_with_a_key_is_done_once() {
    let harness = Harness::start().await;
    put(&harness, "prod-1", &json!({"price": 1, "stock": 5})).await.expect(200);
    for _ in 0..2 {
        let path = "/api/v1/admin/products/prod-1/stock-adjustments";
        let body = r#"{"delta": 3, "reason": "delivery"}"#;
        let key = [("idempotency-key", "d-1")];
        let answer = harness.call("POST", path, Some(&harness.admin()), &key, Some(body)).await;
        assert_eq!(answer.expect(201).json()["on_hand"], 8);
    }
}

#[tokio::test]
async fn a_changed_user_needs_a_new_token() {
    let harness = Harness::start().await;
    let register = json!({"email": "ada@example.com", "password": "correct horse battery"});
    let tokens = harness
        .call("POST", "/api/v1/auth/register", None, &[], Some(&register.to_string()))
        .await
        .expect(201)
        .json();
    let (id, access) =
        (tokens["user_id"].as_str().unwrap(), tokens["access_token"].as_str().unwrap());
    let change = async |body: Value| {
        harness
            .call(
                "PATCH",
                &format!("/api/v1/admin/users/{id}"),
                Some(&harness.admin()),
                &[],
                Some(&body.to_string()),
            )
            .await
    };
    harness.advance(1);
    let user = change(json!({"tier": "premium", "role": "admin"})).await.expect(200).json();
    assert_eq!((user["tier"].as_str(), user["role"].as_str()), (Some("premium"), Some("admin")));
    harness.get("/api/v1/users/me", access).await.problem(401, "revoked_token");
    harness.advance(1);
    let refreshed = harness
        .call(
            "POST",
            "/api/v1/auth/refresh",
            None,
            &[],
            Some(&json!({"refresh_token": tokens["refresh_token"]}).to_string()),
        )
        .await
        .expect(200)
        .json();
    harness
        .get("/api/v1/admin/users", refreshed["access_token"].as_str().unwrap())
        .await
        .expect(200);
    change(json!({"tier": "golden"})).await.problem(422, "invalid_request");
    change(json!({"role": "root"})).await.problem(422, "invalid_request");
    let missing = harness
        .call(
            "PATCH",
            "/api/v1/admin/users/00000000-0000-4000-8000-000000000001",
            Some(&harness.admin()),
            &[],
            Some("{}"),
        )
        .await;
    missing.problem(404, "not_found");
    let list = harness.get("/api/v1/admin/users", &harness.admin()).await.expect(200).json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert!(list.to_string().find("argon2").is_none(), "no hashes");
}

#[tokio::test]
async fn administrators_set_statuses_within_the_table() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    harness.backend.advance(&id, OrderStatus::Fulfilled).await;
    let path = format!("/api/v1/admin/orders/{id}/status");
    harness
        .post(&path, &harness.customer(), &json!({"status": "shipped"}))
        .await
        .problem(403, "forbidden");
    harness
        .post(&path, &harness.admin(), &json!({"status": "paid"}))
        .await
        .problem(409, "transition_not_allowed");
    harness
        .post(&path, &harness.admin(), &json!({"status": "sent"}))
        .await
        .problem(422, "invalid_request");
    let tracking =
        json!({"status": "shipped", "tracking": {"tracking_number": "1Z", "carrier": "UPS"}});
    assert_eq!(
        harness.post(&path, &harness.admin(), &tracking).await.expect(200).json()["status"],
        "shipped"
    );
    let command = harness.backend.commands.lock().last().cloned().unwrap();
    assert_eq!(command.set_status.unwrap().tracking_number.as_deref(), Some("1Z"));
    let support =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Enterprise);
    harness.post(&path, &support, &json!({"status": "delivered"})).await.problem(403, "forbidden");
}
