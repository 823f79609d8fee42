//! POST of an order.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use read_model::OrderRow;
use schemas::messages::{
    Address, CommandKind, FulfillmentStatus, Line, Order, OrderCommand, OrderStatus, PaymentStatus,
    PlaceOrder,
};
use schemas::{Currency, Micros, OrderId, UserId};
use serde_json::Value;
use uuid::Uuid;

use super::draft;
use super::execute::{Executed, Shown, execute};
use super::identity::{IdempotencyKey, InFlight, new_order_id};
use super::read::{answer_with, wait_until};
use crate::auth::Caller;
use crate::http::error::database_failed;
use crate::http::{
    ApiError, FieldErrors, JsonBody, Members, RequestContext, Unknown, contents, json,
};
use crate::state::AppState;

/// Scope of idempotency keys (with the user): both spellings are one route.
const ROUTE: &str = "POST /api/v1/orders";

/// `POST /api/v1/orders`: 201 once the lifecycle wrote `order.created` and the
/// read model shows it; 202 if that takes longer.
pub async fn place(
    State(state): State<AppState>,
    caller: Caller,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let key = IdempotencyKey::from_headers(&headers)?;
    let (owner, mut place) = read(&caller, &body)?;
    let user = caller.user_id.to_string();
    let order_id =
        key.as_ref().map_or_else(new_order_id, |key| key.order_id(state.order_key(), &user, ROUTE));
    place.idempotency_key_hash = key.as_ref().map(|key| key.hash(state.order_key(), &user, ROUTE));
    let _placing = key.is_some().then(|| InFlight::enter(&state, order_id)).transpose()?;

    let command = OrderCommand {
        command_id: Uuid::now_v7().to_string(),
        order_id,
        user_id: owner,
        actor: caller.actor(),
        created_at: state.now(),
        fingerprint: key.is_some().then(|| json::fingerprint(&body)),
        expected_version: None,
        kind: CommandKind::Place,
        place: Some(place),
        cancel: None,
        amend: None,
        set_status: None,
    };
    let wait = prefer_wait(&headers);
    match execute(&state, &command, &context, key.as_ref()).await? {
        Executed::Unconfirmed => Ok(unconfirmed(order_id, Some(OrderStatus::Pending))),
        Executed::Shown(shown) => {
            let Shown { replayed, row, mut watch } = *shown;
            let mut response = match wait {
                Some(seconds) => {
                    let row = wait_until(&state, row, &mut watch, seconds, |row| {
                        row.status != OrderStatus::Pending
                    })
                    .await?
                    .0;
                    created(order_id, row.version, row.document)
                }
                None => created(order_id, 1, first_version(&state, &command, row).await?),
            };
            if replayed {
                response.headers_mut().insert(
                    HeaderName::from_static("idempotent-replayed"),
                    HeaderValue::from_static("true"),
                );
            }
            if let Some(seconds) = wait
                && let Ok(applied) = HeaderValue::try_from(format!("wait={seconds}"))
            {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static("preference-applied"), applied);
            }
            Ok(response)
        }
    }
}

/// Checks everything the body alone shows.
fn read(caller: &Caller, body: &Value) -> Result<(UserId, PlaceOrder), ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(body, &mut errors);
    let members = Members::of_body(body)?;
    let owner: Option<UserId> = members.optional_parsed("user_id", "a UUID", &mut errors);
    let currency = draft::currency(&members, Currency::USD, &mut errors);
    let goods = draft::goods(&members, currency, Unknown::Ignored, &mut errors);
    let address: Option<Address> = members
        .required("shipping_address", &mut errors)
        .and_then(|value| draft::address(value, "shipping_address", Unknown::Ignored, &mut errors));
    let payment_method = members.text("payment_method", 1..=50, &mut errors).map(ToOwned::to_owned);
    let payment_token =
        members.optional_text("payment_token", 1..=200, &mut errors).map(ToOwned::to_owned);
    let metadata = members
        .get("metadata")
        .and_then(|value| draft::metadata(value, &mut errors))
        .unwrap_or_default();
    let channel = members.get("channel");
    if channel.is_some_and(|channel| channel.as_str() != Some("import")) {
        errors.add("channel", "invalid", "expected \"import\"");
    }
    errors.finish()?;
    let (Some(goods), Some(currency), Some(shipping_address), Some(payment_method)) =
        (goods, currency, address, payment_method)
    else {
        return Err(ApiError::invalid_field("", "invalid", "the request is incomplete"));
    };
    let owner = owner.unwrap_or(caller.user_id);
    if owner != caller.user_id && !caller.is_admin() {
        return Err(ApiError::forbidden(
            "Orders are placed for oneself; user_id names somebody else",
        ));
    }
    if (goods.overrides || channel.is_some()) && !caller.is_admin() {
        return Err(ApiError::forbidden("price_override and channel are for administrators"));
    }
    let metadata: BTreeMap<String, String> =
        metadata.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))).collect();
    let place = PlaceOrder {
        items: goods.items,
        total_minor: goods.total_minor,
        currency,
        shipping_address,
        payment_method,
        payment_token,
        metadata,
        channel: channel.and_then(Value::as_str).map(ToOwned::to_owned),
        idempotency_key_hash: None,
    };
    Ok((owner, place))
}

