//! Pending: verdicts, their precedence, and what happens without them.

use super::*;

/// Hands in all three verdicts in the given order.
fn judge(order: [usize; 3], pricing: &[Why], fraud: &[Why], held: bool) -> Desk {
    let mut desk = Desk::placed();
    for check in order {
        match check {
            0 => desk.verdict(Check::Pricing, pricing),
            1 => desk.verdict(Check::Fraud, fraud),
            _ => drop(desk.goods(if held { Goods::Held } else { Goods::Refused })),
        }
    }
    desk
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn the_reason_is_the_first_by_precedence_in_any_order_of_answers() {
    for order in ORDERS {
        for (pricing, fraud, held, reason) in [
            (
                &[Why::UnknownProduct, Why::PriceMismatch][..],
                &[Why::FraudLimit][..],
                false,
                Why::UnknownProduct,
            ),
            (&[Why::PriceMismatch], &[Why::FraudLimit], false, Why::PriceMismatch),
            (&[], &[Why::FraudLimit], false, Why::FraudLimit),
            (&[], &[], false, Why::OutOfStock),
            (&[], &[Why::FraudLimit], true, Why::FraudLimit),
        ] {
            let desk = judge(order, pricing, fraud, held);
            let failed = &desk.state().order;
            assert_eq!((failed.status, failed.failure_reason), (Is::Failed, Some(reason)));
            let detail = failed.failure_detail.as_deref().unwrap();
            for failure in pricing.iter().chain(fraud) {
                let code = super::super::checks::failure_code(*failure);
                assert!(detail.contains(code), "{detail}");
            }
            assert_eq!(desk.asked(RequestKind::Release), usize::from(held));
            assert_eq!(desk.asked(RequestKind::Authorize), 0);
        }
        assert_eq!(judge(order, &[], &[], true).status(), Is::Processing);
    }
}

#[test]
fn a_failure_waits_for_all_verdicts_so_that_its_detail_names_all() {
    let mut desk = Desk::placed();
    desk.verdict(Check::Fraud, &[Why::FraudLimit]);
    assert_eq!(desk.status(), Is::Pending);
    desk.goods(Goods::Refused);
    desk.verdict(Check::Pricing, &[]);
    let detail = desk.state().order.failure_detail.clone().unwrap();
    assert!(
        detail.contains("fraud_limit") && detail.contains("a: 2 asked, 1 available"),
        "{detail}"
    );
    assert_eq!(desk.events().last().unwrap().errors.len(), 2);
}

#[test]
fn a_repeated_pass_never_stands_in_for_a_missing_verdict() {
    let mut desk = Desk::placed();
    for _ in 0..3 {
        desk.verdict(Check::Pricing, &[]);
    }
    desk.goods(Goods::Held);
    assert_eq!(desk.status(), Is::Pending);
    desk.verdict(Check::Fraud, &[Why::FraudLimit]);
    assert_eq!(desk.status(), Is::Failed);
    assert!(!desk.event_types().contains(&OrderEventType::Validated));
}

#[test]
fn silence_fails_the_order_and_gives_the_hold_back() {
    let mut silent = Desk::placed();
    silent.goods(Goods::Held);
    while silent.status() == Is::Pending {
        silent.wait();
    }
    assert_eq!(silent.now, 10_000 + silent.settings.validation_timeout_ms);
    assert_eq!(silent.state().order.failure_reason, Some(Why::ValidationTimeout));
    let detail = silent.state().order.failure_detail.clone().unwrap();
    assert!(detail.contains("pricing, fraud") && !detail.contains("stock"), "{detail}");
    assert_eq!(silent.asked(RequestKind::Release), 1);
    silent.goods(Goods::Released);
    assert_eq!(silent.deadline, None);
    assert_eq!(silent.events().last().unwrap().actor.kind, ActorKind::Timer);
}

#[test]
fn a_known_failure_decides_when_the_time_is_up() {
    let mut desk = Desk::placed();
    desk.verdict(Check::Pricing, &[Why::PriceMismatch]);
    while desk.status() == Is::Pending {
        desk.wait();
    }
    assert_eq!(desk.state().order.failure_reason, Some(Why::PriceMismatch));
    assert_eq!(desk.asked(RequestKind::Release), 1, "the hold may still be on its way");
}

#[test]
fn unanswered_requests_are_repeated_with_the_same_id() {
    let mut desk = Desk::placed();
    let due = desk.deadline;
    let again = desk.wait();
    let holds: Vec<_> = desk.said.iter().filter(|o| matches!(o, Output::Stock(_))).collect();
    assert_eq!(due, Some(10_000 + desk.settings.resend_after_ms));
    assert_eq!(again.len(), 1);
    assert_eq!(holds[0], holds[1]);
}

#[test]
fn a_hold_that_runs_out_before_the_payment_calls_the_order_off() {
    let mut desk = Desk::placed();
    desk.goods(Goods::Held);
    desk.goods(Goods::HoldExpired);
    assert_eq!(desk.status(), Is::Cancelled);
    assert_eq!(desk.state().order.cancel_reason.as_deref(), Some("hold_expired"));
    assert_eq!(desk.asked(RequestKind::Release), 0);
}

#[test]
fn an_unknown_product_is_not_also_out_of_stock() {
    let mut desk = Desk::placed();
    let error = FieldError {
        field: "items[0].product_id".to_owned(),
        code: "unknown_product".to_owned(),
        message: "a is not in the catalogue".to_owned(),
    };
    desk.input(Input::Validation(OrderValidation {
        order_id: samples::order_id(1),
        version: 1,
        check: Check::Pricing,
        passed: false,
        failures: vec![Why::UnknownProduct],
        errors: vec![error],
    }));
    desk.verdict(Check::Fraud, &[]);
    desk.goods(Goods::Refused);
    let detail = desk.state().order.failure_detail.clone().unwrap();
    assert!(!detail.contains("out_of_stock"), "{detail}");
}

#[test]
fn the_next_warehouse_is_asked_when_one_refuses() {
    let warehouses = vec!["main".to_owned(), "north".to_owned()];
    let mut desk = Desk::with(FlowSettings { warehouses, ..FlowSettings::default() });
    desk.place();
    desk.verdict(Check::Pricing, &[]);
    desk.verdict(Check::Fraud, &[]);
    desk.goods(Goods::Refused);
    assert_eq!((desk.status(), desk.asked(RequestKind::Hold)), (Is::Pending, 2));
    let asked = desk.last(|output| match output {
        Output::Stock(command) => Some(command.warehouse.clone()),
        _ => None,
    });
    assert_eq!(asked, "north");
    desk.goods(Goods::Held);
    assert_eq!((desk.status(), &*desk.state().order.warehouse), (Is::Processing, "north"));
    let mut unlucky = Desk::with(desk.settings.clone());
    unlucky.place();
    unlucky.verdict(Check::Pricing, &[]);
    unlucky.verdict(Check::Fraud, &[]);
    unlucky.goods(Goods::Refused);
    unlucky.goods(Goods::Refused);
    assert_eq!(unlucky.state().order.failure_reason, Some(Why::OutOfStock));
}

#[test]
fn an_order_that_would_not_fit_into_a_record_is_refused() {
    let mut desk = Desk::new();
    let lines: Vec<_> = (0..1_000).map(|_| ("a", 1, 5)).collect();
    let mut command =
        samples::place("big", samples::order_id(1), samples::user_id(1), &lines, None);
    let text = "x".repeat(300 * 1024);
    command.place.as_mut().unwrap().metadata.insert("note".to_owned(), text.clone());
    assert_eq!(desk.command(command.clone()).kind, OutcomeKind::Invalid);
    command.command_id = "small".to_owned();
    command.place.as_mut().unwrap().metadata.clear();
    assert_eq!(desk.command(command).kind, OutcomeKind::Applied);
    let metadata = [("note".to_owned(), Some(text))].into();
    let outcome = desk.amend(AmendOrder { metadata, ..AmendOrder::default() });
    assert_eq!((outcome.kind, outcome.version), (OutcomeKind::Invalid, 1));
    assert!(desk.state().order.metadata.is_empty());
}

#[test]
fn a_failed_order_of_a_thousand_lines_names_fifty_errors_and_counts_the_rest() {
    let mut desk = Desk::placed();
    let error = |n: usize| FieldError {
        field: format!("items[{n}].price"),
        code: "price_mismatch".to_owned(),
        message: "wrong".to_owned(),
    };
    desk.input(Input::Validation(OrderValidation {
        order_id: samples::order_id(1),
        version: 1,
        check: Check::Pricing,
        passed: false,
        failures: vec![Why::PriceMismatch],
        errors: (0..1_000).map(error).collect(),
    }));
    desk.verdict(Check::Fraud, &[]);
    desk.goods(Goods::Held);
    let detail = desk.state().order.failure_detail.clone().unwrap();
    assert!(detail.ends_with("and 950 more"), "{detail}");
    assert_eq!(desk.events().last().unwrap().errors.len(), 50);
}
