//! The server on a socket: draining, and callers who send nothing.

use std::time::Duration;

use ingress::{Drain, serve};
use schemas::messages::OrderStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, settings};

#[tokio::test]
async fn requests_in_flight_are_answered_while_the_door_closes() {
    let harness = Harness::start().await;
    let id = harness.placed().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let drain = Drain { notice: Duration::ZERO, drain_within: Duration::from_secs(20) };
    let server = tokio::spawn(serve(listener, harness.state.clone(), shutdown.clone(), drain));

    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/orders/{id}?wait_for=validated&timeout=20 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        harness.customer()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    while harness.state.database().applied().waiting().0.is_empty() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    while !harness.state.draining() {
        tokio::task::yield_now().await;
    }
    harness.backend.advance(&id, OrderStatus::Validated).await;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"status\":\"validated\""), "{answer}");
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the door is closed");
}

#[tokio::test]
async fn half_a_request_does_not_hold_a_connection() {
    let mut settings = settings();
    settings.read_within = Duration::from_millis(100);
    let harness = Harness::with(settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server =
        tokio::spawn(serve(listener, harness.state.clone(), stop.clone(), Drain::default()));
    for (request, answered) in [
        ("", ""),
        ("POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nX-", ""),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
        (
            "POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
            "HTTP/1.1 408",
        ),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Ends because the server closes the connection, and only then.
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(answered), "{request:?}: {answer}");
    }
    stop.cancel();
    server.await.unwrap();
}

/// A body that is announced and never sent.
fn withheld() -> axum::http::Request<axum::body::Body> {
    let nothing = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    axum::http::Request::post("/api/v1/auth/register")
        .header("content-type", "application/json")
        .header("content-length", "10")
        .body(axum::body::Body::from_stream(nothing))
        .unwrap()
}

#[tokio::test]
async fn a_withheld_body_gives_its_place_back() {
    let mut settings = settings();
    settings.read_within = Duration::from_millis(100);
    settings.max_in_flight = 1;
    let harness = Harness::with(settings).await;
    let products = async || harness.call("GET", "/api/v1/products", None, &[], None).await;
    // The first future is polled first and takes the only place.
    let (stuck, refused) = tokio::join!(harness.send(withheld()), products());
    refused.problem(503, "overloaded");
    assert_eq!(stuck.header("connection"), Some("close"));
    stuck.problem(408, "body_timeout");
    products().await.expect(200);
}

#[tokio::test]
async fn health_is_answered_when_nothing_else_is() {
    let mut settings = settings();
    settings.max_in_flight = 0;
    let harness = Harness::with(settings).await;
    harness.get("/api/v1/products", &harness.customer()).await.problem(503, "overloaded");
    for path in ["/health", "/health/live", "/health/ready"] {
        harness.call("GET", path, None, &[], None).await.expect(200);
    }
    harness.call("POST", "/health", None, &[], None).await.problem(405, "method_not_allowed");
    let token = harness.customer();
    harness.state.database().close().await;
    harness.advance(60);
    harness.get("/health", &token).await.expect(200);
}
