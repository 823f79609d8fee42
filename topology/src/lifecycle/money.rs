//! The payment worker's answers, and giving money back.
//!
//! Invariant: money taken for an order that is over goes back, unless an
//! administrator called it off without a refund; an authorisation of such an
//! order is voided. A refund is tried until it settles.

use schemas::messages::{
    FailureReason, OrderBefore, OrderEventType, OrderStatus, PaymentEvent, PaymentEventKind,
    PaymentStatus, Refund,
};

use super::decision::Decision;
use super::state::{Money, RequestKind};
use super::{checks, goods};

pub(super) fn on_event(decision: &mut Decision<'_>, event: &PaymentEvent) {
    use PaymentEventKind as Kind;
    match event.kind {
        Kind::Authorized => authorized(decision, event),
        Kind::Captured => captured(decision, event),
        Kind::Declined => declined(decision, event, FailureReason::PaymentDeclined),
        Kind::InsufficientFunds => declined(decision, event, FailureReason::InsufficientFunds),
        Kind::Expired => expired(decision),
        Kind::Voided => voided(decision, event),
        Kind::Refunded => refunded(decision, event),
        Kind::RefundFailed => refund_refused(decision, event),
    }
}

fn over(decision: &Decision<'_>) -> bool {
    matches!(decision.status(), OrderStatus::Cancelled | OrderStatus::Failed)
}

fn authorized(decision: &mut Decision<'_>, event: &PaymentEvent) {
    if decision.state.awaits(RequestKind::Authorize, &event.request_id) {
        decision.state.settle(RequestKind::Authorize);
        decision.state.money = Money::Authorized;
        decision.state.order.payment_status = PaymentStatus::Authorized;
        mark_payment(decision, "authorized");
        goods::secure(decision);
    } else if over(decision) && decision.state.money == Money::Gone {
        decision.state.money = Money::Voiding;
        decision.ask(RequestKind::Void);
    }
}

/// Takes the reserved money, if it is reserved and still wanted.
pub(super) fn capture(decision: &mut Decision<'_>) {
    if decision.status() == OrderStatus::Processing && decision.state.money == Money::Authorized {
        decision.state.money = Money::Capturing;
        decision.ask(RequestKind::Capture);
    }
}

fn captured(decision: &mut Decision<'_>, event: &PaymentEvent) {
    if matches!(decision.state.money, Money::Captured | Money::Refunding | Money::Refunded) {
        return;
    }
    let asked = decision.state.awaits(RequestKind::Capture, &event.request_id);
    for kind in [RequestKind::Authorize, RequestKind::Capture, RequestKind::Void] {
        decision.state.settle(kind);
    }
    decision.state.money = Money::Captured;
    mark_payment(decision, "captured");
    if asked && decision.status() == OrderStatus::Processing {
        paid(decision);
    } else if over(decision) {
        let before = decision.state.order.payment_status;
        decision.state.order.payment_status = PaymentStatus::Paid;
        give_back(decision);
        payment_status_changed(decision, before);
    }
}

fn paid(decision: &mut Decision<'_>) {
    decision.state.order.payment_status = PaymentStatus::Paid;
    decision.state.paid_at = Some(decision.moment());
    let payment = decision.state.order.payments.last().cloned();
    decision.enter(OrderStatus::Paid, OrderEventType::PaymentProcessed, None, |event| {
        event.payment = payment;
    });
    decision.ask(RequestKind::Fulfill);
}

fn declined(decision: &mut Decision<'_>, event: &PaymentEvent, reason: FailureReason) {
    let id = event.request_id.as_str();
    if decision.state.awaits(RequestKind::Authorize, id) {
        decision.state.settle(RequestKind::Authorize);
        decision.state.money = Money::Gone;
    } else if decision.state.awaits(RequestKind::Capture, id) {
        // The money is still reserved; failing the order voids it.
        decision.state.settle(RequestKind::Capture);
        decision.state.money = Money::Authorized;
    } else {
        if decision.state.awaits(RequestKind::Void, id) {
            // There was nothing to void.
            decision.state.settle(RequestKind::Void);
            decision.state.money = Money::Gone;
        }
        return;
    }
    mark_payment(decision, "declined");
    if decision.status() == OrderStatus::Processing {
        let detail = event.detail.clone().unwrap_or_else(|| "the provider refused".to_owned());
        checks::fail(decision, reason, detail, Vec::new());
    } else {
        no_refund_after_all(decision);
    }
}

fn expired(decision: &mut Decision<'_>) {
    use Money::{Authorized, Authorizing, Capturing, Voiding};
    if !matches!(decision.state.money, Authorizing | Authorized | Capturing | Voiding) {
        return;
    }
    authorization_ended(decision, "expired", PaymentStatus::Expired);
}

