//! Every class of refusal, and that nothing is echoed.

use serde_json::{Value, json};

use crate::harness::{GUIDE_BODY, Harness, body};

#[tokio::test]
async fn bytes_that_are_not_json_are_400_and_other_malformed_values_422() {
    let harness = Harness::start().await;
    let token = harness.customer();
    let post = async |text: &str| {
        harness.call("POST", "/api/v1/orders", Some(&token), &[], Some(text)).await
    };
    for text in ["", "{", "{} x", r#"{"items":[],"items":[]}"#, r#"{"a":{"b":1,"b":2}}"#] {
        post(text).await.problem(400, "malformed_json");
    }
    let invalid = axum::http::Request::post("/api/v1/orders")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from(&b"{\"a\":\"\xff\"}"[..]))
        .unwrap();
    harness.send(invalid).await.problem(400, "malformed_json");
    for text in ["[]", "null", "1", "\"x\"", "{}"] {
        post(text).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn all_field_errors_come_at_once_with_their_paths() {
    let harness = Harness::start().await;
    let bad = json!({
        "user_id": 7,
        "items": [{"product_id": "a", "quantity": 0, "price": 1}, {"product_id": "", "quantity": 1, "price": "1"}],
        "total_amount": -1,
        "currency": "dollars",
        "shipping_address": {"street": "x", "city": 5},
        "payment_method": "x".repeat(51),
        "metadata": [],
    });
    let problem = harness
        .post("/api/v1/orders", &harness.customer(), &bad)
        .await
        .problem(422, "invalid_request");
    let fields: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    for field in [
        "user_id",
        "items[0].quantity",
        "items[1].product_id",
        "currency",
        "items[1].price",
        "shipping_address.city",
        "shipping_address.state",
        "shipping_address.zip",
        "payment_method",
        "metadata",
    ] {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
}

#[tokio::test]
async fn amounts_are_exact() {
    let harness = Harness::start().await;
    let place = async |change: &dyn Fn(&mut Value)| {
        harness.post("/api/v1/orders", &harness.customer(), &body(|body| change(body))).await
    };
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let code = |problem: Value| problem["errors"][0]["code"].as_str().unwrap().to_owned();
    assert_eq!(
        code(
            place(&|body| body["total_amount"] = number("59.97"))
                .await
                .problem(422, "invalid_request")
        ),
        "total_mismatch"
    );
    assert_eq!(
        code(
            place(&|body| body["total_amount"] = number("59.979999"))
                .await
                .problem(422, "invalid_request")
        ),
        "invalid_amount"
    );
    assert_eq!(
        code(
            place(&|body| body["items"][0]["quantity"] = number("-2"))
                .await
                .problem(422, "invalid_request")
        ),
        "out_of_range"
    );
    assert_eq!(
        code(
            place(&|body| body["items"][0]["quantity"] = number("2.0"))
                .await
                .problem(422, "invalid_request")
        ),
        "out_of_range"
    );
    place(&|body| body["total_amount"] = number("59.9800")).await.expect(201);
    place(&|body| body["total_amount"] = number("5.998e1")).await.expect(201);
}

#[tokio::test]
async fn orders_have_1_to_1000_lines() {
    let harness = Harness::start().await;
    let with = |count: usize| {
        body(|body| {
            body["items"] = (0..count)
                .map(|index| json!({"product_id": format!("p-{index}"), "quantity": 1, "price": 1}))
                .collect();
            body["total_amount"] = json!(count);
        })
    };
    harness
        .post("/api/v1/orders", &harness.customer(), &with(0))
        .await
        .problem(422, "invalid_request");
    harness.post("/api/v1/orders", &harness.customer(), &with(1_000)).await.expect(201);
    harness
        .post("/api/v1/orders", &harness.customer(), &with(1_001))
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn card_data_is_refused_everywhere_and_never_echoed_or_recorded() {
    const CARD: &str = "4111111111111111";
    let harness = Harness::start().await;
    let bodies = [
        body(|body| body["metadata"] = json!({"note": format!("card {CARD}")})),
        body(|body| body["metadata"] = json!({"deep": [{"n": 4_111_111_111_111_111_i64}]})),
        body(|body| body["metadata"] = json!({CARD: 1})),
        body(|body| body["payment_token"] = json!("4111 1111 1111 1111")),
        body(|body| body["card"] = json!({"number": "x"})),
        body(|body| body["cvv"] = json!("123")),
        body(|body| body[CARD] = json!(1)),
        body(|body| body["shipping_address"]["street"] = json!(format!("{CARD} Main St"))),
    ];
    for body in bodies {
        let answer = harness.post("/api/v1/orders", &harness.customer(), &body).await;
        assert!(!answer.text.replace([' ', '-'], "").contains(CARD), "{}", answer.text);
        let problem = answer.problem(422, "invalid_request");
        assert!(
            problem["errors"].as_array().unwrap().iter().any(|error| error["code"] == "card_data"),
            "{problem}"
        );
    }
    let id = harness.placed().await;
    for (method, path, body) in [
        ("PATCH", format!("/api/v1/orders/{id}"), json!({CARD: 1})),
        ("POST", format!("/api/v1/orders/{id}/cancel"), json!({"reason": CARD})),
        (
            "POST",
            "/api/v1/webhooks".to_owned(),
            json!({"url": format!("https://example.com/{CARD}"), "events": ["*"]}),
        ),
    ] {
        let answer = harness
            .call(method, &path, Some(&harness.customer()), &[], Some(&body.to_string()))
            .await;
        assert!(!answer.text.contains(CARD), "{}", answer.text);
        answer.problem(422, "invalid_request");
    }
    let path = harness.get(&format!("/api/v1/orders/{CARD}"), &harness.customer()).await;
    assert!(!path.text.contains(CARD), "{}", path.text);
    assert_eq!(harness.backend.commands.lock().len(), 1, "only the good order reached the log");
}

#[tokio::test]
async fn floods_of_errors_and_long_names_get_short_answers() {
    let harness = Harness::start().await;
    let members: Vec<String> = (0..100_000).map(|index| format!("\"{index}\":0")).collect();
    let flood = format!("{{{}}}", members.join(","));
    let answer = harness.call("POST", "/api/v1/auth/register", None, &[], Some(&flood)).await;
    assert!(answer.text.len() < 32 * 1024, "{} bytes", answer.text.len());
    let problem = answer.problem(422, "invalid_request");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);

    let items = vec!["0"; 300_000].join(",");
    let long = format!("{{\"{}\":[{items}]}}", "n".repeat(400_000));
    let answer =
        harness.call("POST", "/api/v1/orders", Some(&harness.customer()), &[], Some(&long)).await;
    answer.problem(422, "invalid_request");
    let path = format!("{{\"{}\":\"\\u0000\"}}", "n".repeat(400_000));
    let answer =
        harness.call("POST", "/api/v1/orders", Some(&harness.customer()), &[], Some(&path)).await;
    assert!(answer.text.len() < 8 * 1024, "{} bytes", answer.text.len());
    answer.problem(422, "invalid_request");
}

#[tokio::test]
async fn what_a_database_cannot_keep_is_refused_before_it_is_recorded() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let order = format!("/api/v1/orders/{id}");
    let post = "/api/v1/orders".to_owned();
    let status = format!("/api/v1/admin/orders/{id}/status");
    let product = "/api/v1/admin/products/p".to_owned();
    let stock = format!("{product}/stock-adjustments");
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let nul = "a\u{0}b";
    let metadata = |value: Value| body(|body| body["metadata"] = json!({"a": value}));
    let address = body(|body| body["shipping_address"]["street"] = json!(nul));
    let webhook = json!({"url": "http://127.0.0.1:9099/", "events": ["*"], "description": nul});
    let account = json!({"email": "a@b.c", "password": nul.repeat(6)});
    let deep = number(&format!("{}{}", "[".repeat(100), "]".repeat(100)));
    for (method, path, body, field) in [
        ("POST", &post, metadata(json!(nul)), "metadata.a"),
        ("POST", &post, metadata(json!({"b": [nul]})), "metadata.a.b[0]"),
        ("POST", &post, metadata(json!({nul: 1})), "metadata.a"),
        ("POST", &post, metadata(number("1e999999")), "metadata.a"),
        ("POST", &post, metadata(number(&"9".repeat(101))), "metadata.a"),
        ("POST", &post, metadata(deep), "metadata.a"),
        ("POST", &post, address, "shipping_address.street"),
        ("PATCH", &order, json!({"metadata": {"a": {"b": nul}}}), "metadata.a.b"),
        ("PATCH", &order, json!({"metadata": {"a": number("1e-999999")}}), "metadata.a"),
        ("PATCH", &order, json!({"shipping_address": {"city": nul}}), "shipping_address.city"),
        ("DELETE", &order, json!({"reason": nul}), "reason"),
        ("DELETE", &order, json!({"note": nul}), "note"),
        ("POST", &status, json!({"status": "shipped", "reason": nul}), "reason"),
        ("PUT", &product, json!({"name": nul, "price": 1, "stock": 1}), "name"),
        ("POST", &stock, json!({"delta": 1, "reason": nul}), "reason"),
        ("POST", &"/api/v1/webhooks".to_owned(), webhook, "description"),
        ("POST", &"/api/v1/auth/register".to_owned(), account, "password"),
    ] {
        let (text, any) = (body.to_string(), [("if-match", "*")]);
        let answer = harness.call(method, path, Some(&harness.admin()), &any, Some(&text)).await;
        let problem = answer.problem(422, "invalid_request");
        let errors = problem["errors"].as_array().unwrap();
        let named = |error: &Value| error["field"].as_str().unwrap().starts_with(field);
        assert!(errors.iter().any(named), "{method} {path}: {field} in {problem}");
    }
    assert_eq!(harness.backend.commands.lock().len(), 1, "only the good order reached the log");
}

#[tokio::test]
async fn wrong_media_types_and_large_bodies_are_refused() {
    let harness = Harness::start().await;
    let token = harness.customer();
    for media in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
    {
        harness
            .call(
                "POST",
                "/api/v1/orders",
                Some(&token),
                &[("content-type", media)],
                Some(GUIDE_BODY),
            )
            .await
            .problem(415, "unsupported_media_type");
    }
    for media in ["application/json; charset=UTF-8", "application/vnd.api+json"] {
        harness
            .call(
                "POST",
                "/api/v1/orders",
                Some(&token),
                &[("content-type", media)],
                Some(GUIDE_BODY),
            )
            .await
            .expect(201);
    }
    let large = format!("{{\"metadata\":{{\"x\":\"{}\"}}}}", "y".repeat(1024 * 1024));
    harness
        .call("POST", "/api/v1/orders", Some(&token), &[], Some(&large))
        .await
        .problem(413, "body_too_large");
    let honest = [("content-length", "10485760")];
    harness
        .call("POST", "/api/v1/orders", Some(&token), &honest, Some("{}"))
        .await
        .problem(413, "body_too_large");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let harness = Harness::start().await;
    harness.call("GET", "/nowhere", None, &[], None).await.problem(404, "not_found");
    let answer = harness.call("PUT", "/api/v1/orders", None, &[], None).await;
    let allow = answer.header("allow").unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    answer.problem(405, "method_not_allowed");
    harness.get("/api/v1/orders/%ff", &harness.customer()).await.problem(422, "invalid_request");
    harness.get("/api/v1/products/%ff", &harness.customer()).await.expect(422);
}

#[tokio::test]
async fn unknown_members_are_ignored_in_post_orders_only() {
    let harness = Harness::start().await;
    let answer = harness
        .post(
            "/api/v1/orders",
            &harness.customer(),
            &body(|body| {
                body["status"] = json!("delivered");
                body["order_id"] = json!("x");
                body["whatever"] = json!(1);
            }),
        )
        .await
        .expect(201)
        .json();
    assert_eq!(answer["status"], "pending");
    let id = answer["order_id"].as_str().unwrap();
    harness
        .post(&format!("/api/v1/orders/{id}/cancel"), &harness.customer(), &json!({"whatever": 1}))
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn tokens_are_required_and_must_be_good() {
    let harness = Harness::start().await;
    let missing = harness.call("GET", "/api/v1/orders", None, &[], None).await;
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    missing.problem(401, "missing_token");
    harness.get("/api/v1/orders", "nonsense").await.problem(401, "invalid_token");
    harness
        .call("GET", "/api/v1/orders", None, &[("authorization", "Basic YTpi")], None)
        .await
        .problem(401, "invalid_token");
    let token = harness.customer();
    harness.advance(15 * 60 + 60);
    harness.get("/api/v1/orders", &token).await.problem(401, "expired_token");
    harness.get("/api/v1/admin/users", &harness.customer()).await.problem(403, "forbidden");
}
