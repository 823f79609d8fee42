//! What each type of event says of its own (`contract.md` §4).

use super::*;

fn event(desk: &Desk, event_type: OrderEventType) -> OrderEvent {
    let events = desk.events();
    let found = events.into_iter().find(|event| event.event_type == event_type);
    found.expect("it happened").clone()
}

#[test]
fn validated_says_what_is_held_and_what_was_checked() {
    let desk = Desk::at(Is::Delivered);
    let validated = event(&desk, OrderEventType::Validated);
    let hold = &validated.holds[0];
    assert_eq!(hold.hold_id, format!("{}:hold:1", samples::order_id(1)));
    assert_eq!((hold.warehouse.as_str(), &hold.lines), ("main", &desk_lines()));
    let checks: Vec<_> = validated.checks.iter().map(|c| (c.check.as_str(), c.passed)).collect();
    assert_eq!(checks, [("pricing", true), ("fraud", true), ("stock", true)]);
    let created = event(&desk, OrderEventType::Created);
    assert!(created.holds.is_empty() && created.checks.is_empty());
}

fn desk_lines() -> Vec<schemas::messages::ShipmentLine> {
    vec![schemas::messages::ShipmentLine { line_id: "1".to_owned(), quantity: 2 }]
}

#[test]
fn fulfilled_says_what_was_packed() {
    let desk = Desk::at(Is::Fulfilled);
    assert_eq!(event(&desk, OrderEventType::Fulfilled).lines, desk_lines());
}

#[test]
fn updated_says_how_it_was_before() {
    let mut desk = Desk::placed();
    let placed = desk.state().order.clone();
    let body = AmendOrder {
        items: Some(samples::place_lines(&[("b", 3, 10)])),
        total_minor: Some(30),
        metadata: [("gift".to_owned(), Some("true".to_owned()))].into(),
        ..AmendOrder::default()
    };
    desk.amend(body);
    let updated = event(&desk, OrderEventType::Updated);
    assert_eq!(updated.changed, ["items", "total_amount", "metadata"]);
    let before = updated.before.unwrap();
    assert_eq!((before.items, before.total_minor), (Some(placed.items), Some(placed.total_minor)));
    assert_eq!(before.metadata, Some(placed.metadata));
    assert_eq!((before.shipping_address, before.payment_status), (None, None));
}

#[test]
fn an_administrators_reason_stands_in_every_event() {
    let mut desk = Desk::at(Is::Fulfilled);
    for (status, event_type) in
        [(Is::Shipped, OrderEventType::Shipped), (Is::Delivered, OrderEventType::Delivered)]
    {
        let mut command = desk.next(CommandKind::SetStatus);
        command.actor = Actor { kind: ActorKind::Admin, id: "admin".to_owned() };
        command.set_status = Some(SetStatus {
            status,
            reason: Some("the carrier called".to_owned()),
            tracking_number: Some("T1".to_owned()),
            carrier: None,
        });
        desk.command(command);
        let reason = event(&desk, event_type).reason.unwrap();
        assert_eq!(reason.code, "by_hand");
        assert_eq!(reason.detail.as_deref(), Some("the carrier called"));
    }
}

#[test]
fn the_largest_amendment_fits_into_a_record() {
    use schemas::avro::{Encoder, Local};

    let long = |n: usize, letter: &str| format!("{n:03}{}", letter.repeat(230));
    let lines = |letter: &str| -> Vec<_> {
        let names: Vec<String> = (0..1_000).map(|n| long(n, letter)).collect();
        let lines: Vec<_> = names.iter().map(|name| (name.as_str(), 1_000_000, 1_000)).collect();
        samples::place_lines(&lines)
    };
    let mut desk = Desk::new();
    let mut place =
        samples::place("p", samples::order_id(1), samples::user_id(1), &[("a", 1, 1)], None);
    let body = place.place.as_mut().unwrap();
    (body.items, body.total_minor) = (lines("x"), 1_000_000_000_000);
    assert_eq!(desk.command(place).kind, OutcomeKind::Applied);
    let body = AmendOrder {
        items: Some(lines("y")),
        total_minor: Some(1_000_000_000_000),
        ..AmendOrder::default()
    };
    assert_eq!(desk.amend(body).kind, OutcomeKind::Applied);
    let encoder =
        Encoder::for_topic(&schemas::topics::ORDER_EVENTS, Local::source().as_ref()).unwrap();
    for event in desk.events() {
        let bytes = encoder.encode_to_vec(event).unwrap().len();
        assert!(bytes < 950_000, "{:?}: {bytes} bytes", event.event_type);
    }
}
