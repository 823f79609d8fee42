//! What callers ask of an order, and what became of each request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::{Actor, Address, OrderStatus};
use crate::{Currency, Micros, OrderId, Sku, UserId};

/// Which part of an [`OrderCommand`] is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// `place` is set.
    Place,
    /// `cancel` is set.
    Cancel,
    /// `amend` is set.
    Amend,
    /// `set_status` is set (administrators).
    SetStatus,
}

/// One line as the caller sent it, money already in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceLine {
    /// What is bought.
    pub product_id: Sku,
    /// At least 1.
    pub quantity: i64,
    /// Minor units.
    pub unit_price: i64,
    /// An administrator agreed this price.
    pub price_override: bool,
}

/// Body of a `place` command. Σ lines = total was checked by the ingress and
/// is checked again by the lifecycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// 1–1,000 lines.
    pub items: Vec<PlaceLine>,
    /// Minor units.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: Currency,
    /// Where the goods go.
    pub shipping_address: Address,
    /// E.g. `CREDIT_CARD`.
    pub payment_method: String,
    /// The provider's token.
    pub payment_token: Option<String>,
    /// The caller's own members, JSON text each.
    pub metadata: BTreeMap<String, String>,
    /// `import`, administrators only.
    pub channel: Option<String>,
    /// Keyed hash of the idempotency key, if one was sent.
    pub idempotency_key_hash: Option<String>,
}

/// Body of a `cancel` command; in `order.cancelled` the terms that held, all
/// set. Only administrators may say `false`; none counts as `true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrder {
    /// 1–200 characters; default `customer`.
    pub reason: String,
    /// For people.
    pub note: Option<String>,
    /// False: goods that were held are written off instead of being available
    /// again (broken, lost).
    pub restock: Option<bool>,
    /// False: money that was captured is kept. An authorisation is voided
    /// either way.
    pub refund: Option<bool>,
    /// False: the customer's webhooks are not sent `order.cancelled`. The feed,
    /// which has no holes, and the read model show it either way.
    pub notify_customer: Option<bool>,
}

/// Body of an `amend` command: absent members stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendOrder {
    /// New address, while `pending`.
    pub shipping_address: Option<Address>,
    /// New lines, while `pending`; comes with `total_minor`.
    pub items: Option<Vec<PlaceLine>>,
    /// The total of the new lines.
    pub total_minor: Option<i64>,
    /// Merge patch: a member with `None` is removed.
    pub metadata: BTreeMap<String, Option<String>>,
}

/// Body of a `set_status` command (administrators).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStatus {
    /// The target.
    pub status: OrderStatus,
    /// Why.
    pub reason: Option<String>,
    /// `shipped` needs one.
    pub tracking_number: Option<String>,
    /// Who carries it.
    pub carrier: Option<String>,
}

/// A request to the order's single writer, key `order_id`, topic
/// `order_commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCommand {
    /// Unique per HTTP request; what the outcome names.
    pub command_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// The order's owner as the caller's token or the administrator says.
    pub user_id: UserId,
    /// Who asks.
    pub actor: Actor,
    /// When the ingress accepted it; a placed order's `created_at`.
    pub created_at: Micros,
    /// SHA-256 of the canonical body, hex: tells a retry from another request.
    pub fingerprint: Option<String>,
    /// `If-Match`.
    pub expected_version: Option<i64>,
    /// Which part is set.
    pub kind: CommandKind,
    /// Set for `place`.
    pub place: Option<PlaceOrder>,
    /// Set for `cancel`.
    pub cancel: Option<CancelOrder>,
    /// Set for `amend`.
    pub amend: Option<AmendOrder>,
    /// Set for `set_status`.
    pub set_status: Option<SetStatus>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Executed: `version` is the order's version after it.
    Applied,
    /// The same request had been executed before, or there was nothing to do.
    Replayed,
    /// Same idempotency key, other body: 422.
    Conflict,
    /// The transition table forbids it: 409 with `status` and `allowed`.
    NotAllowed,
    /// `expected_version` differs: 412.
    VersionMismatch,
    /// No such order for this caller: 404.
    NotFound,
    /// The body contradicts itself: 422 with `detail`.
    Invalid,
}

/// The answer to one command, key `order_id`, topic `order_command_outcomes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// Which command.
    pub command_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// What became of it.
    pub kind: OutcomeKind,
    /// The order's version now; 0 where there is no order.
    pub version: i64,
    /// The order's status now.
    pub status: Option<OrderStatus>,
    /// Targets the transition table allows from here.
    pub allowed: Vec<OrderStatus>,
    /// For people.
    pub detail: Option<String>,
}
