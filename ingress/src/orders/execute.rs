//! One command from the log's acknowledgement to the answer.
//!
//! Invariant: waiters are registered before the append; a command that was
//! acknowledged is never reported as failed, only as not yet confirmed.

use read_model::{OrderRow, OrderWatch};
use schemas::OrderId;
use schemas::messages::{CommandOutcome, OrderCommand, OutcomeKind};
use tokio::time::Instant;

use super::identity::IdempotencyKey;
use crate::http::error::database_failed;
use crate::http::{ApiError, RequestContext};
use crate::state::AppState;

/// How a command ended, as far as this request waited.
#[derive(Debug)]
pub enum Executed {
    /// The read model shows the outcome's version or a later one.
    Shown(Box<Shown>),
    /// In the log, will be executed; no outcome in time.
    Unconfirmed,
}

/// An executed command as the read model shows it.
#[derive(Debug)]
pub struct Shown {
    /// True where the same request had been executed before.
    pub replayed: bool,
    /// The order now.
    pub row: OrderRow,
    /// For waiting on.
    pub watch: OrderWatch,
}

/// Appends the command and waits.
///
/// # Errors
/// 503 if the log didn't acknowledge; 404, 409, 412 or 422 as the lifecycle says.
pub async fn execute(
    state: &AppState,
    command: &OrderCommand,
    context: &RequestContext,
    key: Option<&IdempotencyKey>,
) -> Result<Executed, ApiError> {
    let deadline = Instant::now() + state.settings().confirm_within;
    let mut watch = state.database().applied().watch_order(command.order_id);
    let mut expected = state.outcomes().expect(&command.command_id);
    let mut headers: Vec<log::Header<'_>> = vec![("traceparent", context.traceparent.as_bytes())];
    headers.extend(key.map(|key| ("idempotency-key", key.as_str().as_bytes())));
    let order = command.order_id.to_string();
    state
        .sender()
        .send(&state.topics().orders, &order, Some(command), &headers, command.created_at)
        .await?;
    let Some(outcome) = expected.by(deadline).await else { return Ok(Executed::Unconfirmed) };
    refusal(&outcome)?;
    let row = shown(state, &mut watch, &outcome, deadline).await?;
    let replayed = outcome.kind == OutcomeKind::Replayed;
    Ok(row.map_or(Executed::Unconfirmed, |row| {
        Executed::Shown(Box::new(Shown { replayed, row, watch }))
    }))
}

/// What the lifecycle refused, as an answer.
fn refusal(outcome: &CommandOutcome) -> Result<(), ApiError> {
    match outcome.kind {
        OutcomeKind::Applied | OutcomeKind::Replayed => Ok(()),
        OutcomeKind::Conflict => Err(ApiError::key_reused()),
        OutcomeKind::NotAllowed => {
            Err(ApiError::transition(outcome.status, &outcome.allowed, outcome.detail.clone()))
        }
        OutcomeKind::VersionMismatch => Err(ApiError::version_mismatch(outcome.version)),
        OutcomeKind::NotFound => Err(ApiError::order_not_found()),
        OutcomeKind::Invalid => {
            let detail = outcome
                .detail
                .clone()
                .unwrap_or_else(|| "the request contradicts itself".to_owned());
            Err(ApiError::invalid_field("", "invalid", detail))
        }
    }
}

/// The order once the read model has the outcome's version; none if it doesn't
/// in time.
async fn shown(
    state: &AppState,
    watch: &mut OrderWatch,
    outcome: &CommandOutcome,
    deadline: Instant,
) -> Result<Option<OrderRow>, ApiError> {
    let there = |row: &OrderRow| row.version >= outcome.version;
    // A replayed command's version may have been applied before we registered.
    if outcome.kind == OutcomeKind::Replayed
        && let Some(row) = order(state, outcome.order_id).await?.filter(there)
    {
        return Ok(Some(row));
    }
    let reached = watch.reached(outcome.version, deadline).await;
    // Look once even after the deadline: a notification can be lost, a row can't.
    let row = order(state, outcome.order_id).await?.filter(there);
    if row.is_none() && reached.is_ok() {
        return Err(ApiError::internal(&format!(
            "order {} was applied at version {} but is not in the read model",
            outcome.order_id, outcome.version
        )));
    }
    Ok(row)
}

/// The order's row, whoever owns it.
///
/// # Errors
/// 503 while the database doesn't answer.
pub async fn order(state: &AppState, order_id: OrderId) -> Result<Option<OrderRow>, ApiError> {
    state.database().order(order_id).await.map_err(|error| database_failed(&error))
}
