//! Every way an order can fail, with its reason and what is given back.

use schemas::messages::{FailureReason, OrderCommand, OrderStatus, PaymentCallback, PaymentStatus};
use schemas::{Currency, OrderId, topics};

use super::world::World;
use crate::{FlowSettings, samples};

use FailureReason as Why;

/// Asserts that the order failed so, and that nothing is held or kept.
fn failed(world: &World, id: OrderId, reason: FailureReason) {
    let order = world.order(id);
    assert_eq!((order.status, order.failure_reason), (OrderStatus::Failed, Some(reason)));
    let event = world.events(id).pop().unwrap();
    assert_eq!(event.failure_reason, Some(reason));
    let balances = world.balances(id);
    assert_eq!((balances.open, balances.kept), (0, 0));
    for product in ["a", "b"] {
        assert_eq!(world.stock_of(product).held, 0, "{product}");
    }
}

#[test]
fn checks_that_fail() {
    for (lines, reason, words) in [
        (&[("nope", 1, 5)][..], Why::UnknownProduct, &["unknown_product"][..]),
        (&[("a", 1, 999)], Why::PriceMismatch, &["price_mismatch"]),
        (&[("a", 11, 1_000)], Why::OutOfStock, &["11 asked, 10 available"]),
        (&[("a", 200, 1_000)], Why::FraudLimit, &["fraud_limit", "out_of_stock"]),
        (&[("nope", 1, 5), ("a", 1, 999)], Why::UnknownProduct, &["nope", "price_mismatch"]),
        (&[("b", 4, 2_500), ("a", 1, 1)], Why::PriceMismatch, &["price_mismatch", "out_of_stock"]),
    ] {
        let mut world = World::new(&FlowSettings::default());
        let id = world.place(1, lines, None);
        failed(&world, id, reason);
        let detail = world.order(id).failure_detail.unwrap();
        for word in words {
            assert!(detail.contains(word), "{word} in {detail}");
        }
    }
}

#[test]
fn payments_that_fail() {
    for (token, reason) in [
        ("pm_card_declined", Why::PaymentDeclined),
        ("pm_card_insufficient_funds", Why::InsufficientFunds),
        ("pm_auth_expires", Why::AuthorizationExpired),
        ("pm_provider_down", Why::PaymentTimeout),
    ] {
        let mut world = World::new(&FlowSettings::default());
        let id = world.place(1, &[("a", 1, 1_000)], Some(token));
        world.wait(61_000);
        failed(&world, id, reason);
        assert_eq!(world.order(id).failure_reason, Some(reason), "{token}");
    }
}

#[test]
fn a_slow_provider_is_waited_for() {
    let mut world = World::new(&FlowSettings::default());
    let id = world.place(1, &[("a", 1, 1_000)], Some("pm_slow"));
    assert_eq!(world.status(id), OrderStatus::Processing);
    world.wait(2_000);
    assert_eq!(world.status(id), OrderStatus::Shipped);
}

#[test]
fn an_authorisation_that_comes_after_the_timeout_is_voided() {
    let mut world = World::new(&FlowSettings::default());
    let id = world.place(1, &[("a", 1, 1_000)], Some("pm_provider_down"));
    world.wait(61_000);
    failed(&world, id, Why::PaymentTimeout);
    let callback = PaymentCallback {
        callback_id: "cb".to_owned(),
        request_id: format!("{id}:authorize:1"),
        order_id: id,
        result: "authorized".to_owned(),
    };
    world.send(&topics::PAYMENT_CALLBACKS, &id.to_string(), &callback);
    world.wait(1_000);
    let balances = world.balances(id);
    assert_eq!((balances.authorized, balances.voided), (1_000, 1_000));
    assert_eq!(world.status(id), OrderStatus::Failed);
}

#[test]
fn a_validator_that_is_silent_fails_the_order() {
    let mut world = World::new(&FlowSettings::default());
    world.apps.retain(|app| app.id != "order-validator");
    let id = world.place(1, &[("a", 1, 1_000)], None);
    assert_eq!(world.stock_of("a").held, 1);
    world.wait(30_000);
    failed(&world, id, Why::ValidationTimeout);
}

#[test]
fn a_warehouse_that_is_silent_fails_the_order_and_gets_its_hold_back_later() {
    let mut world = World::new(&FlowSettings::default());
    let warehouse = world.apps.iter().position(|app| app.id == "inventory-worker").unwrap();
    let mut away = world.apps.remove(warehouse);
    let id = world.place(1, &[("a", 1, 1_000)], None);
    world.wait(30_000);
    assert_eq!(world.order(id).failure_reason, Some(Why::ValidationTimeout));
    // It comes back with everything that was written meanwhile.
    let missed: Vec<_> = world.records("stock_commands").to_vec();
    for record in missed.iter().filter(|record| record.timestamp > 1_000_000) {
        away.enqueue("stock_commands", record);
    }
    away.driver.advance_wall_clock(world.now() - away.driver.now());
    world.apps.push(away);
    world.run();
    failed(&world, id, Why::ValidationTimeout);
}

fn in_currency(number: u128, code: &str, lines: &[(&str, i64, i64)]) -> OrderCommand {
    let id = samples::order_id(number);
    let name = format!("place-{number}");
    let mut command = samples::place(&name, id, samples::user_id(1), lines, None);
    command.place.as_mut().unwrap().currency = code.parse::<Currency>().unwrap();
    command
}

#[test]
fn another_currency_is_another_price() {
    let mut world = World::new(&FlowSettings::default());
    let command = in_currency(1, "EUR", &[("a", 1, 1_000)]);
    world.command(&command);
    failed(&world, command.order_id, Why::PriceMismatch);
}

#[test]
fn the_session_total_counts_failed_orders_and_ends_with_the_gap() {
    let mut world = World::new(&FlowSettings::default());
    let first = world.place(1, &[("a", 1, 150_000)], None);
    assert_eq!(world.order(first).failure_reason, Some(Why::PriceMismatch));
    let second = world.place(2, &[("a", 10, 1_000), ("b", 16, 2_500)], None);
    assert_eq!(world.order(second).failure_reason, Some(Why::FraudLimit));
    let other = world.place_as(2, 3, &[("a", 1, 1_000)], None);
    assert_eq!(world.status(other), OrderStatus::Shipped, "another customer");
    world.wait(3_600_001);
    let third = world.place(4, &[("a", 1, 1_000)], None);
    assert_eq!(world.status(third), OrderStatus::Shipped, "another session");
}

#[test]
fn imports_and_agreed_prices() {
    let mut world = World::new(&FlowSettings::default());
    let id = samples::order_id(1);
    let lines = [("a", 2, 150_000)];
    let mut command = samples::place("import", id, samples::user_id(1), &lines, None);
    let body = command.place.as_mut().unwrap();
    body.channel = Some("import".to_owned());
    body.items[0].price_override = true;
    world.command(&command);
    assert_eq!(world.status(id), OrderStatus::Shipped);
    let verdicts = world.read(&topics::ORDER_VALIDATIONS);
    assert!(verdicts.iter().any(|v| v.passed && v.failures == [Why::FraudLimit]));
    assert_eq!(world.order(id).payment_status, PaymentStatus::Paid);
}
