//! Placing an order, once, however often the request comes.

use schemas::Micros;
use schemas::messages::{
    FulfillmentStatus, Order, OrderCommand, OrderEventType, OrderStatus, OutcomeKind,
    PaymentStatus, PlaceOrder,
};

use super::decision::{Cause, Decision, Output, event_of};
use super::state::{Checks, Hold, Money, OrderState, RequestKind};
use super::{Step, answered, lines, nothing_here, size};
use crate::FlowSettings;

/// A new order: `pending`, the validator is asked by the event itself and the
/// warehouse at the same time.
pub(super) fn place(settings: &FlowSettings, command: OrderCommand, now_ms: i64) -> Step {
    let invalid = |detail: &str| {
        answered(nothing_here(&command, OutcomeKind::Invalid, Some(detail.to_owned())))
    };
    let Some(body) = command.place.as_ref() else { return invalid("the command has no body") };
    if size::of_place(body) > size::MOST_BYTES {
        return invalid(size::TOO_LARGE);
    }
    let items = match lines::numbered(&body.items, body.total_minor) {
        Ok(items) => items,
        Err(problem) => return invalid(&problem),
    };
    let mut order = new_order(settings, &command, body);
    order.items = items;
    let cause =
        Cause { actor: command.actor.clone(), command_id: Some(command.command_id.clone()) };
    let mut decision = Decision::new(settings, new_state(order, &command), now_ms, cause);
    announce(&mut decision, body.idempotency_key_hash.clone());
    decision.state.status_due = Some(now_ms + settings.validation_timeout_ms);
    decision.ask_until(RequestKind::Hold, Some(hold_expiry(settings, now_ms)));
    decision.answer(OutcomeKind::Applied, None);
    let deadline = decision.state.deadline();
    Step { state: Some(decision.state), outputs: decision.outputs, deadline }
}

/// The order exists: the same request gets its answer, another one a refusal.
pub(super) fn place_again(decision: &mut Decision<'_>, command: &OrderCommand) {
    let state = &decision.state;
    let same_body = state.fingerprint.is_some() && state.fingerprint == command.fingerprint;
    let same = command.user_id == state.order.user_id
        && (same_body || command.command_id == state.placed_by);
    let kind = if same { OutcomeKind::Replayed } else { OutcomeKind::Conflict };
    decision.answer(kind, None);
}

/// A first hold outlives every deadline the order can have before its payment
/// makes the hold permanent.
pub(super) fn hold_expiry(settings: &FlowSettings, now_ms: i64) -> Micros {
    Micros::from_millis(
        now_ms
            + settings.validation_timeout_ms
            + settings.payment_delay_ms
            + settings.payment_timeout_ms
            + settings.hold_margin_ms,
    )
}

/// `order.created`: version 1, not earlier than `created_at`.
fn announce(decision: &mut Decision<'_>, idempotency_key_hash: Option<String>) {
    let order = &mut decision.state.order;
    order.version = 1;
    order.updated_at = order.created_at.max(Micros::from_millis(decision.now_ms));
    let mut event = event_of(order, OrderEventType::Created, &decision.cause);
    event.idempotency_key_hash = idempotency_key_hash;
    decision.outputs.push(Output::Event(Box::new(event)));
}

fn new_state(order: Order, command: &OrderCommand) -> OrderState {
    OrderState {
        order,
        placed_by: command.command_id.clone(),
        fingerprint: command.fingerprint.clone(),
        checks: Checks::asked(1),
        hold: Hold::Asked,
        money: Money::Untouched,
        requests: Vec::new(),
        attempts: Vec::new(),
        status_since: Some(command.created_at),
        status_due: None,
        paid_at: None,
        refunds_refused: 0,
        cancelled: None,
        answers: Vec::new(),
    }
}

fn new_order(settings: &FlowSettings, command: &OrderCommand, body: &PlaceOrder) -> Order {
    Order {
        order_id: command.order_id,
        user_id: command.user_id,
        status: OrderStatus::Pending,
        version: 0,
        created_at: command.created_at,
        updated_at: command.created_at,
        currency: body.currency,
        total_minor: body.total_minor,
        items: Vec::new(),
        shipping_address: body.shipping_address.clone(),
        payment_method: body.payment_method.clone(),
        payment_token: body.payment_token.clone(),
        metadata: body.metadata.clone(),
        channel: body.channel.clone(),
        warehouse: settings.warehouses.first().cloned().unwrap_or_default(),
        payment_status: PaymentStatus::None,
        fulfillment_status: FulfillmentStatus::Unfulfilled,
        payments: Vec::new(),
        refunds: Vec::new(),
        shipments: Vec::new(),
        cancel_reason: None,
        failure_reason: None,
        failure_detail: None,
    }
}
