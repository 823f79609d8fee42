//! Commands to the payment worker, the provider's callbacks, what came of
//! them, and the ledger.

use serde::{Deserialize, Serialize};

use crate::{Micros, Money, OrderId};

/// What the payment worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentCommandKind {
    /// Reserve the amount.
    Authorize,
    /// Take the whole authorised amount.
    Capture,
    /// Give the authorisation back.
    Void,
    /// Send `amount` back.
    Refund,
}

/// Key: order, topic `payment_commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCommand {
    /// Derived from (order, step, attempt): the provider's idempotency key.
    pub request_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// What to do.
    pub kind: PaymentCommandKind,
    /// How much.
    pub amount: Money,
    /// The provider's token, for `authorize`.
    pub payment_token: Option<String>,
    /// First attempt is 1.
    pub attempt: i32,
}

/// A provider's asynchronous answer, key order, topic `payment_callbacks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCallback {
    /// The provider's own id of this notice: a repeat changes nothing.
    pub callback_id: String,
    /// The request it answers.
    pub request_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// `authorized`, `captured`, `declined`, `insufficient_funds`, `voided`,
    /// `refunded`, `refund_failed`, `expired`.
    pub result: String,
}

/// What came of a payment command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentEventKind {
    /// The amount is reserved.
    Authorized,
    /// The amount is ours.
    Captured,
    /// The provider refused.
    Declined,
    /// The provider refused for lack of funds.
    InsufficientFunds,
    /// The authorisation ran out.
    Expired,
    /// The authorisation was given back.
    Voided,
    /// The money went back.
    Refunded,
    /// It did not, and won't be tried again.
    RefundFailed,
}

/// Key: order, topic `payment_events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// The command answered.
    pub request_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// The answer.
    pub kind: PaymentEventKind,
    /// How much.
    pub amount: Money,
    /// First attempt is 1.
    pub attempt: i32,
    /// When.
    pub occurred_at: Micros,
    /// The provider's words, without secrets.
    pub detail: Option<String>,
}

/// One side of a double entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPosting {
    /// `customer_authorized`, `captured`, `voided`, `expired`, `refunded`, ….
    pub account: String,
    /// Minor units, signed; a entry's postings sum to zero.
    pub minor: i64,
}

/// One balanced entry, key order, topic `ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Derived from the request and the event.
    pub entry_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// ISO 4217 code of all postings.
    pub currency: String,
    /// Sum to zero.
    pub postings: Vec<LedgerPosting>,
    /// When.
    pub occurred_at: Micros,
}