/// The order as it was at version 1, whatever has happened since: what the first
/// answer showed and every replay shows again.
async fn first_version(
    state: &AppState,
    command: &OrderCommand,
    row: OrderRow,
) -> Result<String, ApiError> {
    if row.version == 1 {
        return Ok(row.document);
    }
    let timeline = state
        .database()
        .timeline(command.order_id)
        .await
        .map_err(|error| database_failed(&error))?;
    let created_at = row.position.created_at;
    let updated_at = timeline
        .iter()
        .find(|entry| entry.version == 1)
        .map_or(created_at, |entry| Micros(entry.occurred_at));
    let Some(order) = pending(command, created_at, updated_at) else { return Ok(row.document) };
    Ok(order.to_json().to_string())
}

/// What the lifecycle makes of a `place` command.
fn pending(command: &OrderCommand, created_at: Micros, updated_at: Micros) -> Option<Order> {
    let place = command.place.as_ref()?;
    let items = place.items.iter().enumerate().map(|(index, line)| Line {
        line_id: (index + 1).to_string(),
        product_id: line.product_id.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        price_override: line.price_override,
    });
    Some(Order {
        order_id: command.order_id,
        user_id: command.user_id,
        status: OrderStatus::Pending,
        version: 1,
        created_at,
        updated_at,
        currency: place.currency,
        total_minor: place.total_minor,
        items: items.collect(),
        shipping_address: place.shipping_address.clone(),
        payment_method: place.payment_method.clone(),
        payment_token: None,
        metadata: place.metadata.clone(),
        channel: place.channel.clone(),
        warehouse: String::new(),
        payment_status: PaymentStatus::None,
        fulfillment_status: FulfillmentStatus::Unfulfilled,
        payments: Vec::new(),
        refunds: Vec::new(),
        shipments: Vec::new(),
        cancel_reason: None,
        failure_reason: None,
        failure_detail: None,
    })
}

/// Seconds of `Prefer: wait=N` (RFC 7240); above 30 counts as 30, what isn't
/// understood is ignored.
fn prefer_wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().strip_prefix("wait="))
        .find_map(|seconds| seconds.trim_matches('"').parse::<u64>().ok())
        .map(|seconds| seconds.min(30))
        .filter(|&seconds| seconds > 0)
}

fn created(order_id: OrderId, version: i64, document: String) -> Response {
    let mut response = answer_with(StatusCode::CREATED, version, document);
    response.headers_mut().insert(header::LOCATION, location(order_id));
    response
}

/// 202: the command is in the log and will be executed. `status` is what the
/// order is known to be in, if anything is known.
pub(super) fn unconfirmed(order_id: OrderId, status: Option<OrderStatus>) -> Response {
    let mut body = serde_json::json!({"order_id": order_id});
    if let Some(status) = status {
        body["status"] = status.as_str().into();
    }
    (StatusCode::ACCEPTED, [(header::LOCATION, location(order_id))], Json(body)).into_response()
}

fn location(order_id: OrderId) -> HeaderValue {
    HeaderValue::try_from(format!("/api/v1/orders/{order_id}"))
        .unwrap_or_else(|_| HeaderValue::from_static("/api/v1/orders"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefer_is_read_generously() {
        let wait = |text: &'static str| {
            prefer_wait(&HeaderMap::from_iter([(
                HeaderName::from_static("prefer"),
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(wait("wait=5"), Some(5));
        assert_eq!(wait("respond-async, wait=99"), Some(30));
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(wait("wait=0"), None);
        assert_eq!(wait("handling=strict"), None);
    }
}
