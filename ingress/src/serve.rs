//! Serving until told to stop.
//!
//! Shutdown order: readiness fails → (the load balancer's time to notice) →
//! stop accepting → requests in flight finish, up to `drain_within` → the
//! followers stop when the last handle on the state is dropped. Appends need no
//! flush of their own: a request ends only when its append was acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: CancellationToken,
    drain: Drain,
) -> std::io::Result<()> {
    let closing = CancellationToken::new();
    let service = app(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(closing.clone().cancelled_owned());
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
        served = server.into_future() => served,
        () = stopper => Ok(()),
    }
}
