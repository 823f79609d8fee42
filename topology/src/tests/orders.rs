//! Whole orders, from the command to the customer's door.

use schemas::messages::{
    ActorKind, FulfillmentEvent, FulfillmentEventKind, OrderEventType, OrderStatus, OutcomeKind,
    PaymentStatus, StockResultKind,
};
use schemas::{Micros, topics};

use super::world::World;
use crate::{FlowSettings, samples};

use OrderStatus as Is;

#[test]
fn an_order_runs_to_delivered_with_the_seven_events_once_each() {
    let mut world = World::new(&FlowSettings::default());
    let id = world.place(1, &[("a", 2, 1_000), ("b", 1, 2_500)], None);
    assert_eq!(world.status(id), Is::Shipped, "no simulated time: at once");
    assert_eq!((world.stock_of("a").on_hand, world.stock_of("a").held), (8, 0));
    world.wait(10_000);
    assert_eq!(world.status(id), Is::Delivered);

    let types: Vec<_> = world.events(id).iter().map(|event| event.event_type).collect();
    let seven: Vec<_> = OrderEventType::ALL.into_iter().take(7).collect();
    assert_eq!(types, seven);
    for event_type in seven {
        assert_eq!(world.read(&topics::of_event(event_type)).len(), 1, "{event_type:?}");
    }
    let feed = world.read(&topics::USER_FEED);
    assert_eq!(feed.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.balances(id).kept, 4_500);
    let revenue = world.read(&topics::REVENUE_BY_MINUTE);
    assert_eq!((revenue[0].revenue.minor, revenue[0].orders), (4_500, 1));
    assert_eq!(world.outcomes("place-1").len(), 1);
}

#[test]
fn every_status_is_seen_on_the_way_when_steps_take_time() {
    let settings =
        FlowSettings { simulation_step_ms: 200, payment_delay_ms: 50, ..Default::default() };
    let mut world = World::new(&settings);
    let id = world.place(1, &[("a", 1, 1_000)], None);
    let mut seen = vec![world.status(id)];
    for _ in 0..400 {
        world.wait(50);
        if seen.last() != Some(&world.status(id)) {
            seen.push(world.status(id));
        }
    }
    use OrderStatus::{Delivered, Fulfilled, Paid, Processing, Shipped, Validated};
    assert_eq!(seen, [Validated, Processing, Paid, Fulfilled, Shipped, Delivered]);
}

#[test]
fn what_orders_take_is_observed_status_by_status_and_in_whole() {
    let settings = FlowSettings { simulation_step_ms: 200, ..Default::default() };
    let mut world = World::new(&settings);
    let (order, refused) = (world.place(1, &[("a", 1, 1_000)], None), samples::order_id(2));
    world.wait(60_000);
    world.place(2, &[("a", 1, 999)], None);
    world.wait(60_000);
    assert_eq!((world.status(order), world.status(refused)), (Is::Delivered, Is::Failed));

    let observed = world.app("order-lifecycle").driver.observed();
    let of = |metric, label: &'static str| -> Vec<(&str, f64)> {
        let of_metric = observed.iter().filter(|seen| seen.metric == metric);
        of_metric
            .map(|seen| seen.label.map(|of| (of.0, of.1, seen.value)).unwrap())
            .map(|(name, value, seconds)| {
                assert_eq!(name, label);
                (value, seconds)
            })
            .collect()
    };
    let stages = of("order_stage_duration_seconds", "stage");
    let names: Vec<_> = stages.iter().map(|(stage, _)| *stage).collect();
    let expected =
        ["pending", "validated", "processing", "paid", "fulfilled", "shipped", "pending"];
    assert_eq!(names, expected);
    let events = world.events(order);
    for (pair, (stage, seconds)) in events.windows(2).zip(&stages).skip(1) {
        let between = pair[1].occurred_at.0 - pair[0].occurred_at.0;
        assert_eq!(*seconds, between as f64 / 1e6, "{stage}");
    }
    let ends = of("order_end_to_end_seconds", "status");
    let last = events.last().unwrap();
    let took = (last.occurred_at.0 - last.order.created_at.0) as f64 / 1e6;
    assert_eq!(ends[0], ("delivered", took));
    assert_eq!((ends[1].0, ends.len()), ("failed", 2));
    let summed: f64 = stages[..6].iter().map(|(_, seconds)| seconds).sum();
    assert!((summed - took).abs() < 1e-6, "{summed} of {took}");
}

