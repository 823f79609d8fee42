//! A receiver to try webhooks with: verifies and reports
//! (`orders webhooks listen`).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::signature::{Secret, verify};
use crate::clock::{Clock, SystemClock};
use crate::error::EgressError;

/// One request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// None where no secret was given; else what verification said.
    pub verified: Option<Result<(), String>>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match &self.verified {
            None => "not verified (no secret given)".to_owned(),
            Some(Ok(())) => "signature ok".to_owned(),
            Some(Err(why)) => format!("REFUSED: {why}"),
        };
        write!(f, "{} {verdict}\n{}", self.id, String::from_utf8_lossy(&self.body))
    }
}

/// Told of every request.
pub type Report = Arc<dyn Fn(Received) + Send + Sync>;

#[derive(Clone)]
struct Receiver {
    secret: Option<Secret>,
    report: Report,
}

/// Receives until `shutdown`: 204 for what verifies (or when there is no
/// secret to verify with), 400 for the rest.
pub async fn run_listen(
    listener: TcpListener,
    secret: Option<Secret>,
    report: Report,
    shutdown: CancellationToken,
) -> Result<(), EgressError> {
    let app = Router::new().fallback(any(receive)).with_state(Receiver { secret, report });
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(|source| EgressError::Server { address: "webhooks listen".to_owned(), source })
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (id, timestamp, signatures) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let now = SystemClock.now().0.div_euclid(1_000_000);
    let verified = receiver.secret.as_ref().map(|secret| {
        verify(secret, &id, &timestamp, &signatures, &body, now).map_err(|why| why.to_string())
    });
    let status = if matches!(verified, Some(Err(_))) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::NO_CONTENT
    };
    (receiver.report)(Received { id, timestamp, verified, body: body.to_vec() });
    status
}
