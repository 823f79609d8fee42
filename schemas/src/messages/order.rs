//! The order as the lifecycle keeps it, logs it and shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Currency, Micros, Money, OrderId, Sku, UserId};

/// The nine statuses (R238–R246). Everything else an order can be is a
/// sub-status beside it (T16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Accepted, not yet checked.
    Pending,
    /// Details, prices, fraud and stock are all in order.
    Validated,
    /// Payment authorisation was asked for.
    Processing,
    /// Captured in full.
    Paid,
    /// All lines picked and packed.
    Fulfilled,
    /// Handed to the carrier.
    Shipped,
    /// Terminal: at the customer.
    Delivered,
    /// Terminal: called off; holds released, money on its way back.
    Cancelled,
    /// Terminal: refused by a check, by payment or by time.
    Failed,
}

/// Where the money of an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing authorised.
    #[default]
    None,
    /// Authorised, not captured.
    Authorized,
    /// Captured in full.
    Paid,
    /// Part of what was captured went back.
    PartiallyRefunded,
    /// A refund was asked for and is not settled.
    RefundPending,
    /// Everything captured went back.
    Refunded,
    /// The authorisation was given back unused.
    Voided,
    /// The authorisation ran out.
    Expired,
}

/// Where the goods of an order stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    /// Nothing packed.
    #[default]
    Unfulfilled,
    /// Some lines packed or shipped.
    Partial,
    /// All lines packed.
    Fulfilled,
    /// All lines delivered.
    Delivered,
    /// All lines came back.
    Returned,
}

/// Why an order failed, in order of precedence where several apply
/// (`contract.md` §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// A line names a product that the catalogue doesn't have.
    UnknownProduct,
    /// A line's price or currency differs from the catalogue's.
    PriceMismatch,
    /// The customer's session total reached the fraud limit.
    FraudLimit,
    /// Not all lines could be held.
    OutOfStock,
    /// The provider refused the payment.
    PaymentDeclined,
    /// The provider refused for lack of funds.
    InsufficientFunds,
    /// The authorisation ran out before capture.
    AuthorizationExpired,
    /// The checks did not answer in time.
    ValidationTimeout,
    /// The provider did not answer in time.
    PaymentTimeout,
}

/// Who caused a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// The order's owner.
    Customer,
    /// An administrator.
    Admin,
    /// One of our applications.
    System,
    /// A deadline.
    Timer,
    /// The carrier.
    Carrier,
}

/// Who caused a change, with the user's or application's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// User id, or the application's id.
    pub id: String,
}

/// A code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code, e.g. `customer`, `out_of_stock`.
    pub code: String,
    /// What happened, with names and figures.
    pub detail: Option<String>,
}

/// Where the goods go (R298).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// State or region.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// ISO 3166 country, if given.
    pub country: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// `"1"`, `"2"`, … in the order given.
    pub line_id: String,
    /// What is bought.
    pub product_id: Sku,
    /// How many, at least 1.
    pub quantity: i64,
    /// Price of one, in minor units of the order's currency.
    pub unit_price: i64,
    /// True where an administrator agreed the price; the catalogue's price is
    /// then not compared.
    pub price_override: bool,
}

/// One payment attempt on an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Stable over retries: derived from order, step and attempt.
    pub payment_id: String,
    /// First attempt is 1.
    pub attempt: i32,
    /// What the customer owes.
    pub amount: Money,
    /// `requested`, `authorized`, `captured`, `declined`, `voided`, `expired`.
    pub status: String,
    /// When this last changed.
    pub updated_at: Micros,
}

/// Money going back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Stable over retries.
    pub refund_id: String,
    /// How much.
    pub amount: Money,
    /// `pending`, `settled`, `failed`.
    pub status: String,
    /// When this last changed.
    pub updated_at: Micros,
}

/// Part of a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentLine {
    /// The order's line.
    pub line_id: String,
    /// How many of it.
    pub quantity: i64,
}

/// A parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_number: String,
    /// What is in it.
    pub lines: Vec<ShipmentLine>,
}

/// The whole order after its latest event: what `orders` (compacted) holds and
/// what every [`OrderEvent`](super::OrderEvent) carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Identity.
    pub order_id: OrderId,
    /// Owner.
    pub user_id: UserId,
    /// One of nine.
    pub status: OrderStatus,
    /// Counts events from 1; what `ETag` shows.
    pub version: i64,
    /// When the ingress accepted the command.
    pub created_at: Micros,
    /// `occurred_at` of the latest event.
    pub updated_at: Micros,
    /// ISO 4217.
    pub currency: Currency,
    /// Σ quantity × unit price, minor units.
    pub total_minor: i64,
    /// 1–1,000 lines.
    pub items: Vec<Line>,
    /// Where the goods go.
    pub shipping_address: Address,
    /// E.g. `CREDIT_CARD`.
    pub payment_method: String,
    /// The provider's token; never a card number.
    pub payment_token: Option<String>,
    /// The caller's own members, as JSON text each.
    pub metadata: BTreeMap<String, String>,
    /// `import` where fraud verdicts are recorded but not enforced.
    pub channel: Option<String>,
    /// Which warehouse holds the goods.
    pub warehouse: String,
    /// Where the money stands.
    pub payment_status: PaymentStatus,
    /// Where the goods stand.
    pub fulfillment_status: FulfillmentStatus,
    /// Attempts, oldest first.
    pub payments: Vec<Payment>,
    /// Refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// Parcels, oldest first.
    pub shipments: Vec<Shipment>,
    /// Why it was called off.
    pub cancel_reason: Option<String>,
    /// Why it failed.
    pub failure_reason: Option<FailureReason>,
    /// All that was wrong, for people.
    pub failure_detail: Option<String>,
}

impl Order {
    /// The total with its currency.
    #[must_use]
    pub fn total(&self) -> Money {
        Money { minor: self.total_minor, currency: self.currency }
    }
}

impl OrderStatus {
    /// All nine, in the order of the happy path, then the other two ends.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Validated,
        Self::Processing,
        Self::Paid,
        Self::Fulfilled,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Validated => "validated",
            Self::Processing => "processing",
            Self::Paid => "paid",
            Self::Fulfilled => "fulfilled",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// True for `delivered`, `cancelled` and `failed`.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Failed)
    }
}
