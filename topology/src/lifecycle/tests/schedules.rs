//! Random schedules: whatever comes in whatever order, the order ends, the
//! table is kept, and every command has one answer.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Verdict(Check, bool),
    Goods(StockResultKind),
    Pay(PaymentEventKind),
    Parcel(FulfillmentEventKind),
    Cancel(ActorKind),
    Amend,
    SetStatus(OrderStatus),
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    use proptest::sample::select;
    let goods = vec![
        Goods::Held,
        Goods::Held,
        Goods::Refused,
        Goods::Extended,
        Goods::NoHold,
        Goods::HoldExpired,
        Goods::Committed,
        Goods::Released,
    ];
    let money = vec![
        Paid::Authorized,
        Paid::Authorized,
        Paid::Captured,
        Paid::Captured,
        Paid::Declined,
        Paid::Expired,
        Paid::Voided,
        Paid::Refunded,
        Paid::RefundFailed,
    ];
    let parcels = vec![Parcel::Packed, Parcel::Shipped, Parcel::Delivered, Parcel::Stopped];
    let actors = vec![ActorKind::Customer, ActorKind::Admin];
    prop_oneof![
        4 => (select(vec![Check::Pricing, Check::Fraud]), prop::bool::weighted(0.9))
            .prop_map(|(check, passed)| Act::Verdict(check, passed)),
        4 => select(goods).prop_map(Act::Goods),
        4 => select(money).prop_map(Act::Pay),
        3 => select(parcels).prop_map(Act::Parcel),
        1 => select(actors).prop_map(Act::Cancel),
        1 => Just(Act::Amend),
        1 => select(OrderStatus::ALL.to_vec()).prop_map(Act::SetStatus),
        2 => Just(Act::Wait),
    ]
}

impl Desk {
    /// True if somebody could answer so: a question it answers was asked.
    fn can(&self, act: &Act) -> bool {
        let asked = |kind| self.asked(kind) > 0;
        match act {
            Act::Goods(Goods::Extended | Goods::NoHold) => asked(RequestKind::Extend),
            Act::Goods(Goods::Committed) => asked(RequestKind::Commit),
            Act::Goods(Goods::Released) => asked(RequestKind::Release),
            Act::Pay(Paid::Captured) => asked(RequestKind::Capture),
            Act::Pay(Paid::Voided) => asked(RequestKind::Void),
            Act::Pay(Paid::Refunded | Paid::RefundFailed) => asked(RequestKind::Refund),
            Act::Pay(_) => asked(RequestKind::Authorize),
            Act::Parcel(Parcel::Packed) => asked(RequestKind::Fulfill),
            Act::Parcel(Parcel::Stopped) => asked(RequestKind::Stop),
            Act::Parcel(_) => asked(RequestKind::Ship),
            Act::Wait => self.deadline.is_some(),
            _ => true,
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Verdict(check, passed) => {
                self.verdict(*check, if *passed { &[] } else { &[Why::PriceMismatch] });
            }
            Act::Goods(kind) => drop(self.goods(*kind)),
            Act::Pay(kind) => drop(self.pay(*kind)),
            Act::Parcel(kind) => self.parcel(*kind),
            Act::Cancel(actor) => drop(self.cancel_as(*actor)),
            Act::Amend => {
                let items = Some(samples::place_lines(&[("b", 3, 10)]));
                self.amend(AmendOrder { items, total_minor: Some(30), ..AmendOrder::default() });
            }
            Act::SetStatus(status) => drop(self.set_status(*status, Some("T"))),
            Act::Wait => drop(self.wait()),
        }
    }

    /// Answers everything that stands as cooperative participants would.
    fn cooperate(&mut self) {
        for _ in 0..40 {
            let Some(request) = self.state().requests.first().cloned() else { break };
            match request.kind {
                RequestKind::Hold => drop(self.goods(Goods::Held)),
                RequestKind::Extend => drop(self.goods(Goods::Extended)),
                RequestKind::Commit => drop(self.goods(Goods::Committed)),
                RequestKind::Release => drop(self.goods(Goods::Released)),
                RequestKind::Authorize => drop(self.pay(Paid::Authorized)),
                RequestKind::Capture => drop(self.pay(Paid::Captured)),
                RequestKind::Void => drop(self.pay(Paid::Voided)),
                RequestKind::Refund if request.sends == 0 => drop(self.wait()),
                RequestKind::Refund => drop(self.pay(Paid::Refunded)),
                RequestKind::Fulfill => self.parcel(Parcel::Packed),
                RequestKind::Ship if self.status() == Is::Fulfilled => self.parcel(Parcel::Shipped),
                RequestKind::Ship => self.parcel(Parcel::Delivered),
                RequestKind::Stop => self.parcel(Parcel::Stopped),
            }
        }
    }
}

fn check_history(desk: &Desk) {
    let events = desk.events();
    for (event, version) in events.iter().zip(1..) {
        assert_eq!(event.version, version);
    }
    for pair in events.windows(2) {
        assert!(pair[0].occurred_at < pair[1].occurred_at);
        assert_eq!(pair[1].previous_status, Some(pair[0].status));
        assert!(
            pair[0].status == pair[1].status
                || transitions::is_allowed(pair[0].status, pair[1].status)
        );
    }
    let mut answered = std::collections::BTreeMap::new();
    for output in &desk.said {
        if let Output::Outcome(outcome) = output {
            *answered.entry(&outcome.command_id).or_insert(0) += 1;
        }
    }
    assert!(answered.values().all(|count| *count == 1), "{answered:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn every_order_ends_with_goods_and_money_where_they_belong(
        acts in proptest::collection::vec(act(), 0..50),
        delay in prop_oneof![Just(0_i64), Just(300)],
    ) {
        let mut desk = Desk::new();
        desk.settings.payment_delay_ms = delay;
        desk.place();
        for act in &acts {
            if desk.can(act) {
                desk.act(act);
            }
            if !desk.status().is_terminal() {
                prop_assert!(desk.deadline.is_some(), "stuck in {:?}", desk.status());
            }
        }
        for _ in 0..20 {
            if desk.deadline.is_none() {
                break;
            }
            desk.cooperate();
            if desk.deadline.is_some() {
                desk.wait();
            }
        }
        check_history(&desk);
        let state = desk.state();
        prop_assert!(state.order.status.is_terminal(), "{:?}", state.requests);
        prop_assert_eq!(desk.deadline, None, "{:?}", &state.requests);
        if state.order.status == Is::Delivered {
            prop_assert_eq!(state.money, Money::Captured);
        } else {
            let over = matches!(state.money, Money::Untouched | Money::Gone | Money::Refunded);
            prop_assert!(over, "{:?}", state.money);
            prop_assert!(matches!(state.hold, Hold::Gone | Hold::Committed), "{:?}", state.hold);
            prop_assert_ne!(state.order.payment_status, PaymentStatus::RefundPending);
        }
    }
}
