//! What every answer carries, CORS, health.

use serde_json::json;

use crate::harness::{Answer, Harness, memory_log, settings};

/// The template with `x` for every parameter.
pub(crate) fn concrete(template: &str) -> String {
    template
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

fn assert_fixed_headers(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(answer.header("x-request-id").is_some());
    assert!(answer.header("server").is_none());
}

#[tokio::test]
async fn every_route_answers_with_the_fixed_headers() {
    let harness = Harness::start().await;
    for (method, path) in ingress::ROUTES {
        let path = concrete(path);
        let answer = harness.call(method, &path, Some(&harness.admin()), &[], Some("{}")).await;
        assert_fixed_headers(&answer);
        assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.text);
        if path.starts_with("/api/") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        }
    }
    assert_fixed_headers(&harness.call("GET", "/nowhere", None, &[], None).await);
}

#[tokio::test]
async fn request_ids_and_traces_are_continued() {
    let harness = Harness::start().await;
    let headers = [
        ("x-request-id", "abc-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let answer = harness.call("GET", "/api/v1/orders", None, &headers, None).await;
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    let problem = answer.problem(401, "missing_token");
    assert_eq!(problem["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(problem["instance"], "/api/v1/orders");
    let forged = harness.call("GET", "/", None, &[("x-request-id", "a b")], None).await;
    assert_ne!(forged.header("x-request-id"), Some("a b"));
}

#[tokio::test]
async fn browsers_may_call_from_listed_origins_only() {
    let harness = Harness::start().await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,idempotency-key"),
        ];
        harness.call("OPTIONS", "/api/v1/orders", None, &headers, None).await
    };
    let good = preflight("https://shop.example").await.expect(200);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(good.header("access-control-allow-credentials"), Some("true"));
    assert!(good.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")));
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), None);
    let mut open = settings();
    open.cors_origins = vec!["*".to_owned()];
    let open = Harness::with(open).await;
    let any = open.call("GET", "/", None, &[("origin", "https://any.example")], None).await;
    assert_eq!(any.header("access-control-allow-origin"), Some("*"));
    assert_eq!(any.header("access-control-allow-credentials"), None, "never with *");
}

#[tokio::test]
async fn the_root_says_what_the_guide_says() {
    let harness = Harness::start().await;
    let root = harness.call("GET", "/", None, &[], None).await.expect(200).json();
    assert_eq!(root, json!({"message": "E-Commerce Order System API", "version": "1.0.0"}));
    let keys =
        harness.call("GET", "/.well-known/jwks.json", None, &[], None).await.expect(200).json();
    assert_eq!(keys, json!({"keys": []}));
}

#[tokio::test]
async fn readiness_fails_while_starting_or_draining_or_without_the_database_and_liveness_does_not()
{
    let harness = Harness::start().await;
    let status =
        async |path: &str| harness.call("GET", path, None, &[], None).await.status.as_u16();
    harness.state.prepare(true);
    assert_eq!((status("/health/ready").await, status("/health").await), (503, 200));
    harness.state.prepare(false);
    assert_eq!(status("/health/ready").await, 200);
    harness.state.drain();
    assert_eq!(
        (status("/health/ready").await, status("/health").await, status("/health/live").await),
        (503, 200, 200)
    );
    let other = Harness::with_log(settings(), memory_log()).await;
    other.state.database().close().await;
    let ready = other.call("GET", "/health/ready", None, &[], None).await.expect(503).json();
    assert_eq!(ready["parts"]["database"], "down");
    assert_eq!(other.call("GET", "/health", None, &[], None).await.status, 200);
}
