//! An administrator moves an order along the transition table.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use schemas::messages::{CommandKind, OrderStatus, SetStatus};
use schemas::transitions;
use serde_json::{Value, json};

use super::OrderPath;
use super::cancel::{answer, change};
use super::read::own;
use crate::auth::Admin;
use crate::http::preconditions::expected_version;
use crate::http::{ApiError, FieldErrors, JsonBody, Members, RequestContext, contents};
use crate::state::AppState;

/// `POST /api/v1/admin/orders/{order_id}/status`.
pub async fn set(
    State(state): State<AppState>,
    Admin(caller): Admin,
    OrderPath(order_id): OrderPath,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let set_status = read(&body)?;
    let expected_version = expected_version(&headers, false)?;
    let row = own(&state, &caller, order_id).await?;
    let mut command = change(&state, &caller, order_id, row.user_id, CommandKind::SetStatus);
    command.expected_version = expected_version;
    command.set_status = Some(set_status);
    answer(&state, &command, &context, Some(row.status)).await
}

/// `GET /api/v1/order-states`: the transition table as it is decided by.
pub async fn states() -> Json<Value> {
    let states: Vec<Value> =
        OrderStatus::ALL.into_iter().map(|status| json!({"status": status, "terminal": status.is_terminal(), "next_states": transitions::allowed_from(status)})).collect();
    Json(json!({"states": states, "transitions": transitions::TABLE}))
}

/// `tracking` is a number, or `{tracking_number, carrier?}`.
fn read(body: &Value) -> Result<SetStatus, ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(body, &mut errors);
    let members = Members::of_body(body)?;
    members.only(&["status", "reason", "tracking"], &mut errors);
    let status = members.text("status", 1..=20, &mut errors).and_then(|text| {
        let status = OrderStatus::ALL.into_iter().find(|status| status.as_str() == text);
        if status.is_none() {
            errors.add("status", "invalid", "expected an order status such as shipped");
        }
        status
    });
    let reason = members.optional_text("reason", 1..=200, &mut errors).map(ToOwned::to_owned);
    let (tracking_number, carrier) = match members.get("tracking") {
        Some(Value::Object(_)) => {
            let tracking = members
                .get("tracking")
                .and_then(|value| Members::of(value, "tracking", &mut errors));
            tracking.map_or((None, None), |tracking| {
                tracking.only(&["tracking_number", "carrier"], &mut errors);
                (
                    tracking.text("tracking_number", 1..=100, &mut errors),
                    tracking.optional_text("carrier", 1..=100, &mut errors),
                )
            })
        }
        _ => (members.optional_text("tracking", 1..=100, &mut errors), None),
    };
    errors.finish()?;
    let Some(status) = status else {
        return Err(ApiError::invalid_field("status", "required", "is required"));
    };
    Ok(SetStatus {
        status,
        reason,
        tracking_number: tracking_number.map(ToOwned::to_owned),
        carrier: carrier.map(ToOwned::to_owned),
    })
}
