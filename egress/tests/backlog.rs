//! Sockets that are behind: when it is nobody's fault, and when the client's.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/sockets.rs"]
mod sockets;

use std::sync::Arc;

use common::{entries, order, user};
use egress::feed::FeedEvent;
use sockets::{Server, Socket, server};
use tokio_tungstenite::tungstenite::Message;

/// Publishes the user's events `from..=to` in one go: on a runtime of one
/// thread no socket gets a turn between them, as on a machine without a free
/// core.
fn burst(server: &Server, from: i64, to: i64) {
    for entry in entries(user(1), order(1), from, to) {
        server.hub.publish(&Arc::new(FeedEvent::new(&entry)));
    }
}

/// A socket that certainly follows its user.
async fn following(server: &Server) -> Socket {
    let mut socket = server.user(1).await;
    socket.say("ping").await;
    assert_eq!(socket.next().await, Message::text("pong"));
    socket
}

#[tokio::test]
async fn who_reads_is_not_cut_off_however_many_events_come_at_once() {
    let server = server().await;
    let mut socket = following(&server).await;
    burst(&server, 1, 3_000);
    for offset in 1..=3_000 {
        assert_eq!(socket.json().await["offset"], offset);
    }
}
