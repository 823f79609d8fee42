//! The list of orders: `skip`/`limit` as the seed has it, or cursors.
//!
//! Invariant: a cursor is bound to the caller and the filters; pages neither
//! repeat nor leave out an order while others are placed.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use read_model::{OrderFilter, OrderPage, OrderPosition, OrderRow};
use schemas::messages::OrderStatus;
use schemas::{Micros, UserId};

use super::read::statuses;
use crate::auth::Caller;
use crate::http::error::database_failed;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors};
use crate::state::AppState;

const PARAMETERS: [&str; 7] =
    ["skip", "limit", "cursor", "status", "user_id", "created_after", "created_before"];

/// `GET /api/v1/orders`.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    query: Query,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    query.only(&PARAMETERS, &["status"], &mut errors);
    let skip = query.integer("skip", 0..=i64::from(u32::MAX), &mut errors);
    let limit = query.integer("limit", 1..=100, &mut errors).unwrap_or(10);
    let cursor = query.get("cursor");
    if cursor.is_some() && skip.is_some() {
        errors.add("query.skip", "conflict", "skip and cursor exclude each other");
    }
    let filter = filter(&caller, &query, &mut errors);
    errors.finish()?;
    let filter = filter?;
    let limit = u32::try_from(limit).unwrap_or(10);
    let Some(cursor) = cursor else {
        let skip = u32::try_from(skip.unwrap_or(0)).unwrap_or(u32::MAX);
        let rows = state
            .database()
            .orders(&filter, OrderPage::Skip { skip, limit })
            .await
            .map_err(|error| database_failed(&error))?;
        return Ok(json(array(&rows)));
    };
    let scope = scope(&caller, &filter);
    let position = if cursor.is_empty() {
        None
    } else {
        Some(position(&state.cursors().open(&scope, cursor)?)?)
    };
    let page = OrderPage::After { position, limit: limit + 1 };
    let mut rows =
        state.database().orders(&filter, page).await.map_err(|error| database_failed(&error))?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = has_more
        .then(|| rows.last())
        .flatten()
        .map(|last| state.cursors().seal(&scope, &text_of(&last.position)));
    let next = next.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
    Ok(json(format!(
        "{{\"data\":{},\"has_more\":{has_more},\"next_cursor\":{next}}}",
        array(&rows)
    )))
}

/// Own orders; an administrator's choice. Another's: 403.
fn filter(
    caller: &Caller,
    query: &Query,
    errors: &mut FieldErrors,
) -> Result<OrderFilter, ApiError> {
    let named: Option<UserId> = query.parsed("user_id", "a UUID", errors);
    let user_id = match named {
        Some(user) if user != caller.user_id && !caller.is_admin() => {
            return Err(ApiError::forbidden("Orders of other users are for administrators"));
        }
        Some(user) => Some(user),
        None if caller.is_admin() => None,
        None => Some(caller.user_id),
    };
    Ok(OrderFilter {
        user_id,
        statuses: statuses(query, "status", errors),
        created_after: query.time("created_after", errors),
        created_before: query.time("created_before", errors),
        stuck_since: None,
    })
}

/// What a cursor is bound to.
fn scope(caller: &Caller, filter: &OrderFilter) -> String {
    let mut statuses: Vec<&str> =
        filter.statuses.iter().copied().map(OrderStatus::as_str).collect();
    statuses.sort_unstable();
    format!(
        "orders|{}|{:?}|{statuses:?}|{:?}|{:?}",
        caller.user_id, filter.user_id, filter.created_after, filter.created_before
    )
}

fn text_of(position: &OrderPosition) -> String {
    format!("{}.{}.{}", position.created_at.0, position.arrival, position.order_id)
}

fn position(text: &str) -> Result<OrderPosition, ApiError> {
    let mut parts = text.splitn(3, '.');
    let mut next = || parts.next().ok_or_else(ApiError::bad_cursor);
    let created_at = Micros(next()?.parse().map_err(|_| ApiError::bad_cursor())?);
    let arrival = next()?.parse().map_err(|_| ApiError::bad_cursor())?;
    let order_id = next()?.parse().map_err(|_| ApiError::bad_cursor())?;
    Ok(OrderPosition { created_at, arrival, order_id })
}

/// The documents as they stand in the read model: nothing is parsed again.
fn array(rows: &[OrderRow]) -> String {
    let mut text =
        String::with_capacity(2 + rows.iter().map(|row| row.document.len() + 1).sum::<usize>());
    text.push('[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&row.document);
    }
    text.push(']');
    text
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