#[test]
fn records_carry_time_trace_and_names() {
    let mut world = World::new(&FlowSettings { simulation_step_ms: 200, ..Default::default() });
    let id = world.place(1, &[("a", 1, 1_000)], None);
    world.wait(60_000);
    let events = world.events(id);
    for (record, event) in world.records("order_events").iter().zip(&events) {
        assert_eq!(record.timestamp, event.occurred_at.as_millis());
        assert_eq!(record.headers.get("event-id"), Some(event.event_id.as_bytes()));
        assert_eq!(record.headers.get("event-type"), Some(event.event_type.as_str().as_bytes()));
        assert!(record.headers.get("traceparent").is_some(), "{:?}", event.event_type);
        assert_eq!(record.key.as_deref(), Some(id.to_string().as_bytes()));
    }
    for topic in [
        "order_validations",
        "payment_events",
        "ledger",
        "fulfillment_events",
        "stock_results",
        "user_feed",
    ] {
        for record in world.records(topic).iter().filter(|r| r.timestamp > 1_000_000) {
            assert!(record.headers.get("traceparent").is_some(), "{topic}");
        }
    }
    let user = samples::user_id(1).to_string();
    assert!(world.records("user_feed").iter().all(|r| r.key.as_deref() == Some(user.as_bytes())));
}

#[test]
fn a_hold_that_runs_out_still_belongs_to_the_orders_trace() {
    let mut world = World::new(&FlowSettings::default());
    // Nobody is there to extend or to release the hold.
    world.apps.retain(|app| app.id == "inventory-worker" || app.id == "order-lifecycle");
    world.place(1, &[("a", 1, 1_000)], None);
    world.apps.retain(|app| app.id == "inventory-worker");
    world.wait(600_000);
    let expired = StockResultKind::HoldExpired;
    let results = world.read(&topics::STOCK_RESULTS);
    let place = results.iter().position(|result| result.kind == expired).unwrap();
    assert!(world.records("stock_results")[place].headers.get("traceparent").is_some());
    let last = world.records("stock_levels").last().unwrap();
    assert!(last.headers.get("traceparent").is_some(), "{last:?}");
}

#[test]
fn one_buyer_wins_the_last_unit() {
    let mut world = World::new(&FlowSettings::default());
    world.product("rare", 100, 1);
    let buyers: Vec<_> = (1..=12)
        .map(|n| {
            let lines = [("rare", 1, 100)];
            let id = samples::order_id(n);
            let name = format!("place-{n}");
            let command = samples::place(&name, id, samples::user_id(n), &lines, None);
            world.write(&topics::ORDER_COMMANDS, &id.to_string(), &command);
            id
        })
        .collect();
    world.run();
    let won = buyers.iter().filter(|id| world.status(**id) == Is::Shipped).count();
    assert_eq!(won, 1);
    assert_eq!((world.stock_of("rare").on_hand, world.stock_of("rare").held), (0, 0));
}

#[test]
fn a_paid_order_that_is_cancelled_gets_its_money_and_goods_back() {
    let settings = FlowSettings { simulation_step_ms: 200, ..Default::default() };
    for wait in [0, 100, 300, 500, 700] {
        let mut world = World::new(&settings);
        let id = world.place(1, &[("b", 2, 2_500)], Some("pm_refund_fails_once"));
        world.wait(wait);
        let outcome = world.cancel(id, ActorKind::Admin).unwrap();
        assert_eq!(outcome.kind, OutcomeKind::Applied, "after {wait} ms");
        assert_eq!(world.status(id), Is::Cancelled);
        world.wait(120_000);
        let balances = world.balances(id);
        assert_eq!((balances.open, balances.kept), (0, 0), "after {wait} ms");
        assert_eq!((world.stock_of("b").on_hand, world.stock_of("b").held), (3, 0));
        let order = world.order(id);
        if balances.refunded > 0 {
            assert_eq!(order.payment_status, PaymentStatus::Refunded);
            assert_eq!(order.refunds[0].status, "settled");
        }
        let again = world.cancel(id, ActorKind::Customer).unwrap();
        assert_eq!(again.kind, OutcomeKind::Replayed);
    }
}

#[test]
fn a_carrier_delivers_when_the_simulator_never_does() {
    let settings = FlowSettings { carrier_delivery_ms: None, ..Default::default() };
    let mut world = World::new(&settings);
    let id = world.place(1, &[("a", 1, 1_000)], None);
    world.wait(7_200_000);
    assert_eq!(world.status(id), Is::Shipped);
    let notice = FulfillmentEvent {
        request_id: "ups-1".to_owned(),
        order_id: id,
        kind: FulfillmentEventKind::Delivered,
        carrier: Some("UPS".to_owned()),
        tracking_number: Some("1Z".to_owned()),
        occurred_at: Micros(0),
    };
    for _ in 0..2 {
        world.send(&topics::CARRIER_EVENTS, &id.to_string(), &notice);
    }
    assert_eq!(world.status(id), Is::Delivered);
    assert_eq!(world.events(id).len(), 7);
}
