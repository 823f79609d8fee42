//! Is the process alive, and should it get requests?
//!
//! Invariant: liveness asks nothing outside the process; readiness asks the log
//! and the database with a time limit; Redis being down only degrades.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::state::AppState;

const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /` (R236).
pub async fn root() -> Json<Value> {
    Json(json!({"message": "E-Commerce Order System API", "version": "1.0.0"}))
}

/// `GET /health`, `/health/live`: 200 while the process runs.
pub async fn live(State(state): State<AppState>) -> Json<Value> {
    let parts = json!({
        "answers": up(state.following()),
        "limits": if state.limiter().degraded() { "degraded" } else { "up" },
    });
    Json(json!({"status": if state.draining() { "draining" } else { "ok" }, "parts": parts}))
}

/// `GET /health/ready`: 503 while starting or draining, or the log or database
/// can't be reached.
pub async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    let database = async {
        matches!(tokio::time::timeout(PATIENCE, state.database().ping()).await, Ok(Ok(())))
    };
    let log = async {
        let log = state.log();
        let asked = tokio::task::spawn_blocking(move || {
            log.admin().and_then(|admin| admin.log_id()).is_ok()
        });
        matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(true)))
    };
    let (database, log) = tokio::join!(database, log);
    let log = log && state.following();
    let degraded = state.limiter().degraded();
    let reached = database && log;
    let (draining, preparing) = (state.draining(), state.preparing());
    let ready = reached && !draining && !preparing;
    let status = match (reached, draining, preparing, degraded) {
        (_, true, ..) => "draining",
        (false, ..) => "unavailable",
        (true, _, true, _) => "starting",
        (true, _, _, false) => "ready",
        (true, _, _, true) => "degraded",
    };
    let redis = if degraded { "down" } else { "up" };
    let body = json!({"status": status, "parts": {"log": up(log), "database": up(database), "redis": redis}});
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

fn up(it_is: bool) -> &'static str {
    if it_is { "up" } else { "down" }
}
