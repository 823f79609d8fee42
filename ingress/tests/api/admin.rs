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
async fn what_a_put_leaves_out_stays_as_it_is() {
    let harness = Harness::start().await;
    let first = json!({"name": "Lamp", "price": 12.5, "currency": "GBP", "stock": 1});
    put(&harness, "lamp", &first).await.expect(200);
    let second = put(&harness, "lamp", &json!({"price": 13, "stock": 2})).await.expect(200).json();
    assert_eq!((&second["name"], &second["currency"]), (&json!("Lamp"), &json!("GBP")));
    put(&harness, "yen", &json!({"price": 100, "currency": "JPY", "stock": 1})).await.expect(200);
    put(&harness, "yen", &json!({"price": 1.5, "stock": 1})).await.problem(422, "invalid_request");
    let moved = json!({"price": 1.5, "currency": "USD", "stock": 1});
    assert_eq!(put(&harness, "yen", &moved).await.expect(200).json()["currency"], "USD");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_no_reason_to_rename_a_product() {
    let harness = Harness::start().await;
    put(&harness, "lamp", &json!({"name": "Lamp", "price": 1, "stock": 1})).await.expect(200);
    harness.state.database().close().await;
    let answer = put(&harness, "lamp", &json!({"price": 1, "stock": 1})).await;
    assert!(answer.status.is_server_error(), "{}", answer.text);
    assert_ne!(answer.json()["code"], "not_confirmed", "nothing was recorded");
}

#[tokio::test]
async fn one_adjustment_sent_twice_at_once_is_done_once_and_answered_twice() {
    let harness = Harness::start().await;
    put(&harness, "prod-1", &json!({"price": 1, "stock": 5})).await.expect(200);
    let (path, token) = ("/api/v1/admin/products/prod-1/stock-adjustments", harness.admin());
    let key = [("idempotency-key", "count-1")];
    for (body, status) in
        [(r#"{"delta":-2,"reason":"count"}"#, 201), (r#"{"delta":-9,"reason":"count"}"#, 409)]
    {
        let key = if status == 201 { &key[..] } else { &[("idempotency-key", "count-2")] };
        let adjust = async || harness.call("POST", path, Some(&token), key, Some(body)).await;
        let started = tokio::time::Instant::now();
        let (one, two) = tokio::join!(adjust(), adjust());
        one.expect(status);
        two.expect(status);
        assert!(
            started.elapsed() < harness.state.settings().confirm_within,
            "nobody waited in vain"
        );
    }
    let product = harness.get("/api/v1/admin/products/prod-1", &token).await.expect(200).json();
    assert_eq!(product["on_hand"], 3);
}

/// The user's registration, made with the token; whether it hears of everybody's orders.
async fn hears_everybody(harness: &Harness, user: &str, token: &str) -> (String, bool) {
    let body = json!({"url": "http://127.0.0.1:9099/", "events": ["*"]});
    let made = harness.post("/api/v1/webhooks", token, &body).await.expect(201).json();
    let id = made["webhook_id"].as_str().unwrap().to_owned();
    let all = harness.state.endpoints().get(user.parse().unwrap(), &id).unwrap().all_users;
    (id, all)
}

#[tokio::test]
async fn a_former_administrators_webhooks_hear_of_own_orders_only() {
    let harness = Harness::start().await;
    let credentials = r#"{"email": "ada@example.com", "password": "correct horse battery"}"#;
    let registered = harness
        .call("POST", "/api/v1/auth/register", None, &[], Some(credentials))
        .await
        .expect(201)
        .json();
    let user = registered["user_id"].as_str().unwrap();
    let role = async |role: &str| {
        let path = format!("/api/v1/admin/users/{user}");
        let body = json!({"role": role}).to_string();
        harness.call("PATCH", &path, Some(&harness.admin()), &[], Some(&body)).await.expect(200);
        // Tokens of the same millisecond died with the change.
        harness.advance(1);
    };
    role("admin").await;
    let token = harness.token(user, Role::Admin, Tier::Standard);
    let (id, all) = hears_everybody(&harness, user, &token).await;
    assert!(all);
    role("customer").await;
    let owner = user.parse().unwrap();
    assert!(!harness.state.endpoints().get(owner, &id).unwrap().all_users);
    // A request of the administrator that was on its way during the demotion.
    let token = harness.token(user, Role::Admin, Tier::Standard);
    let (id, _) = hears_everybody(&harness, user, &token).await;
    assert!(!harness.state.endpoints().get(owner, &id).unwrap().all_users);
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
    let path = "/api/v1/admin/products/prod-1/stock-adjustments";
    for body in [
        r#"{"delta": 4, "reason": "delivery"}"#,
        r#"{"delta": 3, "reason": "found behind the shelf"}"#,
    ] {
        let key = [("idempotency-key", "d-1")];
        let answer = harness.call("POST", path, Some(&harness.admin()), &key, Some(body)).await;
        answer.problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn of_adjustments_that_race_under_one_key_one_is_made() {
    let harness = Harness::start().await;
    put(&harness, "prod-1", &json!({"price": 1, "stock": 0})).await.expect(200);
    let path = "/api/v1/admin/products/prod-1/stock-adjustments";
    let mut on_hand = 0;
    for round in 0..10 {
        let key = format!("race-{round}");
        let adjust = async |delta: i64| {
            let body = json!({"delta": delta, "reason": "delivery"}).to_string();
            let key = [("idempotency-key", key.as_str())];
            harness.call("POST", path, Some(&harness.admin()), &key, Some(&body)).await
        };
        let answers =
            [(1, adjust(1)), (100, adjust(100))].map(async |(delta, answer)| (delta, answer.await));
        let mut made = 0;
        for (delta, answer) in futures::future::join_all(answers).await {
            match answer.status.as_u16() {
                201 => {
                    made += 1;
                    on_hand += delta;
                }
                409 => drop(answer.problem(409, "idempotency_key_in_flight")),
                _ => drop(answer.problem(422, "idempotency_key_reused")),
            }
        }
        assert_eq!(made, 1, "another body must not get the first one's answer");
    }
    // Without a key the answer waits until the read model shows it, and all before it.
    let last = json!({"delta": 1_000, "reason": "count"});
    let shown = harness.post(path, &harness.admin(), &last).await.expect(201).json();
    assert_eq!(shown["on_hand"], on_hand + 1_000);
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