fn voided(decision: &mut Decision<'_>, event: &PaymentEvent) {
    let id = event.request_id.as_str();
    let kinds = [RequestKind::Void, RequestKind::Capture, RequestKind::Authorize];
    if kinds.into_iter().any(|kind| decision.state.awaits(kind, id)) {
        authorization_ended(decision, "voided", PaymentStatus::Voided);
    }
}

/// There is no authorisation any more, for whatever reason.
fn authorization_ended(decision: &mut Decision<'_>, word: &str, status: PaymentStatus) {
    for kind in [RequestKind::Authorize, RequestKind::Capture, RequestKind::Void] {
        decision.state.settle(kind);
    }
    decision.state.money = Money::Gone;
    mark_payment(decision, word);
    let order = &mut decision.state.order;
    let before = order.payment_status;
    let shown = before != PaymentStatus::None;
    if shown {
        order.payment_status = status;
        order.refunds.retain(|refund| refund.status != "pending");
    }
    if decision.status() == OrderStatus::Processing {
        let detail = format!("the authorisation was {word} before the capture");
        checks::fail(decision, FailureReason::AuthorizationExpired, detail, Vec::new());
    } else if shown {
        payment_status_changed(decision, before);
    }
}

/// A capture that was to be refunded never happened: what is reserved goes
/// back instead.
fn no_refund_after_all(decision: &mut Decision<'_>) {
    if !over(decision) || decision.state.money != Money::Authorized {
        return;
    }
    let before = decision.state.order.payment_status;
    decision.state.order.payment_status = PaymentStatus::Authorized;
    decision.state.order.refunds.retain(|refund| refund.status != "pending");
    give_back(decision);
    payment_status_changed(decision, before);
}

/// Voids or refunds, whichever applies; a capture on its way is waited for.
/// Called before the event that ends the order, so that the event shows it.
pub(super) fn give_back(decision: &mut Decision<'_>) {
    match decision.state.money {
        Money::Authorizing | Money::Authorized => {
            decision.state.settle(RequestKind::Authorize);
            decision.state.money = Money::Voiding;
            decision.ask(RequestKind::Void);
        }
        Money::Capturing | Money::Captured if !decision.state.refunds() => {}
        Money::Capturing => expect_refund(decision),
        Money::Captured => {
            expect_refund(decision);
            decision.state.money = Money::Refunding;
            decision.ask(RequestKind::Refund);
        }
        Money::Untouched | Money::Voiding | Money::Refunding | Money::Refunded | Money::Gone => {}
    }
}

fn expect_refund(decision: &mut Decision<'_>) {
    let moment = decision.moment();
    let order = &mut decision.state.order;
    order.payment_status = PaymentStatus::RefundPending;
    if order.refunds.is_empty() {
        order.refunds.push(Refund {
            refund_id: format!("{}:refund", order.order_id),
            amount: order.total(),
            status: "pending".to_owned(),
            updated_at: moment,
        });
    }
}

fn refunded(decision: &mut Decision<'_>, event: &PaymentEvent) {
    if !decision.state.awaits(RequestKind::Refund, &event.request_id) {
        return;
    }
    decision.state.settle(RequestKind::Refund);
    decision.state.money = Money::Refunded;
    decision.state.order.payment_status = PaymentStatus::Refunded;
    let refund = mark_refund(decision, "settled");
    decision.note(OrderEventType::Refunded, None, |event| event.refund = refund);
}

fn refund_refused(decision: &mut Decision<'_>, event: &PaymentEvent) {
    if !decision.state.awaits(RequestKind::Refund, &event.request_id) {
        return;
    }
    decision.state.refunds_refused += 1;
    let refused = decision.state.refunds_refused;
    let settings = decision.settings;
    let wait = settings.backoff_ms(settings.refund_retry_ms, refused.unsigned_abs());
    let due = decision.now_ms + wait;
    decision.ask_at(RequestKind::Refund, None, due);
    if refused == settings.refund_attempts {
        let refund = mark_refund(decision, "failed");
        decision.note(OrderEventType::RefundFailed, None, |event| event.refund = refund);
    }
}

fn mark_payment(decision: &mut Decision<'_>, status: &str) {
    let moment = decision.moment();
    if let Some(payment) = decision.state.order.payments.last_mut() {
        payment.status = status.to_owned();
        payment.updated_at = moment;
    }
}

fn mark_refund(decision: &mut Decision<'_>, status: &str) -> Option<Refund> {
    let moment = decision.moment();
    let refund = decision.state.order.refunds.last_mut()?;
    refund.status = status.to_owned();
    refund.updated_at = moment;
    Some(refund.clone())
}

/// Says so, if it differs from `before`.
fn payment_status_changed(decision: &mut Decision<'_>, before: PaymentStatus) {
    if decision.state.order.payment_status == before {
        return;
    }
    decision.note(OrderEventType::Updated, None, |event| {
        event.changed = vec!["payment_status".to_owned()];
        event.before = Some(OrderBefore { payment_status: Some(before), ..OrderBefore::default() });
    });
}
