//! PATCH of an order: a JSON merge patch (RFC 7396) of `shipping_address`,
//! `items` with the new `total_amount`, and `metadata`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use schemas::Currency;
use schemas::messages::{AmendOrder, CommandKind};
use serde_json::Value;
use tokio::time::Instant;

use super::cancel::change;
use super::read::own;
use super::{OrderPath, draft};
use crate::auth::Caller;
use crate::http::preconditions::expected_version;
use crate::http::{
    ApiError, FieldErrors, JsonBody, Members, RequestContext, Unknown, contents, json,
};
use crate::state::AppState;

/// Times a merge is done again because the order had changed meanwhile.
const ATTEMPTS: u32 = 5;

/// `PATCH /api/v1/orders/{order_id}`: 200 with the order and its ETag.
///
/// What was merged with the order as it was read is sent on the condition that
/// the order still is that version, or a patch of the street would undo a patch
/// of the city made at the same time. The caller didn't ask for that condition,
/// so it costs another merge, not a 412.
pub async fn amend(
    State(state): State<AppState>,
    caller: Caller,
    OrderPath(order_id): OrderPath,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(patch): JsonBody,
) -> Result<Response, ApiError> {
    let expected_version = expected_version(&headers, caller.is_admin());
    let deadline = Instant::now() + state.settings().confirm_within;
    for _ in 0..ATTEMPTS {
        let mut watch = state.database().applied().watch_order(order_id);
        let row = own(&state, &caller, order_id).await?;
        let asked = expected_version.clone()?;
        let current =
            json::parse(row.document.as_bytes()).map_err(|error| ApiError::internal(&error))?;
        let Read { amend, merged } = read(&caller, &patch, &current)?;
        let mut command = change(&state, &caller, order_id, row.user_id, CommandKind::Amend);
        command.expected_version = asked.or(merged.then_some(row.version));
        command.amend = Some(amend);
        let answer = super::cancel::answer(&state, &command, &context, Some(row.status)).await;
        let current = answer.as_ref().err().and_then(ApiError::current_version);
        let Some(current) = current.filter(|_| asked.is_none()) else { return answer };
        if watch.reached(current, deadline).await.is_err() {
            break;
        }
    }
    Err(ApiError::conflict(
        "changed_meanwhile",
        "The order keeps changing; read it and repeat with its ETag in If-Match",
    ))
}

/// What a patch makes of an order.
struct Read {
    amend: AmendOrder,
    /// True if the result depends on the order as it was read.
    merged: bool,
}

/// What the patch makes of the order as it was read.
fn read(caller: &Caller, patch: &Value, current: &Value) -> Result<Read, ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(patch, &mut errors);
    let members = Members::of_body(patch)?;
    members.only(&["shipping_address", "items", "total_amount", "metadata"], &mut errors);
    for name in ["shipping_address", "items", "total_amount"] {
        if members.raw(name).is_some_and(Value::is_null) {
            errors.add(name, "required", "can be replaced, not removed");
        }
    }
    let currency: Option<Currency> =
        current["currency"].as_str().and_then(|code| code.parse().ok());
    let mut amend = AmendOrder::default();
    let mut merged = false;
    let goods_named = members.get("items").is_some() || members.get("total_amount").is_some();
    if goods_named
        && let Some(goods) = draft::goods(&members, currency, Unknown::Refused, &mut errors)
    {
        if goods.overrides && !caller.is_admin() {
            errors.add("items", "forbidden", "price_override is for administrators");
        }
        amend.total_minor = Some(goods.total_minor);
        amend.items = Some(goods.items);
    }
    if let Some(address) = members.get("shipping_address") {
        merged = true;
        let mut whole = current["shipping_address"].clone();
        merge(&mut whole, address);
        amend.shipping_address =
            draft::address(&whole, "shipping_address", Unknown::Refused, &mut errors);
    }
    match members.raw("metadata") {
        Some(Value::Null) => {
            merged = true;
            let names = current["metadata"]
                .as_object()
                .into_iter()
                .flat_map(|members| members.keys().cloned());
            amend.metadata = names.map(|name| (name, None)).collect();
        }
        Some(value) => {
            merged |=
                value.as_object().is_some_and(|members| members.values().any(Value::is_object));
            amend.metadata = merged_metadata(value, &current["metadata"], &mut errors);
        }
        None => {}
    }
    errors.finish()?;
    Ok(Read { amend, merged })
}

/// Metadata members are kept whole, so nested objects are merged here.
fn merged_metadata(
    patch: &Value,
    current: &Value,
    errors: &mut FieldErrors,
) -> std::collections::BTreeMap<String, Option<String>> {
    let mut whole = patch.clone();
    if let (Value::Object(members), Value::Object(current)) = (&mut whole, current) {
        for (name, value) in members.iter_mut().filter(|(_, value)| value.is_object()) {
            let mut merged = current.get(name).cloned().unwrap_or(Value::Null);
            merge(&mut merged, value);
            *value = merged;
        }
    }
    draft::metadata(&whole, errors).unwrap_or_default()
}

/// RFC 7396 §2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches_are_rfc_7396s() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!(["a"]), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target;
            merge(&mut merged, &patch);
            assert_eq!(merged, result);
        }
    }
}
