//! The fulfilment worker's and the carrier's reports.
//!
//! Invariant: goods leave the books when they left the building, also if the
//! order was called off in that moment.

use schemas::messages::{
    FulfillmentEvent, FulfillmentEventKind, FulfillmentStatus, OrderEventType, OrderStatus, Reason,
    Shipment,
};

use super::decision::Decision;
use super::goods;
use super::requests::all_lines;
use super::state::RequestKind;

pub(super) fn on_event(decision: &mut Decision<'_>, event: FulfillmentEvent) {
    use FulfillmentEventKind as Kind;
    match (event.kind, decision.status()) {
        (Kind::Packed, OrderStatus::Paid) => packed(decision, &event.request_id),
        (Kind::Shipped, OrderStatus::Fulfilled) => shipped(decision, parcel(decision, event), None),
        (Kind::Delivered, OrderStatus::Fulfilled) => {
            let parcel = parcel(decision, event);
            shipped(decision, parcel, None);
            delivered(decision, None);
        }
        (Kind::Delivered, OrderStatus::Shipped) => delivered(decision, None),
        (Kind::Stopped, OrderStatus::Cancelled)
            if decision.state.awaits(RequestKind::Stop, &event.request_id) =>
        {
            decision.state.settle(RequestKind::Stop);
            goods::give_back(decision);
        }
        // Too late to stop: the goods are off the books, the money goes back.
        (Kind::Shipped | Kind::Delivered, OrderStatus::Cancelled)
            if decision.state.request(RequestKind::Stop).is_some() =>
        {
            decision.state.settle(RequestKind::Stop);
            goods::commit(decision);
        }
        // Late or repeated.
        _ => {}
    }
}

fn packed(decision: &mut Decision<'_>, request_id: &str) {
    if !decision.state.awaits(RequestKind::Fulfill, request_id) {
        return;
    }
    decision.state.settle(RequestKind::Fulfill);
    decision.state.order.fulfillment_status = FulfillmentStatus::Fulfilled;
    let lines = all_lines(&decision.state.order);
    decision.enter(OrderStatus::Fulfilled, OrderEventType::Fulfilled, None, |event| {
        event.lines = lines;
    });
    decision.ask(RequestKind::Ship);
}

fn parcel(decision: &Decision<'_>, event: FulfillmentEvent) -> Shipment {
    Shipment {
        carrier: event.carrier.unwrap_or_else(|| "unknown".to_owned()),
        tracking_number: event.tracking_number.unwrap_or_default(),
        lines: all_lines(&decision.state.order),
    }
}

/// Fulfilled → shipped. The request to ship stands until delivery, so that a
/// lost report is asked for again.
pub(super) fn shipped(decision: &mut Decision<'_>, shipment: Shipment, reason: Option<Reason>) {
    decision.state.order.shipments.push(shipment.clone());
    decision.enter(OrderStatus::Shipped, OrderEventType::Shipped, reason, |event| {
        event.shipment = Some(shipment);
    });
    let asked_again = decision.now_ms + decision.settings.resend_at_most_ms;
    for request in &mut decision.state.requests {
        if request.kind == RequestKind::Ship {
            request.due = asked_again;
        }
    }
    goods::commit(decision);
}

/// Shipped → delivered.
pub(super) fn delivered(decision: &mut Decision<'_>, reason: Option<Reason>) {
    decision.state.order.fulfillment_status = FulfillmentStatus::Delivered;
    decision.state.settle(RequestKind::Ship);
    decision.enter(OrderStatus::Delivered, OrderEventType::Delivered, reason, |event| {
        event.delivered_at = Some(event.occurred_at);
    });
}
