//! The order's transition table as data (requirements §3.23).
//!
//! Invariant: a status changes only along a row of [`TABLE`]. The lifecycle
//! decides by it, `GET /api/v1/order-states` shows it and `next_states` of
//! every order is read from it.

use serde::Serialize;

use crate::messages::OrderStatus;

use OrderStatus::{
    Cancelled, Delivered, Failed, Fulfilled, Paid, Pending, Processing, Shipped, Validated,
};

/// Who may cause a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The order's owner.
    Customer,
    /// An administrator.
    Admin,
    /// The checks: details, prices, fraud, stock.
    Validator,
    /// The lifecycle itself.
    Orchestrator,
    /// The payment worker's answer.
    PaymentWorker,
    /// The fulfilment worker's report.
    FulfillmentWorker,
    /// The carrier's notice.
    Carrier,
    /// A deadline.
    Timer,
}

/// One row: who can move an order from one status to another, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// Before; none for a new order.
    pub from: Option<OrderStatus>,
    /// After.
    pub to: OrderStatus,
    /// Who may cause it.
    pub who: &'static [Role],
    /// What causes it.
    pub on: &'static str,
}

const fn row(
    from: OrderStatus,
    to: OrderStatus,
    who: &'static [Role],
    on: &'static str,
) -> Transition {
    Transition { from: Some(from), to, who, on }
}

const CALL_OFF: &[Role] = &[Role::Customer, Role::Admin, Role::Timer];

/// All transitions, along the happy path, then the ends.
pub const TABLE: &[Transition] = &[
    Transition {
        from: None,
        to: Pending,
        who: &[Role::Customer, Role::Admin],
        on: "command accepted by the log",
    },
    row(Pending, Validated, &[Role::Validator], "details, prices, fraud and stock hold all pass"),
    row(
        Pending,
        Failed,
        &[Role::Validator, Role::Timer],
        "a check fails, unknown product, validation timeout",
    ),
    row(Pending, Cancelled, CALL_OFF, "cancel or hold expiry; holds are released"),
    row(Validated, Processing, &[Role::Orchestrator], "payment authorisation started"),
    row(Validated, Cancelled, CALL_OFF, "cancel or hold expiry; holds are released"),
    row(Processing, Paid, &[Role::PaymentWorker], "captured in full"),
    row(
        Processing,
        Failed,
        &[Role::PaymentWorker, Role::Timer],
        "declined, authorisation expired, payment timeout; holds are released",
    ),
    row(
        Processing,
        Cancelled,
        &[Role::Customer, Role::Admin],
        "cancel, at once; void or refund follows and shows in payment_status",
    ),
    row(Paid, Fulfilled, &[Role::FulfillmentWorker], "all lines picked and packed"),
    row(
        Paid,
        Cancelled,
        &[Role::Admin, Role::Customer],
        "cancel while nothing is shipped (customer within grace); refund and restock",
    ),
    row(Fulfilled, Shipped, &[Role::FulfillmentWorker, Role::Admin], "tracking number assigned"),
    row(
        Fulfilled,
        Cancelled,
        &[Role::Admin, Role::Customer],
        "cancel while nothing is shipped (customer within grace); refund and restock",
    ),
    row(Shipped, Delivered, &[Role::Carrier, Role::Admin], "the carrier reports delivery"),
];

/// Targets allowed from a status, whoever asks; empty for the three ends.
#[must_use]
pub const fn allowed_from(status: OrderStatus) -> &'static [OrderStatus] {
    match status {
        Pending => &[Validated, Failed, Cancelled],
        Validated => &[Processing, Cancelled],
        Processing => &[Paid, Failed, Cancelled],
        Paid => &[Fulfilled, Cancelled],
        Fulfilled => &[Shipped, Cancelled],
        Shipped => &[Delivered],
        Delivered | Cancelled | Failed => &[],
    }
}

/// The row of a transition; none where the table forbids it.
#[must_use]
pub fn find(from: Option<OrderStatus>, to: OrderStatus) -> Option<&'static Transition> {
    TABLE.iter().find(|row| row.from == from && row.to == to)
}

/// True if the table has the row, whoever asks.
#[must_use]
pub fn is_allowed(from: OrderStatus, to: OrderStatus) -> bool {
    find(Some(from), to).is_some()
}

/// True if the table lets `who` cause it.
#[must_use]
pub fn is_allowed_for(from: OrderStatus, to: OrderStatus, who: Role) -> bool {
    find(Some(from), to).is_some_and(|row| row.who.contains(&who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_of_each_status_are_the_tables() {
        for status in OrderStatus::ALL {
            let rows: Vec<_> =
                TABLE.iter().filter(|row| row.from == Some(status)).map(|row| row.to).collect();
            assert_eq!(allowed_from(status), rows, "{}", status.as_str());
            assert_eq!(rows.is_empty(), status.is_terminal());
        }
    }

    #[test]
    fn every_status_is_reached_from_pending() {
        let mut reached = vec![Pending];
        let mut next = 0;
        while let Some(&status) = reached.get(next) {
            next += 1;
            for &to in allowed_from(status) {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
        }
        assert_eq!(reached.len(), OrderStatus::ALL.len());
    }

    #[test]
    fn customers_cannot_ship_and_nobody_leaves_an_end() {
        assert!(is_allowed_for(Fulfilled, Shipped, Role::Admin));
        assert!(!is_allowed_for(Fulfilled, Shipped, Role::Customer));
        assert!(!is_allowed(Delivered, Cancelled));
        assert!(find(None, Pending).is_some());
        assert!(find(None, Paid).is_none());
    }
}
