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
    call_off(decision, Reason { code: body.reason, detail: body.note });
    decision.answer(OutcomeKind::Applied, None);
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

/// → cancelled: goods and money go back. What is being packed is stopped
/// first; the hold is given back when nothing can leave any more.
pub(super) fn call_off(decision: &mut Decision<'_>, reason: Reason) {
    decision.state.order.cancel_reason = Some(reason.code.clone());
    if matches!(decision.status(), OrderStatus::Paid | OrderStatus::Fulfilled) {
        for kind in [RequestKind::Fulfill, RequestKind::Ship] {
            decision.state.settle(kind);
        }
        decision.ask(RequestKind::Stop);
    } else {
        goods::give_back(decision);
    }
    money::give_back(decision);
    decision.enter(OrderStatus::Cancelled, OrderEventType::Cancelled, Some(reason), |_| ());
}
