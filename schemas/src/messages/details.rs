//! What events of one type say beside the order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::{Address, FailureReason, Line, PaymentStatus, ShipmentLine};

/// Goods that a warehouse holds for an order (`order.validated`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldGoods {
    /// The request that the warehouse granted.
    pub hold_id: String,
    /// Which warehouse.
    pub warehouse: String,
    /// How many of each line of the order.
    pub lines: Vec<ShipmentLine>,
}

/// What one check said of an order (`order.validated`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// `pricing`, `fraud` or `stock`.
    pub check: String,
    /// The order may go on.
    pub passed: bool,
    /// What was wrong; with `passed` only on record, as for imported orders.
    pub failures: Vec<FailureReason>,
}

/// The members named in an `order.updated`'s `changed` as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBefore {
    /// The lines.
    pub items: Option<Vec<Line>>,
    /// The total, minor units.
    pub total_minor: Option<i64>,
    /// Where the goods were to go.
    pub shipping_address: Option<Address>,
    /// The caller's own members, JSON text each.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Where the money stood.
    pub payment_status: Option<PaymentStatus>,
}
