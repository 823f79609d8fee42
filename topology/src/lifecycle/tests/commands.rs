//! What callers can ask, in every status.

use super::*;

fn place_with(desk: &mut Desk, id: &str, fingerprint: Option<&str>, user: u128) -> OutcomeKind {
    let lines = [("a", 2, 2_999)];
    let mut command =
        samples::place(id, samples::order_id(1), samples::user_id(user), &lines, None);
    command.fingerprint = fingerprint.map(str::to_owned);
    desk.command(command).kind
}

#[test]
fn placing_twice_makes_one_order() {
    let mut desk = Desk::new();
    assert_eq!(place_with(&mut desk, "p1", Some("x"), 1), OutcomeKind::Applied);
    assert_eq!(place_with(&mut desk, "p2", Some("x"), 1), OutcomeKind::Replayed);
    assert_eq!(place_with(&mut desk, "p3", Some("y"), 1), OutcomeKind::Conflict);
    assert_eq!(place_with(&mut desk, "p4", None, 1), OutcomeKind::Conflict);
    assert_eq!(place_with(&mut desk, "p5", Some("x"), 2), OutcomeKind::Conflict);
    assert_eq!(place_with(&mut desk, "p1", Some("x"), 1), OutcomeKind::Applied, "redelivered");
    assert_eq!(desk.event_types(), [OrderEventType::Created]);
    assert_eq!(desk.asked(RequestKind::Hold), 1);
}

#[test]
fn a_refused_body_makes_no_order_and_uses_nothing_up() {
    let mut desk = Desk::new();
    let mut command =
        samples::place("p", samples::order_id(1), samples::user_id(1), &[("a", 1, 5)], None);
    command.place.as_mut().unwrap().total_minor = 6;
    let outcome = desk.command(command);
    assert_eq!((outcome.kind, outcome.version), (OutcomeKind::Invalid, 0));
    assert!(desk.state.is_none());
    assert_eq!(desk.place().kind, OutcomeKind::Applied);
}

#[test]
fn a_strangers_order_does_not_exist() {
    let mut nobody = Desk::new();
    assert_eq!(nobody.cancel_as(ActorKind::Customer).kind, OutcomeKind::NotFound);
    let mut desk = Desk::placed();
    let mut command = desk.next(CommandKind::Cancel);
    command.user_id = samples::user_id(2);
    command.cancel = Some(CancelOrder { reason: "mine".to_owned(), ..CancelOrder::default() });
    let outcome = desk.command(command);
    assert_eq!((outcome.kind, outcome.status, outcome.version), (OutcomeKind::NotFound, None, 0));
    assert_eq!(outcome.allowed, []);
    assert_eq!(desk.status(), Is::Pending);
}

#[test]
fn who_may_cancel_in_which_status() {
    for status in OrderStatus::ALL {
        let reachable = !matches!(status, Is::Cancelled | Is::Failed);
        for (actor, late, expected) in [
            (ActorKind::Admin, true, !matches!(status, Is::Shipped | Is::Delivered)),
            (
                ActorKind::Customer,
                true,
                matches!(status, Is::Pending | Is::Validated | Is::Processing),
            ),
            (ActorKind::Customer, false, !matches!(status, Is::Shipped | Is::Delivered)),
        ] {
            if !reachable {
                continue;
            }
            let mut desk = Desk::at(status);
            desk.now += if late { desk.settings.cancel_grace_ms } else { 0 };
            let outcome = desk.cancel_as(actor);
            let kind = if expected { OutcomeKind::Applied } else { OutcomeKind::NotAllowed };
            assert_eq!(outcome.kind, kind, "{actor:?} {status:?} late={late}");
            assert_eq!(desk.status(), if expected { Is::Cancelled } else { status });
            assert_eq!(outcome.allowed, transitions::allowed_from(desk.status()));
        }
    }
}

#[test]
fn cancelling_twice_does_nothing_the_second_time() {
    let mut desk = Desk::placed();
    assert_eq!(desk.cancel().kind, OutcomeKind::Applied);
    let events = desk.events().len();
    let mut again = desk.next(CommandKind::Cancel);
    again.expected_version = Some(1);
    again.cancel = Some(CancelOrder { reason: "again".to_owned(), ..CancelOrder::default() });
    assert_eq!(desk.command(again).kind, OutcomeKind::Replayed);
    assert_eq!(desk.events().len(), events);
    assert_eq!(desk.state().order.cancel_reason.as_deref(), Some("customer"));
}

#[test]
fn the_expected_version_must_match() {
    let mut desk = Desk::placed();
    let mut command = desk.next(CommandKind::Amend);
    command.expected_version = Some(2);
    command.amend = Some(AmendOrder::default());
    let outcome = desk.command(command);
    assert_eq!((outcome.kind, outcome.version), (OutcomeKind::VersionMismatch, 1));
}

fn metadata(value: &str) -> AmendOrder {
    let metadata = [("note".to_owned(), Some(value.to_owned()))].into();
    AmendOrder { metadata, ..AmendOrder::default() }
}

