//! A warehouse in memory, judged by its invariants.

use std::collections::HashMap;

use proptest::prelude::*;
use schemas::Micros;

use super::*;
use crate::samples::order_id;

/// All rows of one warehouse; `run` reads and writes them as the worker does.
#[derive(Default)]
struct Warehouse {
    stock: BTreeMap<Sku, StockRow>,
    holds: HashMap<OrderId, HoldRow>,
    adjustments: HashMap<String, Adjustment>,
}

impl Warehouse {
    fn with(products: &[(&str, i64)]) -> Self {
        let mut warehouse = Self::default();
        for (id, on_hand) in products {
            let request = format!("count {id}");
            warehouse.run(&command(StockCommandKind::SetOnHand, &request, None, &[(id, *on_hand)]));
        }
        warehouse
    }

    fn run(&mut self, command: &StockCommand) -> StockResult {
        let mut shelf = self.shelf(command.order_id);
        shelf.adjustment = self.adjustments.get(&command.request_id).cloned();
        let result = apply(&mut shelf, command);
        if let Some(made) = shelf.adjustment.clone() {
            self.adjustments.insert(command.request_id.clone(), made);
        }
        self.keep(shelf);
        result
    }

    fn expire(&mut self, order: OrderId, now: i64) -> Option<StockResult> {
        let mut shelf = self.shelf(Some(order));
        let result = expire(&mut shelf, "main", now);
        self.keep(shelf);
        result
    }

    fn shelf(&self, order: Option<OrderId>) -> Shelf {
        let hold = order.and_then(|order| self.holds.get(&order).cloned());
        Shelf { stock: self.stock.clone(), hold, adjustment: None }
    }

    fn keep(&mut self, shelf: Shelf) {
        self.stock = shelf.stock;
        if let Some(hold) = shelf.hold {
            self.holds.insert(hold.order_id, hold);
        }
    }

    fn available(&self, id: &str) -> i64 {
        self.stock[&Sku::new(id)].available()
    }
}

fn command(
    kind: StockCommandKind,
    request: &str,
    order: Option<u128>,
    lines: &[(&str, i64)],
) -> StockCommand {
    let line = |&(id, quantity): &(&str, i64)| StockLine { product_id: Sku::new(id), quantity };
    StockCommand {
        request_id: request.to_owned(),
        warehouse: "main".to_owned(),
        kind,
        order_id: order.map(order_id),
        lines: lines.iter().map(line).collect(),
        expires_at: (kind == StockCommandKind::Hold).then(|| Micros::from_millis(1_000)),
        reason: None,
    }
}

use StockCommandKind as Do;
use StockResultKind as Is;

#[test]
fn all_lines_or_none_and_lines_of_one_product_are_summed() {
    let mut w = Warehouse::with(&[("a", 3), ("b", 1)]);
    let refused = w.run(&command(Do::Hold, "h1", Some(1), &[("a", 2), ("b", 1), ("a", 2)]));
    assert_eq!(refused.kind, Is::Refused);
    assert_eq!(refused.short, [StockLine { product_id: Sku::new("a"), quantity: 3 }]);
    assert_eq!((w.available("a"), w.available("b")), (3, 1));
    assert_eq!(w.run(&command(Do::Hold, "h2", Some(2), &[("a", 3), ("b", 1)])).kind, Is::Held);
    assert_eq!((w.available("a"), w.available("b")), (0, 0));
}

#[test]
fn many_buyers_one_unit_one_winner() {
    let mut w = Warehouse::with(&[("a", 1)]);
    let wins = (0..50)
        .filter(|n| {
            w.run(&command(Do::Hold, &format!("h{n}"), Some(*n), &[("a", 1)])).kind == Is::Held
        })
        .count();
    assert_eq!(wins, 1);
}

#[test]
fn a_repeat_gets_the_first_answer() {
    let mut w = Warehouse::with(&[("a", 2)]);
    let hold = command(Do::Hold, "h", Some(1), &[("a", 2)]);
    let commit = command(Do::Commit, "c", Some(1), &[]);
    assert_eq!(w.run(&hold), w.run(&hold));
    assert_eq!(w.run(&commit), w.run(&commit));
    assert_eq!(w.run(&hold).kind, Is::Held);
    assert_eq!(w.stock[&Sku::new("a")].on_hand, 0);
    let plus = command(Do::Adjust, "plus", None, &[("a", 5)]);
    assert_eq!(w.run(&plus), w.run(&plus));
    assert_eq!(w.stock[&Sku::new("a")].on_hand, 5);
}

#[test]
fn a_new_hold_of_the_same_order_replaces_the_old_one() {
    let mut w = Warehouse::with(&[("a", 3), ("b", 5)]);
    w.run(&command(Do::Hold, "h1", Some(1), &[("a", 2)]));
    assert_eq!(w.run(&command(Do::Hold, "h2", Some(1), &[("a", 3)])).kind, Is::Held);
    assert_eq!(w.available("a"), 0);
    assert_eq!(w.run(&command(Do::Hold, "h3", Some(1), &[("b", 6)])).kind, Is::Refused);
    assert_eq!((w.available("a"), w.available("b")), (3, 5), "the old hold went back");
}

