//! Orders that an administrator calls off on other terms than the usual.

use super::*;

fn no_refund() -> CancelOrder {
    CancelOrder { refund: Some(false), ..CancelOrder::default() }
}

fn no_restock() -> CancelOrder {
    CancelOrder { restock: Some(false), ..CancelOrder::default() }
}

#[test]
fn captured_money_is_kept_if_so_told() {
    for status in [Is::Paid, Is::Fulfilled] {
        let mut desk = Desk::at(status);
        desk.cancel_on(ActorKind::Admin, no_refund());
        desk.parcel(Parcel::Stopped);
        desk.goods(Goods::Released);
        assert_eq!(desk.asked(RequestKind::Refund), 0);
        let order = &desk.state().order;
        assert_eq!((order.payment_status, order.refunds.len()), (PaymentStatus::Paid, 0));
        assert_eq!((desk.status(), desk.deadline), (Is::Cancelled, None));
    }
}

#[test]
fn a_capture_on_its_way_is_kept_too() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    desk.goods(Goods::Extended);
    desk.cancel_on(ActorKind::Admin, no_refund());
    desk.goods(Goods::Released);
    desk.pay(Paid::Captured);
    assert_eq!(desk.asked(RequestKind::Refund), 0);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::Paid);
    let last = desk.events().pop().unwrap();
    assert_eq!(last.changed, ["payment_status"]);
    let before = last.before.clone().unwrap();
    assert_eq!(before.payment_status, Some(PaymentStatus::Authorized));
    assert_eq!(desk.deadline, None);
}

#[test]
fn money_that_is_only_reserved_is_voided_on_any_terms() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    desk.cancel_on(ActorKind::Admin, no_refund());
    assert_eq!((desk.asked(RequestKind::Void), desk.asked(RequestKind::Refund)), (1, 0));

    let mut refused = Desk::at(Is::Processing);
    refused.pay(Paid::Authorized);
    refused.goods(Goods::Extended);
    refused.cancel_on(ActorKind::Admin, no_refund());
    let events = refused.events().len();
    let id = refused.last(|output| match output {
        Output::Payment(c) if c.kind == PaymentCommandKind::Capture => Some(c.request_id.clone()),
        _ => None,
    });
    let answer = PaymentEvent { request_id: id, kind: Paid::Declined, ..samples_of(&refused) };
    refused.input(Input::Payment(answer));
    assert_eq!(refused.asked(RequestKind::Void), 1, "the capture was refused");
    assert_eq!(refused.events().len(), events, "the payment status did not change");
}

fn samples_of(desk: &Desk) -> PaymentEvent {
    PaymentEvent {
        request_id: String::new(),
        order_id: desk.state().order.order_id,
        kind: Paid::Declined,
        amount: desk.state().order.total(),
        attempt: 1,
        occurred_at: Micros(0),
        detail: None,
    }
}

#[test]
fn goods_that_are_not_restocked_leave_the_books() {
    for status in [Is::Pending, Is::Validated, Is::Processing, Is::Paid, Is::Fulfilled] {
        let mut desk = Desk::at(status);
        desk.cancel_on(ActorKind::Admin, no_restock());
        if matches!(status, Is::Paid | Is::Fulfilled) {
            assert_eq!(desk.asked(RequestKind::Commit), 0, "they may still leave the building");
            desk.parcel(Parcel::Stopped);
        }
        assert_eq!((desk.asked(RequestKind::Release), desk.asked(RequestKind::Commit)), (0, 1));
        desk.goods(Goods::Committed);
        assert_eq!(desk.state().hold, Hold::Committed, "{status:?}");
    }
}

#[test]
fn only_administrators_set_terms() {
    let asked = CancelOrder {
        restock: Some(false),
        refund: Some(false),
        notify_customer: Some(false),
        ..CancelOrder::default()
    };
    for (actor, held) in [(ActorKind::Customer, true), (ActorKind::Admin, false)] {
        let mut desk = Desk::at(Is::Paid);
        desk.cancel_on(actor, asked.clone());
        let terms = desk.events().pop().unwrap().cancel.clone().unwrap();
        let expected = CancelOrder {
            reason: "customer".to_owned(),
            note: None,
            restock: Some(held),
            refund: Some(held),
            notify_customer: Some(held),
        };
        assert_eq!(terms, expected, "{actor:?}");
        assert_eq!(desk.asked(RequestKind::Refund), usize::from(held), "{actor:?}");
    }
}

#[test]
fn what_ends_by_itself_ends_on_the_usual_terms() {
    let mut desk = Desk::at(Is::Validated);
    desk.goods(Goods::HoldExpired);
    let event = desk.events().pop().unwrap();
    assert_eq!(event.event_type, OrderEventType::Cancelled);
    let terms = event.cancel.clone().unwrap();
    assert_eq!((terms.reason.as_str(), terms.refund), ("hold_expired", Some(true)));
}
