//! The warehouse's answers, and giving goods back.
//!
//! Invariant: an order that is over ends with nothing held; an order that was
//! paid ends with its goods committed or with its money refunded, unless an
//! administrator called it off on other terms.

use schemas::messages::{FailureReason, OrderStatus, Reason, StockResult, StockResultKind};

use super::decision::{Cause, Decision};
use super::state::{Hold, Money, RequestKind};
use super::{cancel, checks, money, place};

pub(super) fn on_result(decision: &mut Decision<'_>, result: &StockResult) {
    let id = result.request_id.as_str();
    let awaits = |decision: &Decision<'_>, kind| decision.state.awaits(kind, id);
    match result.kind {
        StockResultKind::Held if awaits(decision, RequestKind::Hold) => held(decision, result),
        StockResultKind::Held => late_hold(decision),
        StockResultKind::Refused if awaits(decision, RequestKind::Hold) => {
            refused(decision, result);
        }
        StockResultKind::Extended if awaits(decision, RequestKind::Extend) => {
            decision.state.settle(RequestKind::Extend);
            decision.state.hold = Hold::Kept;
            money::capture(decision);
        }
        StockResultKind::NoHold if awaits(decision, RequestKind::Extend) => {
            decision.state.settle(RequestKind::Extend);
            hold_again(decision);
        }
        StockResultKind::Committed | StockResultKind::NoHold
            if awaits(decision, RequestKind::Commit) =>
        {
            decision.state.settle(RequestKind::Commit);
            decision.state.hold = Hold::Committed;
        }
        StockResultKind::Released if awaits(decision, RequestKind::Release) => {
            decision.state.settle(RequestKind::Release);
            decision.state.hold = Hold::Gone;
        }
        StockResultKind::HoldExpired => expired(decision, id),
        // Answers to questions that no longer stand.
        _ => {}
    }
}

fn held(decision: &mut Decision<'_>, result: &StockResult) {
    decision.state.settle(RequestKind::Hold);
    match decision.status() {
        OrderStatus::Pending => {
            decision.state.hold = Hold::Held;
            checks::on_hold(decision, result, true);
        }
        OrderStatus::Processing => {
            decision.state.hold = Hold::Kept;
            money::capture(decision);
        }
        _ => decision.state.hold = Hold::Kept,
    }
}

fn refused(decision: &mut Decision<'_>, result: &StockResult) {
    decision.state.settle(RequestKind::Hold);
    decision.state.hold = Hold::Gone;
    if tried_elsewhere(decision) {
        return;
    }
    match decision.status() {
        OrderStatus::Pending => checks::on_hold(decision, result, false),
        OrderStatus::Processing => {
            let detail = "the hold ran out and the goods are gone".to_owned();
            checks::fail(decision, FailureReason::OutOfStock, detail, Vec::new());
        }
        OrderStatus::Paid | OrderStatus::Fulfilled => cancel::call_off(
            decision,
            Reason {
                code: "out_of_stock".to_owned(),
                detail: Some("the goods were lost after the payment".to_owned()),
            },
        ),
        _ => {}
    }
}

/// Asks the next warehouse, if there is one and nothing was packed yet.
fn tried_elsewhere(decision: &mut Decision<'_>) -> bool {
    let (settings, now) = (decision.settings, decision.now_ms);
    let expires_at = match decision.status() {
        OrderStatus::Pending => Some(place::hold_expiry(settings, now)),
        OrderStatus::Processing => None,
        _ => return false,
    };
    let Some(next) = settings.warehouse_after(&decision.state.order.warehouse) else {
        return false;
    };
    next.clone_into(&mut decision.state.order.warehouse);
    decision.state.hold = Hold::Asked;
    decision.ask_until(RequestKind::Hold, expires_at);
    true
}

/// A hold for an order that is over and was thought to have none.
fn late_hold(decision: &mut Decision<'_>) {
    let over = matches!(decision.status(), OrderStatus::Cancelled | OrderStatus::Failed);
    let state = &decision.state;
    if over && state.hold == Hold::Gone && state.request(RequestKind::Release).is_none() {
        decision.ask(RequestKind::Release);
    }
}

fn expired(decision: &mut Decision<'_>, id: &str) {
    let current = decision.state.hold_id().as_deref() == Some(id);
    if !current || !matches!(decision.state.hold, Hold::Held | Hold::Kept) {
        return;
    }
    decision.state.hold = Hold::Gone;
    match decision.status() {
        OrderStatus::Pending | OrderStatus::Validated => {
            decision.cause = Cause::timer();
            let reason = Reason { code: "hold_expired".to_owned(), detail: None };
            cancel::call_off(decision, reason);
        }
        OrderStatus::Processing if decision.state.money == Money::Authorized => {
            decision.state.settle(RequestKind::Extend);
            hold_again(decision);
        }
        OrderStatus::Paid | OrderStatus::Fulfilled => hold_again(decision),
        // Before the authorisation came, `secure` will ask again.
        _ => {}
    }
}

/// The money is reserved: makes sure that the goods stay before it is taken.
pub(super) fn secure(decision: &mut Decision<'_>) {
    match decision.state.hold {
        Hold::Held => decision.ask(RequestKind::Extend),
        Hold::Gone => hold_again(decision),
        Hold::Kept | Hold::Committed => money::capture(decision),
        Hold::Asked => {}
    }
}

/// Asks for the goods again, without an expiry.
fn hold_again(decision: &mut Decision<'_>) {
    decision.state.hold = Hold::Asked;
    decision.ask(RequestKind::Hold);
}

/// Releases what is held or may be held: the warehouse takes commands in
/// order, so a release also undoes a hold that is still on its way. Goods that
/// are not to be sold again leave the books instead.
pub(super) fn give_back(decision: &mut Decision<'_>) {
    decision.state.settle(RequestKind::Hold);
    decision.state.settle(RequestKind::Extend);
    if matches!(decision.state.hold, Hold::Asked | Hold::Held | Hold::Kept) {
        let restocks = decision.state.restocks();
        decision.ask(if restocks { RequestKind::Release } else { RequestKind::Commit });
    }
}

/// The goods left the building.
pub(super) fn commit(decision: &mut Decision<'_>) {
    decision.state.settle(RequestKind::Hold);
    decision.ask(RequestKind::Commit);
}
