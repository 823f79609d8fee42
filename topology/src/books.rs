//! The books of the whole flow: what must be true of everything it wrote, whoever crashed when.
//!
//! No order is stuck, nothing is oversold, no money is made, every command has one answer, every feed is without holes.
//! For tests and simulations: it wants all that was ever written, in the order of each key.

use std::collections::{BTreeMap, BTreeSet};

use schemas::OrderId;
use schemas::messages::{
    CommandOutcome, LedgerEntry, Order, OrderEvent, OrderStatus, PaymentStatus, StockLevel,
    StockResult, StockResultKind, UserFeedEntry,
};

use crate::payment::ledger::Balances;

/// Everything that was written.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// `orders`.
    pub orders: Vec<Order>,
    /// `order_events`.
    pub events: Vec<OrderEvent>,
    /// `order_command_outcomes`.
    pub outcomes: Vec<CommandOutcome>,
    /// `stock_results`.
    pub stock_results: Vec<StockResult>,
    /// `stock_levels`.
    pub levels: Vec<StockLevel>,
    /// `ledger`.
    pub ledger: Vec<LedgerEntry>,
    /// `user_feed`.
    pub feed: Vec<UserFeedEntry>,
}

impl Books {
    /// What no later record can make right again.
    ///
    /// # Errors
    /// The first such thing.
    pub fn wrong(&self) -> Result<(), String> {
        let mut versions: BTreeMap<OrderId, &OrderEvent> = BTreeMap::new();
        for event in &self.events {
            let last = versions.insert(event.order_id, event);
            if event.version != last.map_or(1, |last| last.version + 1) {
                return Err(format!("version {} is not the next: {event:?}", event.version));
            }
            if last.is_some_and(|last| last.occurred_at >= event.occurred_at) {
                return Err(format!("not later than the event before: {event:?}"));
            }
        }
        for level in &self.levels {
            if level.held < 0 || level.on_hand < level.held {
                return Err(format!("oversold: {level:?}"));
            }
        }
        let mut feeds = BTreeMap::new();
        for entry in &self.feed {
            let last = feeds.entry(entry.user_id).or_insert(0);
            *last += 1;
            if entry.number != *last {
                return Err(format!("{} instead of {last} in a feed: {entry:?}", entry.number));
            }
        }
        self.balances()?;
        match self.answers().into_iter().find(|(_, count)| *count > 1) {
            Some((command, count)) => Err(format!("{count} answers to {command}")),
            None => Ok(()),
        }
    }

    /// What is still to come, with so many commands sent and so much of each product received.
    ///
    /// # Errors
    /// The first thing that isn't at its end.
    pub fn unfinished(&self, commands: usize, received: &[(&str, i64)]) -> Result<(), String> {
        let answers = self.answers().len();
        if answers != commands {
            return Err(format!("{answers} of {commands} commands are answered"));
        }
        let orders: BTreeMap<_, _> =
            self.orders.iter().map(|order| (order.order_id, order)).collect();
        let mut balances = self.balances()?;
        let mut gone: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, order) in orders {
            let left = self.left(id);
            is_over(order, left, &balances.remove(&id).unwrap_or_default())?;
            for line in order.items.iter().filter(|_| left) {
                *gone.entry(line.product_id.as_str()).or_default() += line.quantity;
            }
        }
        for (product, on_hand) in received {
            let due = on_hand - gone.get(product).copied().unwrap_or(0);
            let level = self.levels.iter().rfind(|level| level.product_id.as_str() == *product);
            if level.is_none_or(|level| (level.held, level.on_hand) != (0, due)) {
                return Err(format!("{due} of {product} should be there: {level:?}"));
            }
        }
        let mut unshown: BTreeSet<_> =
            self.events.iter().map(|event| (event.order_id, event.version)).collect();
        for entry in &self.feed {
            if !unshown.remove(&(entry.event.order_id, entry.event.version)) {
                return Err(format!("twice in a feed, or never happened: {entry:?}"));
            }
        }
        match unshown.first() {
            None => Ok(()),
            Some(event) => Err(format!("{} events are in no feed, as {event:?}", unshown.len())),
        }
    }

    /// Whether an order's goods have left the warehouse.
    fn left(&self, id: OrderId) -> bool {
        let results = &mut self.stock_results.iter();
        results.any(|one| one.order_id == Some(id) && one.kind == StockResultKind::Committed)
    }

    fn answers(&self) -> BTreeMap<&str, usize> {
        let mut answers = BTreeMap::new();
        for outcome in &self.outcomes {
            *answers.entry(outcome.command_id.as_str()).or_insert(0) += 1;
        }
        answers
    }

    fn balances(&self) -> Result<BTreeMap<OrderId, Balances>, String> {
        let mut balances: BTreeMap<OrderId, Balances> = BTreeMap::new();
        for entry in &self.ledger {
            let of_order = balances.entry(entry.order_id).or_default();
            of_order.add(entry)?;
            if !of_order.balanced() {
                return Err(format!("the ledger doesn't balance: {of_order:?} after {entry:?}"));
            }
        }
        Ok(balances)
    }
}

fn is_over(order: &Order, left: bool, balances: &Balances) -> Result<(), String> {
    let delivered = order.status == OrderStatus::Delivered;
    let what = if !order.status.is_terminal() {
        "stuck"
    } else if matches!(
        order.payment_status,
        PaymentStatus::RefundPending | PaymentStatus::Authorized
    ) {
        "its money isn't settled"
    } else if balances.open != 0 {
        "its ledger is open"
    } else if balances.kept != if delivered { order.total_minor } else { 0 } {
        "its money isn't what it should be"
    } else if delivered && !left {
        "delivered from nowhere"
    } else {
        return Ok(());
    };
    Err(format!("{what}: {order:?}, {balances:?}"))
}
