//! What happened to an order: one record type on all order topics.

use serde::{Deserialize, Serialize};

use super::command::CancelOrder;
use super::details::{CheckResult, HeldGoods, OrderBefore};
use super::order::{
    Actor, FailureReason, Line, Order, OrderStatus, Payment, Reason, Refund, Shipment, ShipmentLine,
};
use crate::{Micros, Money, OrderId, UserId};

/// The kinds of events (`contract.md` §4).
///
/// Text on the wire, as Avro's enum symbols can't have dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderEventType {
    /// New → pending.
    Created,
    /// Pending → validated.
    Validated,
    /// Validated → processing.
    Processing,
    /// Processing → paid; feed and webhook name `order.paid`.
    PaymentProcessed,
    /// Paid → fulfilled.
    Fulfilled,
    /// Fulfilled → shipped.
    Shipped,
    /// Shipped → delivered.
    Delivered,
    /// … → cancelled.
    Cancelled,
    /// … → failed.
    Failed,
    /// Amended; the status is unchanged.
    Updated,
    /// A refund settled.
    Refunded,
    /// A refund's retries are exhausted.
    RefundFailed,
    /// Part of the order was handed to the carrier.
    ShipmentCreated,
    /// The carrier could not deliver.
    DeliveryFailed,
    /// The customer wants to send goods back.
    ReturnRequested,
    /// The return was agreed to.
    ReturnApproved,
    /// The goods came back.
    ReturnReceived,
    /// A person has to look at it.
    ReviewRequired,
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
    /// `order.validated`: what is held, and where.
    pub holds: Vec<HeldGoods>,
    /// `order.validated`: what each check said.
    pub checks: Vec<CheckResult>,
    /// `order.fulfilled`: what was packed.
    pub lines: Vec<ShipmentLine>,
    /// `order.cancelled`: why, and what becomes of goods and money.
    pub cancel: Option<CancelOrder>,
    /// `order.updated`: the changed members as they were.
    pub before: Option<OrderBefore>,
}

impl OrderEventType {
    /// All types, in the order of the happy path.
    pub const ALL: [Self; 18] = [
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
        Self::ShipmentCreated,
        Self::DeliveryFailed,
        Self::ReturnRequested,
        Self::ReturnApproved,
        Self::ReturnReceived,
        Self::ReviewRequired,
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
            Self::ShipmentCreated => "order.shipment_created",
            Self::DeliveryFailed => "order.delivery_failed",
            Self::ReturnRequested => "order.return_requested",
            Self::ReturnApproved => "order.return_approved",
            Self::ReturnReceived => "order.return_received",
            Self::ReviewRequired => "order.review_required",
        }
    }

    /// The topic of this type: `.` → `_` (R271).
    #[must_use]
    pub const fn topic(self) -> &'static str {
        crate::topics::of_event(self).name()
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

/// Not an event type of this version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown event type {0:?}")]
pub struct UnknownEventType(
    /// What was given.
    pub String,
);

impl std::str::FromStr for OrderEventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| UnknownEventType(text.chars().take(64).collect()))
    }
}

impl Serialize for OrderEventType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for OrderEventType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = OrderEventType;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an event type such as order.created")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OrderEventType, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
