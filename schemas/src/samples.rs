//! One message of every kind, for tests, benchmarks and documentation.
//!
//! Invariant: the same in every run, so that golden bytes can be made of
//! them; every optional part is set somewhere.

use std::collections::BTreeMap;

use crate::messages::*;
use crate::{Currency, Micros, Money, OrderId, Sku, UserId};

const AT: Micros = Micros(1_768_467_600_123_456);

/// `00000000-0000-4000-8000-000000000001`.
#[must_use]
pub fn order_id() -> OrderId {
    OrderId::new(uuid::Uuid::from_u128(0x4000_8000_0000_0000_0001))
}

/// The guide's customer.
#[must_use]
pub fn user_id() -> UserId {
    UserId::new(uuid::Uuid::from_u128(0x123e_4567_e89b_12d3_a456_4266_1417_4000))
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Somewhere.
#[must_use]
pub fn address() -> Address {
    Address {
        street: "Kärntner Straße 1".to_owned(),
        city: "Wien".to_owned(),
        state: "W".to_owned(),
        zip: "1010".to_owned(),
        country: text("AT"),
    }
}

/// `prod-1`, `prod-2`, … at 29.99, two of each.
#[must_use]
pub fn lines(count: usize) -> Vec<Line> {
    let line = |number: usize| Line {
        line_id: number.to_string(),
        product_id: Sku::new(format!("prod-{number}")),
        quantity: 2,
        unit_price: 2999,
        price_override: number.is_multiple_of(7),
    };
    (1..=count).map(line).collect()
}

/// A shipped order with that many lines.
#[must_use]
pub fn order(line_count: usize) -> Order {
    let items = lines(line_count);
    let total_minor = items.iter().map(|line| line.quantity * line.unit_price).sum();
    Order {
        order_id: order_id(),
        user_id: user_id(),
        status: OrderStatus::Shipped,
        version: 6,
        created_at: AT,
        updated_at: Micros(AT.0 + 2_500_001),
        currency: Currency::USD,
        total_minor,
        items,
        shipping_address: address(),
        payment_method: "CREDIT_CARD".to_owned(),
        payment_token: text("pm_card_ok"),
        metadata: BTreeMap::from([
            ("gift".to_owned(), "true".to_owned()),
            ("weight".to_owned(), "1.250".to_owned()),
        ]),
        channel: None,
        warehouse: "main".to_owned(),
        payment_status: PaymentStatus::Paid,
        fulfillment_status: FulfillmentStatus::Fulfilled,
        payments: vec![payment()],
        refunds: vec![refund()],
        shipments: vec![shipment()],
        cancel_reason: None,
        failure_reason: None,
        failure_detail: None,
    }
}

/// A captured payment.
#[must_use]
pub fn payment() -> Payment {
    Payment {
        payment_id: order_id().derived("payment/1").to_string(),
        attempt: 1,
        amount: usd(5998),
        status: "captured".to_owned(),
        updated_at: AT,
    }
}

/// A settled refund.
#[must_use]
pub fn refund() -> Refund {
    Refund {
        refund_id: order_id().derived("refund/1").to_string(),
        amount: usd(100),
        status: "settled".to_owned(),
        updated_at: AT,
    }
}

/// A parcel with line 1.
#[must_use]
pub fn shipment() -> Shipment {
    Shipment {
        carrier: "built-in".to_owned(),
        tracking_number: "T-1".to_owned(),
        lines: vec![ShipmentLine { line_id: "1".to_owned(), quantity: 2 }],
    }
}

/// The `order.shipped` of [`order()`], every optional part set.
#[must_use]
pub fn order_event(line_count: usize) -> OrderEvent {
    let order = order(line_count);
    OrderEvent {
        event_id: order.order_id.event_id(order.version).to_string(),
        event_type: OrderEventType::Shipped,
        order_id: order.order_id,
        user_id: order.user_id,
        status: order.status,
        previous_status: Some(OrderStatus::Fulfilled),
        version: order.version,
        total_amount: order.total(),
        items: order.items.clone(),
        timestamp: order.created_at,
        occurred_at: order.updated_at,
        actor: Actor { kind: ActorKind::System, id: "fulfillment-worker".to_owned() },
        command_id: text("c-1"),
        reason: Some(Reason { code: "shipped".to_owned(), detail: text("by built-in") }),
        idempotency_key_hash: text("00ff"),
        payment_attempt: Some(1),
        payment: Some(payment()),
        shipment: Some(shipment()),
        delivered_at: Some(AT),
        failure_reason: Some(FailureReason::OutOfStock),
        errors: vec![field_error()],
        changed: vec!["metadata".to_owned()],
        refund: Some(refund()),
        holds: vec![HeldGoods {
            hold_id: "r-1".to_owned(),
            warehouse: "main".to_owned(),
            lines: shipment().lines,
        }],
        checks: vec![CheckResult {
            check: "fraud".to_owned(),
            passed: true,
            failures: vec![FailureReason::FraudLimit],
        }],
        lines: shipment().lines,
        cancel: Some(cancel_order()),
        before: Some(OrderBefore {
            items: Some(lines(1)),
            total_minor: Some(5998),
            shipping_address: Some(address()),
            metadata: Some(BTreeMap::from([("gift".to_owned(), "false".to_owned())])),
            payment_status: Some(PaymentStatus::Authorized),
        }),
        order,
    }
}

/// Line 3's product is unknown.
#[must_use]
pub fn field_error() -> FieldError {
    FieldError {
        field: "items[2].product_id".to_owned(),
        code: "unknown_product".to_owned(),
        message: "no product \"x\"".to_owned(),
    }
}

/// An administrator's, on unusual terms.
#[must_use]
pub fn cancel_order() -> CancelOrder {
    CancelOrder {
        reason: "customer".to_owned(),
        note: text("changed my mind"),
        restock: Some(false),
        refund: Some(true),
        notify_customer: Some(false),
    }
}

/// A `place` command with the other parts set too.
#[must_use]
pub fn order_command() -> OrderCommand {
    let line = PlaceLine {
        product_id: Sku::new("prod-1"),
        quantity: 2,
        unit_price: 2999,
        price_override: true,
    };
    OrderCommand {
        command_id: "c-1".to_owned(),
        order_id: order_id(),
        user_id: user_id(),
        actor: Actor { kind: ActorKind::Customer, id: user_id().to_string() },
        created_at: AT,
        fingerprint: text("ab"),
        expected_version: Some(-1),
        kind: CommandKind::Place,
        place: Some(PlaceOrder {
            items: vec![line.clone()],
            total_minor: 5998,
            currency: Currency::GBP,
            shipping_address: address(),
            payment_method: "CREDIT_CARD".to_owned(),
            payment_token: None,
            metadata: BTreeMap::from([("a".to_owned(), "[1]".to_owned())]),
            channel: text("import"),
            idempotency_key_hash: text("00ff"),
        }),
        cancel: Some(cancel_order()),
        amend: Some(AmendOrder {
            shipping_address: None,
            items: Some(vec![line]),
            total_minor: Some(5998),
            metadata: BTreeMap::from([("gone".to_owned(), None), ("new".to_owned(), text("1.0"))]),
        }),
        set_status: Some(SetStatus {
            status: OrderStatus::Shipped,
            reason: None,
            tracking_number: text("T-1"),
            carrier: text("dhl"),
        }),
    }
}

/// A refused command.
#[must_use]
pub fn command_outcome() -> CommandOutcome {
    CommandOutcome {
        command_id: "c-1".to_owned(),
        order_id: order_id(),
        kind: OutcomeKind::NotAllowed,
        version: 6,
        status: Some(OrderStatus::Shipped),
        allowed: vec![OrderStatus::Delivered],
        detail: text("shipped orders can't be cancelled"),
    }
}

/// A failed pricing check.
#[must_use]
pub fn order_validation() -> OrderValidation {
    OrderValidation {
        order_id: order_id(),
        version: 1,
        check: Check::Pricing,
        passed: false,
        failures: vec![FailureReason::UnknownProduct, FailureReason::PriceMismatch],
        errors: vec![field_error()],
    }
}

fn stock_line() -> StockLine {
    StockLine { product_id: Sku::new("prod-1"), quantity: -3 }
}

/// An adjustment.
#[must_use]
pub fn stock_command() -> StockCommand {
    StockCommand {
        request_id: "r-1".to_owned(),
        warehouse: "main".to_owned(),
        kind: StockCommandKind::Adjust,
        order_id: Some(order_id()),
        lines: vec![stock_line()],
        expires_at: Some(AT),
        reason: text("broken"),
    }
}

/// A refused hold.
#[must_use]
pub fn stock_result() -> StockResult {
    StockResult {
        request_id: "r-1".to_owned(),
        warehouse: "main".to_owned(),
        kind: StockResultKind::Refused,
        order_id: None,
        short: vec![stock_line()],
    }
}

/// Ten, three of them held.
#[must_use]
pub fn stock_level() -> StockLevel {
    StockLevel {
        warehouse: "main".to_owned(),
        product_id: Sku::new("prod-1"),
        on_hand: 10,
        held: 3,
        version: 2,
        request_id: "r-1".to_owned(),
    }
}

/// Two left.
#[must_use]
pub fn stock_low() -> StockLow {
    StockLow {
        product_id: Sku::new("prod-1"),
        warehouse: "main".to_owned(),
        available: 2,
        threshold: 5,
        occurred_at: AT,
    }
}

/// `prod-1`, 29.99 USD, 100 on hand.
#[must_use]
pub fn product_command() -> ProductCommand {
    ProductCommand {
        command_id: "c-1".to_owned(),
        product_id: Sku::new("prod-1"),
        name: "Mug".to_owned(),
        price: usd(2999),
        on_hand: 100,
    }
}

/// `prod-1`, 29.99 USD.
#[must_use]
pub fn product() -> Product {
    Product {
        product_id: Sku::new("prod-1"),
        name: "Mug".to_owned(),
        price: usd(2999),
        version: 1,
        command_id: "c-1".to_owned(),
    }
}

/// An authorisation.
#[must_use]
pub fn payment_command() -> PaymentCommand {
    PaymentCommand {
        request_id: "r-1".to_owned(),
        order_id: order_id(),
        kind: PaymentCommandKind::Authorize,
        amount: usd(5998),
        payment_token: text("pm_card_ok"),
        attempt: 1,
    }
}

/// The provider's yes.
#[must_use]
pub fn payment_callback() -> PaymentCallback {
    PaymentCallback {
        callback_id: "cb-1".to_owned(),
        request_id: "r-1".to_owned(),
        order_id: order_id(),
        result: "authorized".to_owned(),
    }
}

/// A refund that failed.
#[must_use]
pub fn payment_event() -> PaymentEvent {
    PaymentEvent {
        request_id: "r-1".to_owned(),
        order_id: order_id(),
        kind: PaymentEventKind::RefundFailed,
        amount: usd(5998),
        attempt: 2,
        occurred_at: AT,
        detail: None,
    }
}

/// A capture.
#[must_use]
pub fn ledger_entry() -> LedgerEntry {
    let posting = |account: &str, minor| LedgerPosting { account: account.to_owned(), minor };
    LedgerEntry {
        entry_id: "e-1".to_owned(),
        order_id: order_id(),
        currency: "USD".to_owned(),
        postings: vec![posting("customer_authorized", -5998), posting("captured", 5998)],
        occurred_at: AT,
    }
}

/// Pick and pack.
#[must_use]
pub fn fulfillment_command() -> FulfillmentCommand {
    FulfillmentCommand {
        request_id: "r-1".to_owned(),
        order_id: order_id(),
        kind: FulfillmentCommandKind::Fulfill,
        lines: vec![ShipmentLine { line_id: "1".to_owned(), quantity: 2 }],
    }
}

/// The carrier has it.
#[must_use]
pub fn fulfillment_event() -> FulfillmentEvent {
    FulfillmentEvent {
        request_id: "r-1".to_owned(),
        order_id: order_id(),
        kind: FulfillmentEventKind::Shipped,
        carrier: text("dhl"),
        tracking_number: text("T-1"),
        occurred_at: AT,
    }
}

/// The user's third event.
#[must_use]
pub fn user_feed_entry() -> UserFeedEntry {
    UserFeedEntry { user_id: user_id(), number: 3, event: order_event(2) }
}

/// One minute.
#[must_use]
pub fn revenue_by_minute() -> RevenueByMinute {
    RevenueByMinute {
        window_start: Micros(AT.0 / 60_000_000 * 60_000_000),
        revenue: usd(5998),
        orders: 1,
    }
}

/// A disabled endpoint.
#[must_use]
pub fn webhook_endpoint() -> WebhookEndpoint {
    WebhookEndpoint {
        webhook_id: order_id().derived("webhook").to_string(),
        user_id: user_id(),
        all_users: false,
        url: "https://example.com/hook".to_owned(),
        events: vec!["order.*".to_owned()],
        description: text("mine"),
        ordered: true,
        sealed_secrets: vec!["c2VhbGVk".to_owned()],
        sealed_headers: None,
        enabled: false,
        disabled_reason: text("410"),
        created_at: AT,
    }
}

/// Send what failed since then.
#[must_use]
pub fn webhook_command() -> WebhookCommand {
    WebhookCommand {
        command_id: "c-1".to_owned(),
        webhook_id: order_id().derived("webhook").to_string(),
        kind: WebhookCommandKind::Recover,
        delivery_id: None,
        since: Some(AT),
        created_at: AT,
    }
}
