//! Processing and after: the money always ends where it belongs.

use super::*;

#[test]
fn refusals_fail_the_order_and_give_the_hold_back() {
    for (answer, reason) in [
        (Paid::Declined, Why::PaymentDeclined),
        (Paid::InsufficientFunds, Why::InsufficientFunds),
        (Paid::Expired, Why::AuthorizationExpired),
    ] {
        let mut desk = Desk::at(Is::Processing);
        desk.pay(answer);
        assert_eq!(desk.state().order.failure_reason, Some(reason));
        assert_eq!((desk.asked(RequestKind::Release), desk.asked(RequestKind::Void)), (1, 0));
        desk.goods(Goods::Released);
        assert_eq!(desk.deadline, None);
    }
}

#[test]
fn an_authorisation_that_runs_out_while_the_capture_is_asked() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    desk.goods(Goods::Extended);
    desk.pay(Paid::Expired);
    let order = &desk.state().order;
    assert_eq!(order.failure_reason, Some(Why::AuthorizationExpired));
    assert_eq!(order.payment_status, PaymentStatus::Expired);
}

/// Waits until the order leaves `processing`.
fn time_out(desk: &mut Desk) {
    while desk.status() == Is::Processing {
        desk.wait();
    }
    assert_eq!(desk.state().order.failure_reason, Some(Why::PaymentTimeout));
}

#[test]
fn a_silent_provider_fails_the_order_and_its_late_authorisation_is_voided() {
    let mut desk = Desk::at(Is::Processing);
    let asked = desk.now;
    time_out(&mut desk);
    assert_eq!(desk.now, asked + desk.settings.payment_timeout_ms);
    assert_eq!((desk.asked(RequestKind::Void), desk.asked(RequestKind::Release)), (1, 1));
    desk.pay(Paid::Voided);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::None, "nothing was reserved");
    desk.pay(Paid::Authorized);
    assert_eq!(desk.asked(RequestKind::Void), 2);
    desk.pay(Paid::Voided);
    desk.goods(Goods::Released);
    assert_eq!(desk.deadline, None);
    assert_eq!(desk.status(), Is::Failed);
}

#[test]
fn a_late_capture_is_refunded() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    desk.goods(Goods::Extended);
    time_out(&mut desk);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::RefundPending);
    assert_eq!(desk.asked(RequestKind::Void), 0, "what is being captured can't be voided");
    desk.pay(Paid::Captured);
    assert_eq!(desk.asked(RequestKind::Refund), 1);
    desk.pay(Paid::Refunded);
    desk.goods(Goods::Released);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::Refunded);
    assert_eq!(desk.event_types().last(), Some(&OrderEventType::Refunded));
    assert_eq!(desk.deadline, None);
}

#[test]
fn cancelling_while_processing_voids_what_is_reserved() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    assert_eq!(desk.cancel().status, Some(Is::Cancelled));
    assert_eq!(desk.state().order.payment_status, PaymentStatus::Authorized);
    desk.pay(Paid::Voided);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::Voided);
    assert_eq!(desk.events().last().unwrap().changed, ["payment_status"]);
    desk.goods(Goods::Released);
    assert_eq!(desk.deadline, None);
}

#[test]
fn cancelling_while_the_capture_is_asked_refunds_it_or_drops_the_refund() {
    let capturing = || {
        let mut desk = Desk::at(Is::Processing);
        desk.pay(Paid::Authorized);
        desk.goods(Goods::Extended);
        desk.cancel();
        assert_eq!(desk.state().order.payment_status, PaymentStatus::RefundPending);
        desk.goods(Goods::Released);
        desk
    };
    let mut taken = capturing();
    taken.pay(Paid::Captured);
    taken.pay(Paid::Refunded);
    assert_eq!(taken.state().order.payment_status, PaymentStatus::Refunded);
    let mut ran_out = capturing();
    ran_out.pay(Paid::Expired);
    assert_eq!(ran_out.state().order.payment_status, PaymentStatus::Expired);
    assert_eq!(ran_out.state().order.refunds, []);
    for desk in [taken, ran_out] {
        assert_eq!((desk.status(), desk.deadline), (Is::Cancelled, None));
    }
}

#[test]
fn cancelling_a_paid_order_refunds_and_restocks_when_nothing_can_leave() {
    for status in [Is::Paid, Is::Fulfilled] {
        let mut desk = Desk::at(status);
        desk.cancel();
        let order = &desk.state().order;
        assert_eq!(order.payment_status, PaymentStatus::RefundPending);
        assert_eq!(order.refunds[0].status, "pending");
        assert_eq!(desk.asked(RequestKind::Release), 0);
        desk.parcel(Parcel::Stopped);
        assert_eq!(desk.asked(RequestKind::Release), 1);
        desk.goods(Goods::Released);
        desk.pay(Paid::Refunded);
        assert_eq!(desk.state().order.refunds[0].status, "settled");
        assert_eq!((desk.status(), desk.deadline), (Is::Cancelled, None));
    }
}

#[test]
fn what_left_before_it_could_be_stopped_leaves_the_books() {
    let mut desk = Desk::at(Is::Fulfilled);
    desk.cancel();
    desk.parcel(Parcel::Shipped);
    assert_eq!((desk.asked(RequestKind::Release), desk.asked(RequestKind::Commit)), (0, 1));
    desk.goods(Goods::Committed);
    desk.pay(Paid::Refunded);
    assert_eq!((desk.status(), desk.deadline), (Is::Cancelled, None));
}

#[test]
fn a_refused_refund_is_tried_again_until_it_settles() {
    let mut desk = Desk::at(Is::Paid);
    desk.cancel();
    desk.parcel(Parcel::Stopped);
    desk.goods(Goods::Released);
    for attempt in 1..=desk.settings.refund_attempts + 1 {
        desk.pay(Paid::RefundFailed);
        desk.pay(Paid::RefundFailed);
        assert_eq!(desk.state().refunds_refused, attempt, "a repeat is not another refusal");
        desk.wait();
    }
    let failed = desk.event_types().iter().filter(|t| **t == OrderEventType::RefundFailed).count();
    assert_eq!(failed, 1);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::RefundPending);
    desk.pay(Paid::Refunded);
    assert_eq!(desk.state().order.payment_status, PaymentStatus::Refunded);
    assert_eq!(desk.deadline, None);
}

#[test]
fn a_hold_lost_before_the_capture_is_asked_for_again() {
    let mut desk = Desk::at(Is::Processing);
    desk.goods(Goods::HoldExpired);
    desk.pay(Paid::Authorized);
    assert_eq!((desk.asked(RequestKind::Hold), desk.asked(RequestKind::Capture)), (2, 0));
    let mut lucky = desk;
    lucky.goods(Goods::Held);
    assert_eq!(lucky.asked(RequestKind::Capture), 1);
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    desk.goods(Goods::NoHold);
    desk.goods(Goods::Refused);
    assert_eq!(desk.state().order.failure_reason, Some(Why::OutOfStock));
    assert_eq!(desk.asked(RequestKind::Void), 1);
}

#[test]
fn goods_lost_after_the_capture_are_held_anew_or_the_money_goes_back() {
    let mut desk = Desk::at(Is::Paid);
    desk.goods(Goods::HoldExpired);
    assert_eq!(desk.asked(RequestKind::Hold), 2);
    desk.goods(Goods::Refused);
    assert_eq!(desk.status(), Is::Cancelled);
    assert_eq!(desk.state().order.cancel_reason.as_deref(), Some("out_of_stock"));
    assert_eq!(desk.state().order.payment_status, PaymentStatus::RefundPending);
}
