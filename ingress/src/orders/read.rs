//! GET of one order, its timeline, and waiting for a status.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use read_model::{OrderRow, OrderWatch};
use schemas::messages::OrderStatus;
use schemas::{Micros, OrderId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::OrderPath;
use super::execute::order;
use crate::auth::Caller;
use crate::http::error::database_failed;
use crate::http::preconditions::{etag, not_modified};
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors};
use crate::state::AppState;

/// `GET /api/v1/orders/{order_id}`.
pub async fn read(
    State(state): State<AppState>,
    caller: Caller,
    OrderPath(order_id): OrderPath,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    query.only(&["wait_for", "timeout"], &["wait_for"], &mut errors);
    let wanted = statuses(&query, "wait_for", &mut errors);
    let timeout = query.integer("timeout", 0..=30, &mut errors).unwrap_or(10);
    errors.finish()?;

    let mut watch = state.database().applied().watch_order(order_id);
    let mut row = own(&state, &caller, order_id).await?;
    if !wanted.is_empty() {
        let seconds = u64::try_from(timeout).unwrap_or(0);
        row = wait_for(&state, row, &mut watch, seconds, &wanted).await?;
    }
    if not_modified(&headers, row.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(row.version))]).into_response());
    }
    Ok(answer_with(StatusCode::OK, row.version, row.document))
}

/// `GET /api/v1/orders/{order_id}/timeline`.
pub async fn timeline(
    State(state): State<AppState>,
    caller: Caller,
    OrderPath(order_id): OrderPath,
) -> Result<Json<Value>, ApiError> {
    own(&state, &caller, order_id).await?;
    let entries =
        state.database().timeline(order_id).await.map_err(|error| database_failed(&error))?;
    let data: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            let mut shown = json!({
                "event_id": entry.event_id,
                "event_type": entry.event_type,
                "status": entry.status,
                "version": entry.version,
                "occurred_at": Micros(entry.occurred_at).to_rfc3339(),
                "actor": {"type": entry.actor_type, "id": entry.actor_id},
            });
            if let Some(code) = entry.reason_code {
                shown["reason"] = json!({"code": code, "detail": entry.reason_detail});
            }
            shown
        })
        .collect();
    Ok(Json(json!({"data": data})))
}

/// The order if the caller may see it.
///
/// # Errors
/// 404, the same for what doesn't exist and what is somebody else's.
pub(super) async fn own(
    state: &AppState,
    caller: &Caller,
    order_id: OrderId,
) -> Result<OrderRow, ApiError> {
    let row = order(state, order_id).await?;
    row.filter(|row| caller.is_admin() || row.user_id == caller.user_id)
        .ok_or_else(ApiError::order_not_found)
}

/// Waits, woken by the sink, until `done` or the time is up; the order then, and
/// whether it is done.
pub(super) async fn wait_until(
    state: &AppState,
    mut row: OrderRow,
    watch: &mut OrderWatch,
    seconds: u64,
    done: impl Fn(&OrderRow) -> bool,
) -> Result<(OrderRow, bool), ApiError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !done(&row) {
        if watch.reached(row.version + 1, deadline).await.is_err() {
            let now = order(state, row.order_id()).await?.unwrap_or(row);
            let reached = done(&now);
            return Ok((now, reached));
        }
        row = order(state, row.order_id()).await?.unwrap_or(row);
    }
    Ok((row, true))
}

/// Waits until the order has, or has had, one of these statuses; the order then.
async fn wait_for(
    state: &AppState,
    mut row: OrderRow,
    watch: &mut OrderWatch,
    seconds: u64,
    wanted: &[OrderStatus],
) -> Result<OrderRow, ApiError> {
    let order_id = row.order_id();
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if wanted.contains(&row.status) {
            return Ok(row);
        }
        if has_been(state, order_id, wanted).await? {
            // The timeline may be ahead of the row it was compared with.
            return Ok(order(state, order_id).await?.unwrap_or(row));
        }
        let moved = watch.reached(row.version + 1, deadline).await;
        row = order(state, order_id).await?.unwrap_or(row);
        if moved.is_err()
            && !wanted.contains(&row.status)
            && !has_been(state, order_id, wanted).await?
        {
            let status = row.status.as_str();
            let detail = format!("The order is still {status} after {seconds} s");
            return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "wait_timed_out", detail)
                .with_member("current_status", status.into()));
        }
    }
}

/// True if the order has, or has had, one of these.
async fn has_been(
    state: &AppState,
    order_id: OrderId,
    wanted: &[OrderStatus],
) -> Result<bool, ApiError> {
    let timeline =
        state.database().timeline(order_id).await.map_err(|error| database_failed(&error))?;
    Ok(timeline.iter().any(|entry| wanted.iter().any(|status| status.as_str() == entry.status)))
}

/// Statuses of a parameter that may be repeated and may hold a list.
pub(super) fn statuses(query: &Query, name: &str, errors: &mut FieldErrors) -> Vec<OrderStatus> {
    let mut read = Vec::new();
    for text in query.all(name).flat_map(|value| value.split(',')) {
        match OrderStatus::ALL.into_iter().find(|status| status.as_str() == text) {
            Some(status) if !read.contains(&status) => read.push(status),
            Some(_) => {}
            None => errors.add(
                format!("query.{name}"),
                "invalid",
                "expected an order status such as pending",
            ),
        }
    }
    read
}

/// An order's document as it stands in the read model, with its ETag.
pub(super) fn answer_with(status: StatusCode, version: i64, document: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ETAG, etag(version)),
    ];
    (status, headers, document).into_response()
}
