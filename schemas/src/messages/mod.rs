//! The Rust types of every message on the log, one file per topic family.
//!
//! Invariant: a message is a flat record. Where it can be one of several
//! kinds, a `kind` enum says which and the matching optional part is set, so
//! that a reader in any language needs no union of records.

mod avsc;
pub mod catalogue;
pub mod command;
pub mod details;
pub mod event;
pub mod feed;
pub mod fulfillment;
pub mod order;
pub mod payment;
pub mod stock;
pub mod validation;
pub mod webhook;

pub use catalogue::{Product, ProductCommand, StockLevel};
pub use command::{
    AmendOrder, CancelOrder, CommandKind, CommandOutcome, OrderCommand, OutcomeKind, PlaceLine,
    PlaceOrder, SetStatus,
};
pub use details::{CheckResult, HeldGoods, OrderBefore};
pub use event::{FieldError, OrderEvent, OrderEventType};
pub use feed::{RevenueByMinute, UserFeedEntry};
pub use fulfillment::{
    FulfillmentCommand, FulfillmentCommandKind, FulfillmentEvent, FulfillmentEventKind,
};
pub use order::{
    Actor, ActorKind, Address, FailureReason, FulfillmentStatus, Line, Order, OrderStatus, Payment,
    PaymentStatus, Reason, Refund, Shipment, ShipmentLine,
};
pub use payment::{
    LedgerEntry, LedgerPosting, PaymentCallback, PaymentCommand, PaymentCommandKind, PaymentEvent,
    PaymentEventKind,
};
pub use stock::{
    StockCommand, StockCommandKind, StockLine, StockLow, StockResult, StockResultKind,
};
pub use validation::{Check, OrderValidation};
pub use webhook::{WebhookCommand, WebhookCommandKind, WebhookEndpoint};
