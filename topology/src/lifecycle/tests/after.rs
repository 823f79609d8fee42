//! Answers after the end: they change nothing, and nothing is kept.

use super::*;

#[test]
fn a_hold_that_comes_after_the_end_is_released() {
    let mut desk = Desk::placed();
    desk.cancel();
    assert_eq!(desk.asked(RequestKind::Release), 1);
    desk.goods(Goods::Held);
    assert_eq!(desk.asked(RequestKind::Release), 1, "the release is on its way");
    desk.goods(Goods::Released);
    desk.goods(Goods::Held);
    assert_eq!(desk.asked(RequestKind::Release), 2);
    desk.goods(Goods::Released);
    assert_eq!((desk.status(), desk.deadline), (Is::Cancelled, None));
}

#[test]
fn reports_that_come_after_the_end_change_nothing() {
    let mut desk = Desk::at(Is::Delivered);
    let before = (desk.state().clone(), desk.said.len());
    for (_, act) in HAPPY_PATH {
        act(&mut desk);
    }
    desk.goods(Goods::HoldExpired);
    desk.pay(Paid::Expired);
    assert_eq!((desk.state().clone(), desk.said.len()), before);
}

#[test]
fn answers_about_an_order_nobody_placed_are_ignored() {
    let mut desk = Desk::new();
    let result = StockResult {
        request_id: "x".to_owned(),
        warehouse: "main".to_owned(),
        kind: Goods::Held,
        order_id: Some(samples::order_id(1)),
        short: Vec::new(),
    };
    assert_eq!(desk.input(Input::Stock(result)), []);
    assert!(desk.state.is_none());
}

#[test]
fn a_shipped_order_keeps_asking_until_it_is_delivered() {
    let mut desk = Desk::at(Is::Shipped);
    desk.goods(Goods::Committed);
    let asked = desk.asked(RequestKind::Ship);
    desk.wait();
    assert_eq!(desk.asked(RequestKind::Ship), asked + 1);
    assert!(desk.deadline.is_some());
}
