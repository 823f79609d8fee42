//! An administrator sets a status by hand, within the transition table.

use schemas::messages::{
    ActorKind, CancelOrder, OrderStatus, OutcomeKind, Reason, SetStatus, Shipment,
};
use schemas::transitions::{self, Role};

use super::decision::Decision;
use super::requests::all_lines;
use super::{cancel, parcels};

pub(super) fn on_command(decision: &mut Decision<'_>, body: SetStatus) {
    if body.status == decision.status() {
        return decision.answer(OutcomeKind::Replayed, None);
    }
    let admin = decision.cause.actor.kind == ActorKind::Admin;
    if !admin || !transitions::is_allowed_for(decision.status(), body.status, Role::Admin) {
        return decision.refuse("the transition table has no such step for an administrator");
    }
    let by_hand = |detail| Reason { code: "by_hand".to_owned(), detail: Some(detail) };
    match body.status {
        OrderStatus::Cancelled => {
            let reason = body.reason.unwrap_or_else(|| "staff".to_owned());
            return cancel::on_command(decision, CancelOrder { reason, ..CancelOrder::default() });
        }
        OrderStatus::Shipped => {
            let Some(tracking_number) = body.tracking_number else {
                let detail = "tracking: shipped needs a tracking number".to_owned();
                return decision.answer(OutcomeKind::Invalid, Some(detail));
            };
            let carrier = body.carrier.unwrap_or_else(|| "manual".to_owned());
            let lines = all_lines(&decision.state.order);
            let shipment = Shipment { carrier, tracking_number, lines };
            parcels::shipped(decision, shipment, body.reason.map(by_hand));
        }
        OrderStatus::Delivered => parcels::delivered(decision, body.reason.map(by_hand)),
        _ => return decision.refuse("an administrator cannot set this status"),
    }
    decision.answer(OutcomeKind::Applied, None);
}