#[test]
fn holds_run_out_unless_extended() {
    let mut w = Warehouse::with(&[("a", 1)]);
    w.run(&command(Do::Hold, "h", Some(1), &[("a", 1)]));
    assert_eq!(w.expire(order_id(1), 999), None);
    let expired = w.expire(order_id(1), 1_000).unwrap();
    assert_eq!((expired.kind, expired.request_id.as_str()), (Is::HoldExpired, "h"));
    assert_eq!(w.available("a"), 1);
    assert_eq!(w.run(&command(Do::Extend, "x", Some(1), &[])).kind, Is::NoHold);
    w.run(&command(Do::Hold, "h2", Some(1), &[("a", 1)]));
    assert_eq!(w.run(&command(Do::Extend, "x2", Some(1), &[])).kind, Is::Extended);
    assert_eq!(w.expire(order_id(1), i64::MAX), None);
    assert_eq!(w.run(&command(Do::Release, "r", Some(1), &[])).kind, Is::Released);
    assert_eq!(w.run(&command(Do::Release, "r9", Some(9), &[])).kind, Is::Released);
    assert_eq!(w.available("a"), 1);
}

#[test]
fn adjustments_stop_at_what_is_promised_and_a_count_is_the_truth() {
    let mut w = Warehouse::with(&[("a", 5)]);
    w.run(&command(Do::Hold, "h", Some(1), &[("a", 3)]));
    assert_eq!(w.run(&command(Do::Adjust, "m3", None, &[("a", -3)])).kind, Is::AdjustRefused);
    assert_eq!(w.run(&command(Do::Adjust, "m2", None, &[("a", -2)])).kind, Is::Adjusted);
    assert_eq!(w.available("a"), 0);
    assert_eq!(w.run(&command(Do::SetOnHand, "s", None, &[("a", 1)])).kind, Is::Adjusted);
    assert_eq!(w.available("a"), -2);
    assert_eq!(w.run(&command(Do::Hold, "h2", Some(2), &[("a", 1)])).kind, Is::Refused);
    assert_eq!(w.run(&command(Do::SetOnHand, "n", None, &[("a", -1)])).kind, Is::AdjustRefused);
}

#[test]
fn a_refused_adjustment_says_what_is_available_and_may_succeed_later() {
    let mut w = Warehouse::with(&[("a", 5), ("b", 9)]);
    w.run(&command(Do::Hold, "h", Some(1), &[("a", 3)]));
    let minus = command(Do::Adjust, "m", None, &[("a", -4), ("b", -1)]);
    let refused = w.run(&minus);
    assert_eq!(refused.kind, Is::AdjustRefused);
    assert_eq!(refused.short, [StockLine { product_id: Sku::new("a"), quantity: 2 }]);
    assert_eq!(w.available("b"), 9, "all lines or none");
    w.run(&command(Do::Release, "r", Some(1), &[]));
    assert_eq!(w.run(&minus).kind, Is::Adjusted);
    assert_eq!((w.available("a"), w.available("b")), (1, 8));
}

#[test]
fn an_adjustments_id_stands_for_one_adjustment() {
    let mut w = Warehouse::with(&[("a", 5), ("b", 5)]);
    let first = command(Do::Adjust, "key", None, &[("a", 2)]);
    assert_eq!(w.run(&first).kind, Is::Adjusted);
    for n in 0..100 {
        w.run(&command(Do::Adjust, &format!("other {n}"), None, &[("a", 1)]));
    }
    assert_eq!(w.run(&first).kind, Is::Adjusted, "however many came between");
    let other_reason = StockCommand { reason: Some("found".to_owned()), ..first.clone() };
    for other in [
        command(Do::Adjust, "key", None, &[("a", 3)]),
        command(Do::Adjust, "key", None, &[("b", 2)]),
        command(Do::SetOnHand, "key", None, &[("a", 2)]),
        other_reason,
    ] {
        assert_eq!(w.run(&other).kind, Is::AdjustConflict, "{other:?}");
    }
    assert_eq!((w.available("a"), w.available("b")), (107, 5));
}

fn any_command() -> impl Strategy<Value = StockCommand> {
    let kind = prop_oneof![
        4 => Just(Do::Hold),
        1 => Just(Do::Extend),
        2 => Just(Do::Commit),
        2 => Just(Do::Release),
        1 => Just(Do::Adjust),
    ];
    let lines = proptest::collection::vec((0..3_usize, 1..4_i64), 1..4);
    (kind, 0..40_u32, 0..6_u128, lines, any::<bool>()).prop_map(
        |(kind, id, order, lines, minus)| {
            let named: Vec<_> = lines
                .iter()
                .map(|(product, quantity)| {
                    let signed = if kind == Do::Adjust && minus { -quantity } else { *quantity };
                    (["a", "b", "c"][*product], signed)
                })
                .collect();
            let order = (kind != Do::Adjust).then_some(order);
            command(kind, &format!("{kind:?}{id}{order:?}"), order, &named)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn never_oversold_and_held_is_the_sum_of_the_holds(
        commands in proptest::collection::vec((any_command(), any::<bool>()), 1..80),
    ) {
        let mut w = Warehouse::with(&[("a", 4), ("b", 4), ("c", 4)]);
        for (command, runs_out) in commands {
            let before = w.stock.clone();
            let result = w.run(&command);
            if result.kind == Is::Refused || result.kind == Is::AdjustRefused {
                let gone = |s: &BTreeMap<Sku, StockRow>| s.values().map(|r| r.on_hand).sum::<i64>();
                prop_assert_eq!(gone(&before), gone(&w.stock));
            }
            if let (true, Some(order)) = (runs_out, command.order_id) {
                w.expire(order, 1_000);
            }
            for (sku, row) in &w.stock {
                prop_assert!(row.held >= 0 && row.available() >= 0, "{sku}: {row:?}");
                let active = w.holds.values().filter(|hold| hold.stage == Stage::Active);
                let promised: i64 = active
                    .flat_map(|hold| &hold.lines)
                    .filter(|line| &line.product_id == sku)
                    .map(|line| line.quantity)
                    .sum();
                prop_assert_eq!(row.held, promised);
            }
        }
    }
}
