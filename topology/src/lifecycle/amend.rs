//! PATCH of an order: goods and address while `pending`, metadata always.
//!
//! Invariant: an amendment of goods or address makes all earlier verdicts
//! void; they are asked again for the new version.

use schemas::messages::{
    AmendOrder, Line, Order, OrderBefore, OrderEventType, OrderStatus, OutcomeKind,
};

use super::decision::Decision;
use super::state::{Checks, Hold, RequestKind};
use super::{lines, place, size};

pub(super) fn on_command(decision: &mut Decision<'_>, body: AmendOrder) {
    let goods = body.items.is_some() || body.total_minor.is_some();
    if (goods || body.shipping_address.is_some()) && decision.status() != OrderStatus::Pending {
        return decision
            .refuse("items and shipping_address change only while the order is pending");
    }
    let new_lines = match (&body.items, body.total_minor) {
        (None, None) => None,
        (Some(items), Some(total)) => match lines::numbered(items, total) {
            Ok(lines) => Some((lines, total)),
            Err(problem) => return decision.answer(OutcomeKind::Invalid, Some(problem)),
        },
        _ => {
            let detail = "items and total_amount come together".to_owned();
            return decision.answer(OutcomeKind::Invalid, Some(detail));
        }
    };
    let before = decision.state.order.clone();
    let changed = apply(decision, body, new_lines);
    if size::of_order(&decision.state.order) > size::MOST_BYTES {
        decision.state.order = before;
        return decision.answer(OutcomeKind::Invalid, Some(size::TOO_LARGE.to_owned()));
    }
    if changed.is_empty() {
        return decision.answer(OutcomeKind::Replayed, None);
    }
    let asks_again = changed.iter().any(|name| name != "metadata");
    let other_goods = changed.iter().any(|name| name == "items");
    decision.note(OrderEventType::Updated, None, |event| {
        event.before = Some(as_it_was(before, &changed));
        event.changed = changed;
    });
    if asks_again {
        check_again(decision, other_goods);
    }
    decision.answer(OutcomeKind::Applied, None);
}

/// Changes the order; returns the names of the members that differ now.
fn apply(
    decision: &mut Decision<'_>,
    body: AmendOrder,
    new_lines: Option<(Vec<Line>, i64)>,
) -> Vec<String> {
    let order = &mut decision.state.order;
    let mut changed = Vec::new();
    if let Some((lines, total)) = new_lines
        && lines != order.items
    {
        order.items = lines;
        order.total_minor = total;
        changed.extend(["items".to_owned(), "total_amount".to_owned()]);
    }
    if let Some(address) = body.shipping_address
        && address != order.shipping_address
    {
        order.shipping_address = address;
        changed.push("shipping_address".to_owned());
    }
    let mut metadata = order.metadata.clone();
    for (name, value) in body.metadata {
        match value {
            Some(value) => metadata.insert(name, value),
            None => metadata.remove(&name),
        };
    }
    if metadata != order.metadata {
        order.metadata = metadata;
        changed.push("metadata".to_owned());
    }
    changed
}

/// The changed members before the change.
fn as_it_was(order: Order, changed: &[String]) -> OrderBefore {
    let is_changed = |name: &str| changed.iter().any(|changed| changed == name);
    OrderBefore {
        items: is_changed("items").then_some(order.items),
        total_minor: is_changed("total_amount").then_some(order.total_minor),
        shipping_address: is_changed("shipping_address").then_some(order.shipping_address),
        metadata: is_changed("metadata").then_some(order.metadata),
        payment_status: None,
    }
}

/// The `order.updated` event asks the validator; the warehouse is asked for
/// the new lines, which replace the old hold.
fn check_again(decision: &mut Decision<'_>, other_goods: bool) {
    let (settings, now) = (decision.settings, decision.now_ms);
    let stock = decision.state.checks.stock.take();
    decision.state.checks = Checks::asked(decision.state.order.version);
    decision.state.status_due = Some(now + settings.validation_timeout_ms);
    if other_goods {
        decision.state.hold = Hold::Asked;
        decision.ask_until(RequestKind::Hold, Some(place::hold_expiry(settings, now)));
    } else {
        decision.state.checks.stock = stock;
    }
}
