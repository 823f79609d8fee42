//! The order as callers see it: GET, realtime feed, webhooks (`contract.md`
//! §1.1 "Out").
//!
//! Invariant: amounts are decimals, exact; times have six decimals and `Z`;
//! members that are not set are absent; the payment token and the warehouse
//! never show.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::messages::{
    Address, FailureReason, FulfillmentStatus, Line, Order, OrderStatus, PaymentStatus, Shipment,
};
use crate::transitions;
use crate::{Currency, Micros, OrderId, UserId, json_money};

/// JSON view of an order. Borrows the order; serialize it at once.
///
/// ```
/// let order = schemas::samples::order(2);
/// let json = serde_json::to_string(&schemas::view::OrderView::from(&order))?;
/// assert!(json.contains("\"line_id\":\"2\""), "{json}");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Serialize)]
pub struct OrderView<'a> {
    order_id: OrderId,
    user_id: UserId,
    status: OrderStatus,
    version: i64,
    #[serde(serialize_with = "time")]
    created_at: Micros,
    #[serde(serialize_with = "time")]
    updated_at: Micros,
    next_states: &'static [OrderStatus],
    currency: Currency,
    total_amount: serde_json::Number,
    items: Vec<LineView<'a>>,
    shipping_address: AddressView<'a>,
    payment_method: &'a str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    payment_status: PaymentStatus,
    fulfillment_status: FulfillmentStatus,
    payments: Vec<PaymentView<'a>>,
    refunds: Vec<RefundView<'a>>,
    shipments: &'a [Shipment],
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct LineView<'a> {
    line_id: &'a str,
    product_id: &'a str,
    quantity: i64,
    price: serde_json::Number,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    price_override: bool,
}

#[derive(Debug, Serialize)]
struct AddressView<'a> {
    street: &'a str,
    city: &'a str,
    state: &'a str,
    zip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PaymentView<'a> {
    payment_id: &'a str,
    attempt: i32,
    amount: serde_json::Number,
    currency: Currency,
    status: &'a str,
    #[serde(serialize_with = "time")]
    updated_at: Micros,
}

#[derive(Debug, Serialize)]
struct RefundView<'a> {
    refund_id: &'a str,
    amount: serde_json::Number,
    currency: Currency,
    status: &'a str,
    #[serde(serialize_with = "time")]
    updated_at: Micros,
}

/// The caller's members: JSON text each, shown as JSON.
#[derive(Debug)]
struct Metadata<'a>(&'a std::collections::BTreeMap<String, String>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in self.0 {
            match serde_json::from_str::<serde_json::Value>(text) {
                Ok(value) => map.serialize_entry(name, &value)?,
                // Never written by us; better shown as text than hidden.
                Err(_) => map.serialize_entry(name, text)?,
            }
        }
        map.end()
    }
}

impl<'a> From<&'a Order> for OrderView<'a> {
    fn from(order: &'a Order) -> Self {
        let currency = order.currency;
        Self {
            order_id: order.order_id,
            user_id: order.user_id,
            status: order.status,
            version: order.version,
            created_at: order.created_at,
            updated_at: order.updated_at,
            next_states: transitions::allowed_from(order.status),
            currency,
            total_amount: json_money::to_number(order.total_minor, currency),
            items: lines(order),
            shipping_address: (&order.shipping_address).into(),
            payment_method: &order.payment_method,
            metadata: Metadata(&order.metadata),
            channel: order.channel.as_deref(),
            payment_status: order.payment_status,
            fulfillment_status: order.fulfillment_status,
            payments: payments(order),
            refunds: refunds(order),
            shipments: &order.shipments,
            cancel_reason: order.cancel_reason.as_deref(),
            failure_reason: order.failure_reason,
            failure_detail: order.failure_detail.as_deref(),
        }
    }
}

impl<'a> From<&'a Address> for AddressView<'a> {
    fn from(address: &'a Address) -> Self {
        Self {
            street: &address.street,
            city: &address.city,
            state: &address.state,
            zip: &address.zip,
            country: address.country.as_deref(),
        }
    }
}

impl Order {
    /// [`OrderView`] as a JSON value.
    ///
    /// # Panics
    /// Never: the view has text keys only.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(OrderView::from(self)).expect("the view has text keys only")
    }
}

fn lines(order: &Order) -> Vec<LineView<'_>> {
    order.items.iter().map(|line| line_view(line, order.currency)).collect()
}

fn line_view(line: &Line, currency: Currency) -> LineView<'_> {
    LineView {
        line_id: &line.line_id,
        product_id: line.product_id.as_str(),
        quantity: line.quantity,
        price: json_money::to_number(line.unit_price, currency),
        price_override: line.price_override,
    }
}

fn payments(order: &Order) -> Vec<PaymentView<'_>> {
    let payments = order.payments.iter().map(|payment| PaymentView {
        payment_id: &payment.payment_id,
        attempt: payment.attempt,
        amount: json_money::to_number(payment.amount.minor, payment.amount.currency),
        currency: payment.amount.currency,
        status: &payment.status,
        updated_at: payment.updated_at,
    });
    payments.collect()
}

fn refunds(order: &Order) -> Vec<RefundView<'_>> {
    let refunds = order.refunds.iter().map(|refund| RefundView {
        refund_id: &refund.refund_id,
        amount: json_money::to_number(refund.amount.minor, refund.amount.currency),
        currency: refund.amount.currency,
        status: &refund.status,
        updated_at: refund.updated_at,
    });
    refunds.collect()
}

fn time<S: Serializer>(time: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
