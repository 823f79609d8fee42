//! What happened to an order: one record type on all order topics.

use serde::{Deserialize, Serialize};

use super::order::{Actor, FailureReason, Line, Order, OrderStatus, Payment, Reason, Refund, Shipment};
use crate::{Micros, Money, OrderId, UserId};

/// The kinds of events (`contract.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrderEventType {
    /// New → pending.
    #[serde(rename = "order.created")]
    Created,
    /// Pending → validated.
    #[serde(rename = "order.validated")]
    Validated,
    /// Validated → processing.
    #[serde(rename = "order.processing")]
    Processing,
    /// Processing → paid; feed and webhook name `order.paid`.
    #[serde(rename = "order.payment_processed")]
    PaymentProcessed,
    /// Paid → fulfilled.
    #[serde(rename = "order.fulfilled")]
    Fulfilled,
    /// Fulfilled → shipped.
    #[serde(rename = "order.shipped")]
    Shipped,
    /// Shipped → delivered.
    #[serde(rename = "order.delivered")]
    Delivered,
    /// … → cancelled.
    #[serde(rename = "order.cancelled")]
    Cancelled,
    /// … → failed.
    #[serde(rename = "order.failed")]
    Failed,
    /// Amended; the status is unchanged.
    #[serde(rename = "order.updated")]
    Updated,
    /// A refund settled.
    #[serde(rename = "order.refunded")]
    Refunded,
    /// A refund's retries are exhausted.
    #[serde(rename = "order.refund_failed")]
    RefundFailed,
}

/// One thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field, e.g. `items[2].product_id`.
    pub field: String,
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// One event of one order, key `order_id`. `order_events` carries all of them
/// in order; each also goes to the topic of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvent {
    /// UUIDv5 of order and version: the same however often it is derived.
    pub event_id: String,
    /// What happened.
    pub event_type: OrderEventType,
    /// Which order.
    pub order_id: OrderId,
    /// Its owner.
    pub user_id: UserId,
    /// Status after the event.
    pub status: OrderStatus,
    /// Status before; none for `order.created`.
    pub previous_status: Option<OrderStatus>,
    /// The order's version after the event.
    pub version: i64,
    /// What the customer owes.
    pub total_amount: Money,
    /// The lines.
    pub items: Vec<Line>,
    /// The order's `created_at` (R270).
    pub timestamp: Micros,
    /// When this happened; strictly increasing per order.
    pub occurred_at: Micros,
    /// Who caused it.
    pub actor: Actor,
    /// The command that caused it, if one did.
    pub command_id: Option<String>,
    /// Why.
    pub reason: Option<Reason>,
    /// The full order after the event.
    pub order: Order,
    /// `order.created`.
    pub idempotency_key_hash: Option<String>,
    /// `order.processing`: attempt number.
    pub payment_attempt: Option<i32>,
    /// `order.payment_processed`.
    pub payment: Option<Payment>,
    /// `order.shipped`.
    pub shipment: Option<Shipment>,
    /// `order.delivered`.
    pub delivered_at: Option<Micros>,
    /// `order.failed`.
    pub failure_reason: Option<FailureReason>,
    /// `order.failed`: everything that was wrong.
    pub errors: Vec<FieldError>,
    /// `order.updated`: names of the members that changed.
    pub changed: Vec<String>,
    /// `order.refunded`, `order.refund_failed`.
    pub refund: Option<Refund>,
}

impl OrderEventType {
    /// All types, in the order of the happy path.
    pub const ALL: [Self; 12] = [
        Self::Created,
        Self::Validated,
        Self::Processing,
        Self::PaymentProcessed,
        Self::Fulfilled,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Failed,
        Self::Updated,
        Self::Refunded,
        Self::RefundFailed,
    ];

    /// The `event_type` on the log, e.g. `order.payment_processed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "order.created",
            Self::Validated => "order.validated",
            Self::Processing => "order.processing",
            Self::PaymentProcessed => "order.payment_processed",
            Self::Fulfilled => "order.fulfilled",
            Self::Shipped => "order.shipped",
            Self::Delivered => "order.delivered",
            Self::Cancelled => "order.cancelled",
            Self::Failed => "order.failed",
            Self::Updated => "order.updated",
            Self::Refunded => "order.refunded",
            Self::RefundFailed => "order.refund_failed",
        }
    }

    /// The topic of this type: `.` → `_` (R271).
    #[must_use]
    pub fn topic(self) -> &'static str {
        match self {
            Self::Created => "order_created",
            Self::Validated => "order_validated",
            Self::Processing => "order_processing",
            Self::PaymentProcessed => "order_payment_processed",
            Self::Fulfilled => "order_fulfilled",
            Self::Shipped => "order_shipped",
            Self::Delivered => "order_delivered",
            Self::Cancelled => "order_cancelled",
            Self::Failed => "order_failed",
            Self::Updated => "order_updated",
            Self::Refunded => "order_refunded",
            Self::RefundFailed => "order_refund_failed",
        }
    }

    /// The name in the feed and in webhooks.
    #[must_use]
    pub fn public_name(self) -> &'static str {
        match self {
            Self::PaymentProcessed => "order.paid",
            other => other.as_str(),
        }
    }
}
