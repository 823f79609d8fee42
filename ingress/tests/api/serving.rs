//! The server on a socket: draining, and who the peer is.

use std::time::Duration;

use ingress::{Drain, serve};
use schemas::messages::OrderStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::harness::Harness;

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
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the door is closed");
}
