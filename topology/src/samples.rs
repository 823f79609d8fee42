//! Messages for tests, so that each test says only what matters to it.

use std::collections::BTreeMap;

use schemas::messages::{
    Actor, ActorKind, Address, CommandKind, OrderCommand, OrderEvent, PlaceLine, PlaceOrder,
};
use schemas::{Currency, Micros, OrderId, Sku, UserId};
use uuid::Uuid;

/// An order id made of a number.
pub(crate) fn order_id(number: u128) -> OrderId {
    OrderId::new(Uuid::from_u128(0xA000_0000 + number))
}

/// A user id made of a number.
pub(crate) fn user_id(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(0xB000_0000 + number))
}

pub(crate) fn address() -> Address {
    Address {
        street: "123 Main St".to_owned(),
        city: "New York".to_owned(),
        state: "NY".to_owned(),
        zip: "10001".to_owned(),
        country: None,
    }
}

pub(crate) fn place_lines(lines: &[(&str, i64, i64)]) -> Vec<PlaceLine> {
    let line = |&(id, quantity, unit_price): &(&str, i64, i64)| PlaceLine {
        product_id: Sku::new(id),
        quantity,
        unit_price,
        price_override: false,
    };
    lines.iter().map(line).collect()
}

pub(crate) fn total(lines: &[(&str, i64, i64)]) -> i64 {
    lines.iter().map(|(_, quantity, price)| quantity * price).sum()
}

/// A customer's command of a kind, without a body.
pub(crate) fn command(id: &str, order: OrderId, user: UserId, kind: CommandKind) -> OrderCommand {
    OrderCommand {
        command_id: id.to_owned(),
        order_id: order,
        user_id: user,
        actor: Actor { kind: ActorKind::Customer, id: user.to_string() },
        created_at: Micros(1_000_500),
        fingerprint: None,
        expected_version: None,
        kind,
        place: None,
        cancel: None,
        amend: None,
        set_status: None,
    }
}

/// A customer places lines of (product, quantity, minor units each).
pub(crate) fn place(
    id: &str,
    order: OrderId,
    user: UserId,
    lines: &[(&str, i64, i64)],
    token: Option<&str>,
) -> OrderCommand {
    let body = PlaceOrder {
        items: place_lines(lines),
        total_minor: total(lines),
        currency: Currency::USD,
        shipping_address: address(),
        payment_method: "CREDIT_CARD".to_owned(),
        payment_token: token.map(str::to_owned),
        metadata: BTreeMap::new(),
        channel: None,
        idempotency_key_hash: None,
    };
    let fingerprint = Some(format!("{lines:?}{token:?}"));
    OrderCommand { fingerprint, place: Some(body), ..command(id, order, user, CommandKind::Place) }
}

/// The `order.created` event of lines.
pub(crate) fn created(lines: &[(&str, i64, i64)]) -> OrderEvent {
    let command = place("c1", order_id(1), user_id(1), lines, None);
    let step = crate::lifecycle::step(
        &crate::FlowSettings::default(),
        None,
        crate::lifecycle::Input::Command(Box::new(command)),
        1_000,
    );
    let event = step.outputs.into_iter().find_map(|output| match output {
        crate::lifecycle::Output::Event(event) => Some(*event),
        _ => None,
    });
    event.expect("placing an order creates it")
}
