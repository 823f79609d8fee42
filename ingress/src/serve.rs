//! Serving until told to stop.
//!
//! Shutdown order: readiness fails → (the load balancer's time to notice) →
//! stop accepting → requests in flight finish, up to `drain_within` → the
//! followers stop when the last handle on the state is dropped. Appends need no
//! flush of their own: a request ends only when its append was acknowledged.
//!
//! Invariant: a connection on which no whole request head arrives within
//! [`Settings::read_within`](crate::Settings::read_within) is closed, a new one
//! and an idle one alike, so nobody holds a socket by doing nothing.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::app::app;
use crate::state::AppState;

/// How a server stops.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Between failing readiness and closing the door.
    pub notice: Duration,
    /// For requests in flight.
    pub drain_within: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { notice: Duration::ZERO, drain_within: Duration::from_secs(25) }
    }
}

/// Serves on a bound listener until `shutdown` is cancelled, then drains.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: CancellationToken,
    drain: Drain,
) {
    let closing = CancellationToken::new();
    let door = accept(listener, app(state.clone()), state.settings().read_within, closing.clone());
    let stopper = async {
        shutdown.cancelled().await;
        tracing::info!("draining: readiness fails from now on");
        state.drain();
        tokio::time::sleep(drain.notice).await;
        closing.cancel();
        tokio::time::sleep(drain.drain_within).await;
        tracing::warn!("requests were still in flight when the time to drain was up");
    };
    tokio::select! {
        () = door => {}
        () = stopper => {}
    }
}

/// Lets callers in until `closing`, then waits for those inside.
async fn accept(
    mut listener: TcpListener,
    router: Router,
    read_within: Duration,
    closing: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(read_within);
    let connections = TaskTracker::new();
    loop {
        // axum's `accept` outlives failures: it waits while there are no file
        // descriptors left.
        let (stream, peer) = tokio::select! {
            () = closing.cancelled() => break,
            accepted = axum::serve::Listener::accept(&mut listener) => accepted,
        };
        connections.spawn(connection(http.clone(), stream, peer, router.clone(), closing.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One caller's requests, one after the other.
async fn connection(
    http: http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
) {
    // Answers are single small writes; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "a connection ended before its time");
    }
}
