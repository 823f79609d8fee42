//! What was sent, and asking the dispatcher to send again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use read_model::deliveries::DeliveryRow;
use schemas::Micros;
use schemas::messages::{WebhookCommand, WebhookCommandKind};
use serde_json::{Value, json};
use uuid::Uuid;

use super::routes::find;
use crate::auth::Caller;
use crate::http::error::database_failed;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors, JsonBody, Members, RequestContext};
use crate::state::AppState;

/// `GET /api/v1/webhooks/{webhook_id}/deliveries`: newest first.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let endpoint = find(&state, &caller, &webhook_id)?;
    let mut errors = FieldErrors::default();
    query.only(&["limit", "cursor"], &[], &mut errors);
    let limit = query.integer("limit", 1..=100, &mut errors).unwrap_or(50);
    errors.finish()?;
    let limit = usize::try_from(limit).unwrap_or(50);
    let scope = format!("deliveries|{}|{}", caller.user_id, endpoint.webhook_id);
    let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let after =
        cursor.map(|cursor| position(&state.cursors().open(&scope, cursor)?)).transpose()?;
    let mut rows = state
        .database()
        .deliveries(&endpoint.webhook_id, after, limit as u32 + 1)
        .await
        .map_err(|error| database_failed(&error))?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = has_more
        .then(|| {
            rows.last().map(|last| {
                state.cursors().seal(&scope, &format!("{}.{}", last.created_at, last.delivery_id))
            })
        })
        .flatten();
    Ok(Json(
        json!({"data": rows.iter().map(shown).collect::<Vec<_>>(), "has_more": has_more, "next_cursor": next}),
    ))
}

/// `POST /api/v1/webhooks/{webhook_id}/test`: 202; a `webhook.test` is on its way.
pub async fn test(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    Extension(context): Extension<RequestContext>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let endpoint = find(&state, &caller, &webhook_id)?;
    ask(&state, &endpoint.webhook_id, WebhookCommandKind::Test, None, None, &context).await
}

/// `POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry`: 202.
pub async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Path((webhook_id, delivery_id)): Path<(String, String)>,
    Extension(context): Extension<RequestContext>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let endpoint = find(&state, &caller, &webhook_id)?;
    let id = Uuid::try_parse(&delivery_id)
        .map_err(|_| ApiError::invalid_field("path.delivery_id", "invalid", "expected a UUID"))?;
    let found = state
        .database()
        .delivery(&endpoint.webhook_id, id)
        .await
        .map_err(|error| database_failed(&error))?;
    let found = found.ok_or_else(|| ApiError::not_found("Delivery not found"))?;
    ask(
        &state,
        &endpoint.webhook_id,
        WebhookCommandKind::Retry,
        Some(found.delivery_id.to_string()),
        None,
        &context,
    )
    .await
}

/// `POST /api/v1/webhooks/{webhook_id}/recover` `{since}`: 202; what failed since
/// is sent again.
pub async fn recover(
    State(state): State<AppState>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let endpoint = find(&state, &caller, &webhook_id)?;
    let mut errors = FieldErrors::default();
    let members = Members::of_body(&body)?;
    members.only(&["since"], &mut errors);
    let since = members.text("since", 1..=40, &mut errors).and_then(|text| {
        let since = Micros::parse_rfc3339(text).ok();
        if since.is_none() {
            errors.add(
                "since",
                "invalid",
                "expected an RFC 3339 time such as 2026-02-17T12:00:00Z",
            );
        }
        since
    });
    errors.finish()?;
    ask(&state, &endpoint.webhook_id, WebhookCommandKind::Recover, None, since, &context).await
}

async fn ask(
    state: &AppState,
    webhook_id: &str,
    kind: WebhookCommandKind,
    delivery_id: Option<String>,
    since: Option<Micros>,
    context: &RequestContext,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let now = state.now();
    let command = WebhookCommand {
        command_id: Uuid::now_v7().to_string(),
        webhook_id: webhook_id.to_owned(),
        kind,
        delivery_id,
        since,
        created_at: now,
    };
    let headers = [("traceparent", context.traceparent.as_bytes())];
    state
        .sender()
        .send(&state.topics().webhook_commands, webhook_id, Some(&command), &headers, now)
        .await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"webhook_id": webhook_id, "status": "accepted"}))))
}

fn position(text: &str) -> Result<(i64, Uuid), ApiError> {
    let (created_at, id) = text.split_once('.').ok_or_else(ApiError::bad_cursor)?;
    Ok((
        created_at.parse().map_err(|_| ApiError::bad_cursor())?,
        id.parse().map_err(|_| ApiError::bad_cursor())?,
    ))
}

fn shown(row: &DeliveryRow) -> Value {
    json!({
        "delivery_id": row.delivery_id,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "order_id": row.order_id,
        "status": row.status.as_str(),
        "attempts": row.attempts,
        "created_at": Micros(row.created_at).to_rfc3339(),
        "next_attempt_at": row.next_attempt_at.map(|at| Micros(at).to_rfc3339()),
    })
}
