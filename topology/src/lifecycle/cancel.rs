//! Calling an order off, at every stage it can be.

use schemas::messages::{ActorKind, CancelOrder, OrderEventType, OrderStatus, OutcomeKind, Reason};
use schemas::transitions::{self, Role};

use super::decision::Decision;
use super::state::RequestKind;
use super::{goods, money};

pub(super) fn on_command(decision: &mut Decision<'_>, body: CancelOrder) {
    if decision.status() == OrderStatus::Cancelled {
        return decision.answer(OutcomeKind::Replayed, None);
    }
    if !may_cancel(decision) {
        return decision.refuse("this order can no longer be cancelled");
    }
    let terms = terms(decision, body);
    call_off_on(decision, terms);
    decision.answer(OutcomeKind::Applied, None);
}

/// As asked by an administrator; for everybody else goods and money go back and
/// the customer is told.
fn terms(decision: &Decision<'_>, body: CancelOrder) -> CancelOrder {
    let admin = decision.cause.actor.kind == ActorKind::Admin;
    let allowed = |asked: Option<bool>| Some(!admin || asked.unwrap_or(true));
    CancelOrder {
        restock: allowed(body.restock),
        refund: allowed(body.refund),
        notify_customer: allowed(body.notify_customer),
        ..body
    }
}

/// By the table, and for customers of a paid order within the grace period.
fn may_cancel(decision: &Decision<'_>) -> bool {
    let role = match decision.cause.actor.kind {
        ActorKind::Customer => Role::Customer,
        ActorKind::Timer => Role::Timer,
        ActorKind::Admin | ActorKind::System | ActorKind::Carrier => Role::Admin,
    };
    if !transitions::is_allowed_for(decision.status(), OrderStatus::Cancelled, role) {
        return false;
    }
    role != Role::Customer
        || decision.state.paid_at.is_none_or(|paid| {
            decision.now_ms < paid.as_millis() + decision.settings.cancel_grace_ms
        })
}

/// → cancelled for a reason of our own: goods and money go back.
pub(super) fn call_off(decision: &mut Decision<'_>, reason: Reason) {
    let body = CancelOrder { reason: reason.code, note: reason.detail, ..CancelOrder::default() };
    let terms = terms(decision, body);
    call_off_on(decision, terms);
}

/// → cancelled. What is being packed is stopped first; the hold is given back
/// when nothing can leave any more.
fn call_off_on(decision: &mut Decision<'_>, terms: CancelOrder) {
    decision.state.order.cancel_reason = Some(terms.reason.clone());
    decision.state.cancelled = Some(terms.clone());
    if matches!(decision.status(), OrderStatus::Paid | OrderStatus::Fulfilled) {
        for kind in [RequestKind::Fulfill, RequestKind::Ship] {
            decision.state.settle(kind);
        }
        decision.ask(RequestKind::Stop);
    } else {
        goods::give_back(decision);
    }
    money::give_back(decision);
    let reason = Reason { code: terms.reason.clone(), detail: terms.note.clone() };
    decision.enter(OrderStatus::Cancelled, OrderEventType::Cancelled, Some(reason), |event| {
        event.cancel = Some(terms);
    });
}
