//! Calling an order off: POST …/cancel and its alias DELETE.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemas::messages::{CancelOrder, CommandKind, OrderCommand, OrderStatus};
use schemas::{OrderId, UserId};
use serde_json::Value;
use uuid::Uuid;

use super::OrderPath;
use super::execute::{Executed, execute, order};
use super::place::unconfirmed;
use super::read::answer_with;
use crate::auth::Caller;
use crate::http::preconditions::expected_version;
use crate::http::{ApiError, FieldErrors, Members, OptionalJsonBody, RequestContext, contents};
use crate::state::AppState;

/// What happens besides; each is true unless an administrator says otherwise.
const TERMS: [&str; 3] = ["restock", "refund", "notify_customer"];

/// `POST /api/v1/orders/{order_id}/cancel`: 200 with the order; a repeat is 200
/// and changes nothing.
pub async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    OrderPath(order_id): OrderPath,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, ApiError> {
    let cancel = read(&body, caller.is_admin())?;
    let expected_version = expected_version(&headers, false)?;
    // An order that was accepted but isn't in the read model yet is the
    // lifecycle's to find; one that is there and foreign stops here.
    let row = order(&state, order_id).await?;
    if row.as_ref().is_some_and(|row| !caller.is_admin() && row.user_id != caller.user_id) {
        return Err(ApiError::order_not_found());
    }
    let status = row.as_ref().map(|row| row.status);
    let owner = row.map_or(caller.user_id, |row| row.user_id);
    let mut command = change(&state, &caller, order_id, owner, CommandKind::Cancel);
    command.expected_version = expected_version;
    command.cancel = Some(cancel);
    answer(&state, &command, &context, status).await
}

/// Goods, money and webhooks are an administrator's to decide about: a customer
/// may only say that all go the usual way.
fn read(body: &Value, admin: bool) -> Result<CancelOrder, ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(body, &mut errors);
    let members = Members::of_body(body)?;
    let [restock, refund, notify] = TERMS;
    members.only(&["reason", "note", restock, refund, notify], &mut errors);
    let reason =
        members.optional_text("reason", 1..=200, &mut errors).unwrap_or("customer").to_owned();
    let note = members.optional_text("note", 1..=2_000, &mut errors).map(ToOwned::to_owned);
    let [restock, refund, notify_customer] = TERMS.map(|name| {
        let term = members.optional_bool(name, &mut errors);
        if term == Some(false) && !admin {
            errors.add(name, "forbidden", "only administrators can set this to false");
        }
        term
    });
    errors.finish()?;
    Ok(CancelOrder { reason, note, restock, refund, notify_customer })
}

/// A command on an existing order, without its body.
pub(super) fn change(
    state: &AppState,
    caller: &Caller,
    order_id: OrderId,
    owner: UserId,
    kind: CommandKind,
) -> OrderCommand {
    OrderCommand {
        command_id: Uuid::now_v7().to_string(),
        order_id,
        user_id: owner,
        actor: caller.actor(),
        created_at: state.now(),
        fingerprint: None,
        expected_version: None,
        kind,
        place: None,
        cancel: None,
        amend: None,
        set_status: None,
    }
}

/// 200 with the order after the command; 202 with the `status` it had before
/// where the outcome isn't known in time.
pub(super) async fn answer(
    state: &AppState,
    command: &OrderCommand,
    context: &RequestContext,
    status: Option<OrderStatus>,
) -> Result<Response, ApiError> {
    match execute(state, command, context, None).await? {
        Executed::Shown(shown) => {
            Ok(answer_with(StatusCode::OK, shown.row.version, shown.row.document))
        }
        Executed::Unconfirmed => Ok(unconfirmed(command.order_id, status)),
    }
}