fn three_of_b() -> AmendOrder {
    AmendOrder {
        items: Some(samples::place_lines(&[("b", 3, 10)])),
        total_minor: Some(30),
        ..AmendOrder::default()
    }
}

#[test]
fn metadata_changes_in_any_status_and_goods_only_while_pending() {
    for status in [Is::Pending, Is::Validated, Is::Processing, Is::Paid, Is::Shipped, Is::Delivered]
    {
        let mut desk = Desk::at(status);
        let version = desk.state().order.version;
        assert_eq!(desk.amend(metadata("1")).kind, OutcomeKind::Applied);
        assert_eq!(desk.amend(metadata("1")).kind, OutcomeKind::Replayed, "nothing to do");
        assert_eq!(desk.state().order.version, version + 1);
        assert_eq!(desk.events().last().unwrap().changed, ["metadata"]);
        let kind = desk.amend(three_of_b()).kind;
        let pending = status == Is::Pending;
        assert_eq!(kind, if pending { OutcomeKind::Applied } else { OutcomeKind::NotAllowed });
        assert_eq!(desk.status(), status);
    }
}

#[test]
fn amended_goods_are_checked_and_held_anew() {
    let mut desk = Desk::placed();
    desk.verdict(Check::Pricing, &[]);
    desk.goods(Goods::Held);
    assert_eq!(desk.amend(three_of_b()).kind, OutcomeKind::Applied);
    assert_eq!(desk.asked(RequestKind::Hold), 2);
    desk.verdict_on(1, Check::Fraud, &[Why::FraudLimit]);
    desk.verdict_on(1, Check::Pricing, &[]);
    assert_eq!(desk.status(), Is::Pending, "verdicts on the old version don't count");
    desk.verdict(Check::Pricing, &[]);
    desk.verdict(Check::Fraud, &[]);
    assert_eq!(desk.status(), Is::Pending, "the new hold is not there");
    desk.goods(Goods::Held);
    assert_eq!(desk.status(), Is::Processing);
    assert_eq!(desk.state().order.total_minor, 30);
}

#[test]
fn a_new_address_asks_the_validator_but_keeps_the_hold() {
    let mut desk = Desk::placed();
    desk.goods(Goods::Held);
    let mut address = samples::address();
    address.city = "Albany".to_owned();
    let body = AmendOrder { shipping_address: Some(address), ..AmendOrder::default() };
    desk.amend(body);
    assert_eq!((desk.asked(RequestKind::Hold), desk.state().checks.version), (1, 2));
    desk.verdict(Check::Pricing, &[]);
    desk.verdict(Check::Fraud, &[]);
    assert_eq!(desk.status(), Is::Processing);
}

#[test]
fn an_amendment_that_contradicts_itself_is_invalid() {
    let mut desk = Desk::placed();
    let mut body = three_of_b();
    body.total_minor = Some(31);
    assert_eq!(desk.amend(body).kind, OutcomeKind::Invalid);
    let body = AmendOrder { total_minor: Some(5), ..AmendOrder::default() };
    assert_eq!(desk.amend(body).kind, OutcomeKind::Invalid);
    assert_eq!(desk.state().order.version, 1);
}

#[test]
fn administrators_move_orders_along_their_rows_of_the_table() {
    for from in OrderStatus::ALL.into_iter().filter(|s| !matches!(s, Is::Cancelled | Is::Failed)) {
        for to in OrderStatus::ALL {
            let mut desk = Desk::at(from);
            let outcome = desk.set_status(to, Some("T1"));
            let row = transitions::is_allowed_for(from, to, transitions::Role::Admin);
            let expected = match (from == to, row) {
                (true, _) => OutcomeKind::Replayed,
                (false, true) => OutcomeKind::Applied,
                (false, false) => OutcomeKind::NotAllowed,
            };
            assert_eq!(outcome.kind, expected, "{from:?} → {to:?}");
            assert_eq!(desk.status(), if row { to } else { from });
        }
    }
}

#[test]
fn shipping_by_hand_needs_a_number_and_the_workers_report_comes_too_late() {
    let mut desk = Desk::at(Is::Fulfilled);
    assert_eq!(desk.set_status(Is::Shipped, None).kind, OutcomeKind::Invalid);
    assert_eq!(desk.set_status(Is::Shipped, Some("T1")).kind, OutcomeKind::Applied);
    desk.parcel(Parcel::Shipped);
    let shipments = &desk.state().order.shipments;
    assert_eq!(shipments.len(), 1);
    assert_eq!(shipments[0].tracking_number, "T1");
    assert_eq!(desk.asked(RequestKind::Commit), 1);
    assert_eq!(desk.set_status(Is::Delivered, None).kind, OutcomeKind::Applied);
    desk.goods(Goods::Committed);
    assert_eq!(desk.deadline, None);
}

#[test]
fn a_command_without_its_body_is_invalid() {
    let mut desk = Desk::placed();
    let command = desk.next(CommandKind::Cancel);
    assert_eq!(desk.command(command).kind, OutcomeKind::Invalid);
}
