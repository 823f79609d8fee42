//! Limits over HTTP: scopes, headers, 429.

use ingress::auth::Role;
use ingress::limits::Tier;

use crate::harness::{GUIDE, GUIDE_BODY, Harness, body, settings};

async fn limited() -> Harness {
    let mut settings = settings();
    settings.limits.enabled = true;
    Harness::with(settings).await
}

#[tokio::test]
async fn order_creation_is_limited_to_20_a_minute_and_says_so() {
    let harness = limited().await;
    let token = harness.customer();
    let place =
        async || harness.call("POST", "/api/v1/orders/", Some(&token), &[], Some(GUIDE_BODY)).await;
    for left in (0..20).rev() {
        let answer = place().await.expect(201);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("20"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()));
    }
    let refused = place().await;
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some("\"tier\";q=100;w=60, \"place-order\";q=20;w=60")
    );
    let reset: i64 = refused.header("x-ratelimit-reset").unwrap().parse().unwrap();
    let now = harness.state.now().0 / 1_000_000;
    assert!((now..=now + 60).contains(&reset), "epoch seconds");
    let retry: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.header("ratelimit").unwrap().starts_with("\"place-order\";r=0;t="));
    refused.problem(429, "rate_limited");
    harness.advance(retry);
    place().await.expect(201);
}

#[tokio::test]
async fn a_refused_request_costs_nothing_in_any_scope() {
    let harness = limited().await;
    let token = harness.customer();
    for _ in 0..20 {
        harness
            .call("POST", "/api/v1/orders", Some(&token), &[], Some(GUIDE_BODY))
            .await
            .expect(201);
    }
    for _ in 0..30 {
        harness
            .call("POST", "/api/v1/orders", Some(&token), &[], Some(GUIDE_BODY))
            .await
            .expect(429);
    }
    let answer = harness.get("/api/v1/users/me", &token).await;
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("79"), "20 orders and this one of 100");
}

#[tokio::test]
async fn tiers_have_their_limits_and_enterprise_has_no_headers() {
    let harness = limited().await;
    for (tier, limit) in [
        (Tier::Free, Some("50")),
        (Tier::Standard, Some("100")),
        (Tier::Premium, Some("500")),
        (Tier::Enterprise, None),
    ] {
        let user = format!("00000000-0000-4000-8000-00000000000{}", tier as u8);
        let answer =
            harness.get("/api/v1/users/me", &harness.token(&user, Role::Customer, tier)).await;
        assert_eq!(answer.header("x-ratelimit-limit"), limit);
        assert_eq!(answer.header("ratelimit-policy").is_some(), limit.is_some());
    }
    let enterprise =
        harness.token("00000000-0000-4000-8000-00000000000f", Role::Customer, Tier::Enterprise);
    let own = body(|body| drop(body.as_object_mut().unwrap().remove("user_id"))).to_string();
    for _ in 0..25 {
        harness
            .call("POST", "/api/v1/orders", Some(&enterprise), &[], Some(&own))
            .await
            .expect(201);
    }
}

/// As many requests as the limit allows, and one more, which is refused by it.
async fn exhaust(
    harness: &Harness,
    (method, path): (&str, &str),
    token: &str,
    (policy, limit): (&str, usize),
) {
    for index in 0..limit {
        let answer = harness.call(method, path, Some(token), &[], Some("{}")).await;
        assert_ne!(answer.status, 429, "{policy}: request {index} of {limit}");
    }
    let refused = harness.call(method, path, Some(token), &[], Some("{}")).await;
    assert_eq!(refused.header("x-ratelimit-limit"), Some(limit.to_string().as_str()));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.problem(429, "rate_limited")["violated_policy"], policy);
}

#[tokio::test]
async fn each_tier_is_refused_beyond_its_limit() {
    let harness = limited().await;
    for (tier, limit) in [(Tier::Free, 50), (Tier::Standard, 100), (Tier::Premium, 500)] {
        let user = format!("00000000-0000-4000-8000-00000000000{}", tier as u8);
        let token = harness.token(&user, Role::Customer, tier);
        exhaust(&harness, ("GET", "/api/v1/order-states"), &token, ("tier", limit)).await;
    }
}

#[tokio::test]
async fn reading_orders_and_registering_webhooks_have_limits_of_their_own() {
    let harness = limited().await;
    let token = harness.token(GUIDE, Role::Customer, Tier::Premium);
    exhaust(&harness, ("GET", "/api/v1/orders"), &token, ("list-orders", 100)).await;
    harness.call("GET", "/api/v1/orders/", Some(&token), &[], None).await.expect(429);
    let order = "/api/v1/orders/00000000-0000-4000-8000-000000000001";
    exhaust(&harness, ("GET", order), &token, ("read-order", 100)).await;
    let other = "/api/v1/orders/00000000-0000-4000-8000-000000000002";
    harness.get(other, &token).await.expect(429);
    let webhooks = ("POST", "/api/v1/webhooks");
    exhaust(&harness, webhooks, &token, ("register-webhook", 10)).await;
    harness.get("/api/v1/webhooks", &token).await.expect(200);
    // Tokens live for less than the hour.
    harness.advance(3_600);
    let token = harness.token(GUIDE, Role::Customer, Tier::Premium);
    harness.call("POST", webhooks.1, Some(&token), &[], Some("{}")).await.expect(422);
}

#[tokio::test]
async fn without_a_good_token_the_address_counts() {
    let harness = limited().await;
    for index in 0..200 {
        let token = (index % 2 == 0).then_some("nonsense");
        harness.call("GET", "/api/v1/orders", token, &[], None).await.expect(401);
    }
    harness.call("GET", "/api/v1/products", None, &[], None).await.problem(429, "rate_limited");
    harness.call("GET", "/health/ready", None, &[], None).await;
    assert_ne!(
        harness.call("GET", "/health", None, &[], None).await.status,
        429,
        "health is never limited"
    );
    let preflight = [("origin", "https://shop.example"), ("access-control-request-method", "GET")];
    harness.call("OPTIONS", "/api/v1/orders", None, &preflight, None).await.expect(200);
    harness
        .get("/api/v1/orders", &harness.token(GUIDE, Role::Customer, Tier::Standard))
        .await
        .expect(200);
}

#[tokio::test]
async fn disabled_limits_are_disabled() {
    let harness = Harness::start().await;
    let answer = harness.get("/api/v1/orders", &harness.customer()).await.expect(200);
    assert_eq!(answer.header("x-ratelimit-limit"), None);
}
