//! Commands to a warehouse and its answers.

use serde::{Deserialize, Serialize};

use crate::{Micros, OrderId, Sku};

/// What a warehouse is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockCommandKind {
    /// Hold all lines or none, until `expires_at`.
    Hold,
    /// Move the hold's expiry to `expires_at`.
    Extend,
    /// The held goods left the warehouse: on hand falls.
    Commit,
    /// Give the hold back.
    Release,
    /// Set the quantity on hand of each line (PUT of a product).
    SetOnHand,
    /// Add the signed quantity of each line to what is on hand.
    Adjust,
}

/// One SKU of a command. Several lines may name the same SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    /// Which product.
    pub product_id: Sku,
    /// How many; signed for `adjust`.
    pub quantity: i64,
}

/// Key: warehouse; topic `stock_commands`; one writer per warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommand {
    /// Repeats are recognised by it.
    pub request_id: String,
    /// Which warehouse (also the key).
    pub warehouse: String,
    /// What to do.
    pub kind: StockCommandKind,
    /// Whose hold; none for `set_on_hand` and `adjust`.
    pub order_id: Option<OrderId>,
    /// What.
    pub lines: Vec<StockLine>,
    /// Expiry of a hold.
    pub expires_at: Option<Micros>,
    /// Why, for `adjust`.
    pub reason: Option<String>,
}

/// What a warehouse answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockResultKind {
    /// All lines are held.
    Held,
    /// Nothing is held; `short` says what was missing.
    Refused,
    /// The hold's expiry moved.
    Extended,
    /// The goods are off the books.
    Committed,
    /// The hold is gone.
    Released,
    /// The hold ran out by itself.
    HoldExpired,
    /// There is no such hold (extend, commit).
    NoHold,
    /// `set_on_hand` or `adjust` was done.
    Adjusted,
    /// `adjust` would go below zero available; `short` says what is.
    AdjustRefused,
    /// This request id stands for another adjustment.
    AdjustConflict,
}

/// Key: order (product for adjustments), topic `stock_results`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockResult {
    /// The command answered; for `hold_expired` the hold's request.
    pub request_id: String,
    /// Which warehouse.
    pub warehouse: String,
    /// The answer.
    pub kind: StockResultKind,
    /// Whose hold.
    pub order_id: Option<OrderId>,
    /// Lines that were short: quantity = how many were available.
    pub short: Vec<StockLine>,
}

/// Available fell below the threshold. Key: product, topic `stock_low`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLow {
    /// Which product.
    pub product_id: Sku,
    /// Which warehouse.
    pub warehouse: String,
    /// On hand − held.
    pub available: i64,
    /// What it fell below.
    pub threshold: i64,
    /// When.
    pub occurred_at: Micros,
}
