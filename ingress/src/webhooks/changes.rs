//! Writing registrations.
//!
//! Invariants: a change reads and writes one registration under its lock, so two
//! changes in this process can't undo each other; only an administrator's
//! registration hears of everybody's orders, and only while its owner is one.

use schemas::UserId;
use schemas::messages::WebhookEndpoint;
use tokio::sync::MutexGuard;

use super::routes::find;
use crate::auth::{Caller, Role};
use crate::http::error::database_failed;
use crate::http::{ApiError, RequestContext};
use crate::state::AppState;

/// Changes the caller's registration as it is now; what it is then.
///
/// # Errors
/// 404; 503 if the log or this instance's table doesn't follow; what `change` says.
pub(super) async fn update(
    state: &AppState,
    caller: &Caller,
    webhook_id: &str,
    context: &RequestContext,
    change: impl FnOnce(&mut WebhookEndpoint) -> Result<(), ApiError>,
) -> Result<WebhookEndpoint, ApiError> {
    let _alone = alone(state, caller, webhook_id).await?;
    let mut endpoint = find(state, caller, webhook_id)?;
    change(&mut endpoint)?;
    endpoint.all_users &= caller.is_admin();
    append(state, &endpoint.webhook_id, Some(&endpoint), context).await?;
    Ok(endpoint)
}

/// Writes a new registration. If its owner was demoted while it was made, it
/// hears of the owner's orders only.
///
/// # Errors
/// 503.
pub(super) async fn insert(
    state: &AppState,
    endpoint: &WebhookEndpoint,
    context: &RequestContext,
) -> Result<(), ApiError> {
    append(state, &endpoint.webhook_id, Some(endpoint), context).await?;
    if endpoint.all_users {
        // Asked after the write: a demotion made before is seen here, a later
        // one finds the registration.
        let owner = state.accounts().get(endpoint.user_id).await;
        let owner = owner.map_err(|error| database_failed(&error))?;
        if owner.is_some_and(|owner| owner.role != Role::Admin) {
            confine(state, endpoint.user_id, context).await?;
        }
    }
    Ok(())
}

/// Deletes the caller's registration.
///
/// # Errors
/// 404, 503.
pub(super) async fn remove(
    state: &AppState,
    caller: &Caller,
    webhook_id: &str,
    context: &RequestContext,
) -> Result<(), ApiError> {
    let _alone = alone(state, caller, webhook_id).await?;
    let endpoint = find(state, caller, webhook_id)?;
    append(state, &endpoint.webhook_id, None, context).await
}

/// Confines a user's registrations to the user's own orders, after a demotion.
///
/// # Errors
/// 503.
pub(crate) async fn confine(
    state: &AppState,
    owner: UserId,
    context: &RequestContext,
) -> Result<(), ApiError> {
    for webhook_id in state.endpoints().hearing_everybody(owner) {
        let _alone = state.endpoints().lock(&webhook_id).await;
        let Some(mut endpoint) = state.endpoints().get(owner, &webhook_id) else { continue };
        endpoint.all_users = false;
        append(state, &webhook_id, Some(&endpoint), context).await?;
    }
    Ok(())
}

/// The lock of the caller's registration, whichever way its id is spelt.
async fn alone<'a>(
    state: &'a AppState,
    caller: &Caller,
    webhook_id: &str,
) -> Result<MutexGuard<'a, ()>, ApiError> {
    let found = find(state, caller, webhook_id)?;
    Ok(state.endpoints().lock(&found.webhook_id).await)
}

/// Appends and waits until this instance's own table has read it back.
async fn append(
    state: &AppState,
    webhook_id: &str,
    endpoint: Option<&WebhookEndpoint>,
    context: &RequestContext,
) -> Result<(), ApiError> {
    let headers = [("traceparent", context.traceparent.as_bytes())];
    let place = state
        .sender()
        .send(&state.topics().endpoints, webhook_id, endpoint, &headers, state.now())
        .await?;
    if !state.endpoints().read(place, state.settings().confirm_within).await {
        return Err(ApiError::unavailable(
            "not_confirmed",
            "The change was recorded but does not show yet; read the webhook in a moment",
        ));
    }
    Ok(())
}
