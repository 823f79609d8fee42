//! The realtime feed over WebSocket, on a port of its own (`contract.md` §2).
//!
//! Invariants: every event after a confirmed position is sent in order, or the
//! socket is closed with a code that says where to go on; a client is cut off
//! for being slow only if it is: a socket that is behind takes what it missed
//! from the feed's history, and nothing a client does makes this process hold
//! more than that.

mod auth;
#[cfg(test)]
mod documented;
pub(crate) mod limits;
mod opening;
mod protocol;
mod redis_leases;
mod session;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use read_model::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use auth::{Caller, TokenRefused, TokenVerifier};
pub use limits::{Leases, LocalLeases, keep_leases};
pub use redis_leases::RedisLeases;

use crate::clock::{Clock, SystemClock};
use crate::error::EgressError;
use crate::feed::Hub;

/// How sockets are served.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// `CORS_ALLOWED_ORIGINS`; `*` allows all. Requests without `Origin`
    /// (programs) always pass.
    pub allowed_origins: Vec<String>,
    /// Time for the first message to bring a token.
    pub auth_within: Duration,
    /// A client that takes nothing of what is sent for so long is too slow.
    pub send_within: Duration,
    /// Largest message from a client, in bytes.
    pub max_message: usize,
    /// Subscriptions of one socket.
    pub max_subscriptions: usize,
    /// Messages of one client per `message_window`.
    pub max_messages: usize,
    /// See `max_messages`.
    pub message_window: Duration,
    /// A ping goes out this often; silence for three of them ends the socket.
    pub ping_every: Duration,
    /// Tokens are verified again this often (revocation).
    pub verify_every: Duration,
    /// Time that sockets have to go when the process stops.
    pub drain: Duration,
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            auth_within: Duration::from_secs(5),
            send_within: Duration::from_secs(10),
            max_message: 64 * 1024,
            max_subscriptions: 100,
            max_messages: 300,
            message_window: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            verify_every: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// What the sockets of one process share.
#[derive(Clone)]
pub(crate) struct Shared {
    hub: Arc<Hub>,
    database: Database,
    verifier: Arc<dyn TokenVerifier>,
    leases: Arc<dyn Leases>,
    settings: Arc<WebSocketSettings>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    sockets: TaskTracker,
}

/// What the websocket role is given.
pub struct WebSocketParts {
    /// Fed by [`crate::feed::run_feed`] in this process.
    pub hub: Arc<Hub>,
    /// Snapshots and owners.
    pub database: Database,
    /// Who may come in: the ingress's rules, passed by the composition root.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Who counts sockets per user: [`LocalLeases`] or [`RedisLeases`], kept
    /// by [`keep_leases`].
    pub leases: Arc<dyn Leases>,
}

impl std::fmt::Debug for WebSocketParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocketParts(…)")
    }
}

/// Serves on a bound listener until `shutdown`; then closes all sockets with
/// 1012, so that clients come back to another instance and resume there.
pub async fn run_websocket(
    listener: TcpListener,
    parts: WebSocketParts,
    settings: WebSocketSettings,
    shutdown: CancellationToken,
) -> Result<(), EgressError> {
    let address = listener
        .local_addr()
        .map_or_else(|_| "websocket".to_owned(), |address| address.to_string());
    tokio::select! {
        () = parts.hub.ready() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    tracing::info!(%address, "websocket server listens");
    let drain = settings.drain;
    let shared = Shared {
        hub: parts.hub,
        database: parts.database,
        verifier: parts.verifier,
        leases: parts.leases,
        settings: Arc::new(settings),
        clock: Arc::new(SystemClock),
        shutdown: shutdown.clone(),
        sockets: TaskTracker::new(),
    };
    let sockets = shared.sockets.clone();
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let app = upgrade::router(shared);
    let served =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    sockets.close();
    if tokio::time::timeout(drain, sockets.wait()).await.is_err() {
        tracing::warn!(left = sockets.len(), "sockets did not close in time");
    }
    served.map_err(|source| EgressError::Server { address, source })
}
