//! Registering and changing webhooks.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::messages::WebhookEndpoint;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::changes;
use super::draft::{self, Draft};
use crate::auth::Caller;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors, JsonBody, RequestContext};
use crate::state::AppState;

/// Secrets that sign at once: the new one and the one before.
const SECRETS: usize = 2;

/// `POST /api/v1/webhooks`: 201 with the secret, shown this once.
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let draft = draft::read(&body, true, &state.settings().webhook_targets).await?;
    let webhook_id = Uuid::now_v7().to_string();
    let secret = new_secret()?;
    let mut endpoint = WebhookEndpoint {
        user_id: caller.user_id,
        all_users: caller.is_admin(),
        url: String::new(),
        events: Vec::new(),
        description: None,
        ordered: false,
        sealed_secrets: vec![seal(&state, &webhook_id, secret.as_bytes())?],
        sealed_headers: None,
        enabled: true,
        disabled_reason: None,
        created_at: state.now(),
        webhook_id,
    };
    apply(&state, &mut endpoint, draft)?;
    changes::insert(&state, &endpoint, &context).await?;
    let mut answer = shown(&endpoint);
    answer["secret"] = secret.into();
    let location = format!("/api/v1/webhooks/{}", endpoint.webhook_id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(answer)).into_response())
}

/// `GET /api/v1/webhooks`.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let mut errors = FieldErrors::default();
    query.only(&["limit", "cursor"], &[], &mut errors);
    let limit = query.integer("limit", 1..=100, &mut errors).unwrap_or(50);
    errors.finish()?;
    let limit = usize::try_from(limit).unwrap_or(50);
    let scope = format!("webhooks|{}", caller.user_id);
    let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| state.cursors().open(&scope, cursor)).transpose()?;
    let mut rows = state.endpoints().list(caller.user_id, after.as_deref(), limit + 1);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = has_more
        .then(|| rows.last().map(|last| state.cursors().seal(&scope, &last.webhook_id)))
        .flatten();
    Ok(Json(
        json!({"data": rows.iter().map(shown).collect::<Vec<_>>(), "has_more": has_more, "next_cursor": next}),
    ))
}

/// `GET /api/v1/webhooks/{webhook_id}`.
pub async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find(&state, &caller, &webhook_id).map(|endpoint| Json(shown(&endpoint)))
}

/// `PATCH /api/v1/webhooks/{webhook_id}`.
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    find(&state, &caller, &webhook_id)?;
    let draft = draft::read(&body, false, &state.settings().webhook_targets).await?;
    let change = |endpoint: &mut WebhookEndpoint| apply(&state, endpoint, draft);
    changes::update(&state, &caller, &webhook_id, &context, change)
        .await
        .map(|endpoint| Json(shown(&endpoint)))
}

/// `DELETE /api/v1/webhooks/{webhook_id}`: 204.
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    Extension(context): Extension<RequestContext>,
) -> Result<StatusCode, ApiError> {
    changes::remove(&state, &caller, &webhook_id, &context).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/webhooks/{webhook_id}/rotate`: a new secret; the one before
/// goes on signing beside it until the next rotation.
pub async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    Extension(context): Extension<RequestContext>,
) -> Result<Json<Value>, ApiError> {
    let secret = new_secret()?;
    let change = |endpoint: &mut WebhookEndpoint| {
        endpoint.sealed_secrets.insert(0, seal(&state, &endpoint.webhook_id, secret.as_bytes())?);
        endpoint.sealed_secrets.truncate(SECRETS);
        Ok(())
    };
    let endpoint = changes::update(&state, &caller, &webhook_id, &context, change).await?;
    let mut answer = shown(&endpoint);
    answer["secret"] = secret.into();
    Ok(Json(answer))
}

/// The caller's registration.
///
/// # Errors
/// 404, the same for somebody else's; 422 for what is no id.
pub(super) fn find(
    state: &AppState,
    caller: &Caller,
    webhook_id: &str,
) -> Result<WebhookEndpoint, ApiError> {
    let id = Uuid::try_parse(webhook_id)
        .map_err(|_| ApiError::invalid_field("path.webhook_id", "invalid", "expected a UUID"))?;
    state
        .endpoints()
        .get(caller.user_id, &id.to_string())
        .ok_or_else(|| ApiError::not_found("Webhook not found"))
}

fn apply(state: &AppState, endpoint: &mut WebhookEndpoint, draft: Draft) -> Result<(), ApiError> {
    if let Some(url) = draft.url {
        endpoint.url = url;
    }
    if let Some(events) = draft.events {
        endpoint.events = events;
    }
    if let Some(description) = draft.description {
        endpoint.description = description;
    }
    if let Some(ordered) = draft.ordered {
        endpoint.ordered = ordered;
    }
    if let Some(headers) = draft.headers {
        let sealed = headers.map(|headers: Map<String, Value>| {
            seal(state, &endpoint.webhook_id, Value::Object(headers).to_string().as_bytes())
        });
        endpoint.sealed_headers = sealed.transpose()?;
    }
    if let Some(enabled) = draft.enabled {
        endpoint.enabled = enabled;
        endpoint.disabled_reason = (!enabled).then(|| "disabled by its owner".to_owned());
    }
    Ok(())
}

fn new_secret() -> Result<String, ApiError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(&error))?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

fn seal(state: &AppState, webhook_id: &str, plain: &[u8]) -> Result<String, ApiError> {
    state.sealer().seal(webhook_id, plain).map_err(|error| ApiError::internal(&error))
}

fn shown(endpoint: &WebhookEndpoint) -> Value {
    json!({
        "webhook_id": endpoint.webhook_id,
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "status": if endpoint.enabled { "enabled" } else { "disabled" },
        "disabled_reason": endpoint.disabled_reason,
        "ordering": if endpoint.ordered { "order" } else { "none" },
        "created_at": endpoint.created_at.to_rfc3339(),
    })
}
