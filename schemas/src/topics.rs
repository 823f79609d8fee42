//! The typed topic catalogue: every topic of the system, who writes it, how
//! long it keeps what, and which message its values are.
//!
//! Invariant: a topic is named in this file and nowhere else. Topic creation,
//! schema registration and the table of the crate's README are made from
//! [`ALL`]; a test keeps `ALL` and the constants equal.

use std::fmt;
use std::marker::PhantomData;

use crate::avro::{Message, MessageSchema};
use crate::messages::{
    CommandOutcome, FulfillmentCommand, FulfillmentEvent, LedgerEntry, Order, OrderCommand,
    OrderEvent, OrderEventType, OrderValidation, PaymentCallback, PaymentCommand, PaymentEvent,
    Product, ProductCommand, RevenueByMinute, StockCommand, StockLevel, StockLow, StockResult,
    UserFeedEntry, WebhookCommand, WebhookEndpoint,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What the log does with old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cleanup {
    /// Records go after `retention_ms`; `None` keeps them for ever.
    Delete {
        /// Milliseconds of record time, or for ever.
        retention_ms: Option<i64>,
    },
    /// The last record of each key stays; a null value removes the key.
    Compact,
}

/// How many partitions a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partitions {
    /// `TOPIC_PARTITIONS`: the same for all topics that are joined or merged.
    Default,
}

/// Where the values' schema comes from.
#[derive(Clone, Copy)]
enum Values {
    Avro(fn() -> &'static MessageSchema),
    Raw,
}

/// What does not depend on the value's type.
#[derive(Clone, Copy)]
pub struct TopicInfo {
    /// The name on the log.
    pub name: &'static str,
    /// What the key is, for people: keys are UTF-8 text without a schema.
    pub key: &'static str,
    /// Application ids that write it.
    pub writers: &'static str,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// How many partitions.
    pub partitions: Partitions,
    values: Values,
}

/// A topic whose values are `V`.
pub struct Topic<V: ?Sized> {
    info: TopicInfo,
    values: PhantomData<fn() -> V>,
}

impl TopicInfo {
    /// The registry's subject of the values: `<topic>-value`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}-value", self.name)
    }

    /// The schema of the values; none where they are somebody else's bytes
    /// (`dead_letters`).
    #[must_use]
    pub fn schema(&self) -> Option<&'static MessageSchema> {
        match self.values {
            Values::Avro(schema) => Some(schema()),
            Values::Raw => None,
        }
    }
}

impl fmt::Debug for TopicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicInfo")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("cleanup", &self.cleanup)
            .finish_non_exhaustive()
    }
}

impl<V: ?Sized> Topic<V> {
    /// The name on the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.info.name
    }

    /// The registry's subject of the values: `<topic>-value`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.info.subject()
    }

    /// The untyped part.
    #[must_use]
    pub const fn info(&self) -> &TopicInfo {
        &self.info
    }
}

impl<V: Message> Topic<V> {
    const fn new(
        name: &'static str,
        key: &'static str,
        writers: &'static str,
        cleanup: Cleanup,
    ) -> Self {
        let values = Values::Avro(V::schema);
        let partitions = Partitions::Default;
        let info = TopicInfo { name, key, writers, cleanup, partitions, values };
        Self { info, values: PhantomData }
    }
}

impl<V: ?Sized> fmt::Debug for Topic<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.info.name).finish()
    }
}

const fn days(days: i64) -> Cleanup {
    Cleanup::Delete { retention_ms: Some(days * DAY_MS) }
}

const WEEK: Cleanup = days(7);
const KEEP: Cleanup = Cleanup::Delete { retention_ms: None };

macro_rules! catalogue {
    ($($(#[$doc:meta])* $id:ident: $value:ty = $name:literal, $key:literal, $writers:literal, $cleanup:expr;)*) => {
        $($(#[$doc])* pub const $id: Topic<$value> = Topic::<$value>::new($name, $key, $writers, $cleanup);)*

        /// Every topic, in the order of the flow.
        pub const ALL: &[TopicInfo] = &[$($id.info,)* DEAD_LETTERS.info];
    };
}

catalogue! {
    /// What callers ask of an order.
    ORDER_COMMANDS: OrderCommand = "order_commands", "order", "ingress", WEEK;
    /// What became of each command.
    ORDER_COMMAND_OUTCOMES: CommandOutcome = "order_command_outcomes", "order", "order-lifecycle", days(1);
    /// The journal: all events of all orders.
    ORDER_EVENTS: OrderEvent = "order_events", "order", "order-lifecycle", KEEP;
    /// The same events by user: what `order-feed` numbers.
    USER_EVENTS: OrderEvent = "user_events", "user", "order-lifecycle", WEEK;
    /// Each order as it is now.
    ORDERS: Order = "orders", "order", "order-lifecycle", Cleanup::Compact;
    /// New → pending (R275).
    ORDER_CREATED: OrderEvent = "order_created", "order", "order-lifecycle", WEEK;
    /// Pending → validated (R276).
    ORDER_VALIDATED: OrderEvent = "order_validated", "order", "order-lifecycle", WEEK;
    /// Validated → processing.
    ORDER_PROCESSING: OrderEvent = "order_processing", "order", "order-lifecycle", WEEK;
    /// Processing → paid (R277).
    ORDER_PAYMENT_PROCESSED: OrderEvent = "order_payment_processed", "order", "order-lifecycle", WEEK;
    /// Paid → fulfilled.
    ORDER_FULFILLED: OrderEvent = "order_fulfilled", "order", "order-lifecycle", WEEK;
    /// Fulfilled → shipped.
    ORDER_SHIPPED: OrderEvent = "order_shipped", "order", "order-lifecycle", WEEK;
    /// Shipped → delivered.
    ORDER_DELIVERED: OrderEvent = "order_delivered", "order", "order-lifecycle", WEEK;
    /// … → cancelled.
    ORDER_CANCELLED: OrderEvent = "order_cancelled", "order", "order-lifecycle", WEEK;
    /// … → failed.
    ORDER_FAILED: OrderEvent = "order_failed", "order", "order-lifecycle", WEEK;
    /// Amended, status unchanged.
    ORDER_UPDATED: OrderEvent = "order_updated", "order", "order-lifecycle", WEEK;
    /// A refund settled.
    ORDER_REFUNDED: OrderEvent = "order_refunded", "order", "order-lifecycle", WEEK;
    /// A refund's retries are exhausted.
    ORDER_REFUND_FAILED: OrderEvent = "order_refund_failed", "order", "order-lifecycle", WEEK;
    /// A parcel with part of the order.
    ORDER_SHIPMENT_CREATED: OrderEvent = "order_shipment_created", "order", "order-lifecycle", WEEK;
    /// The carrier could not deliver.
    ORDER_DELIVERY_FAILED: OrderEvent = "order_delivery_failed", "order", "order-lifecycle", WEEK;
    /// The customer wants to send goods back.
    ORDER_RETURN_REQUESTED: OrderEvent = "order_return_requested", "order", "order-lifecycle", WEEK;
    /// The return was agreed to.
    ORDER_RETURN_APPROVED: OrderEvent = "order_return_approved", "order", "order-lifecycle", WEEK;
    /// The goods came back.
    ORDER_RETURN_RECEIVED: OrderEvent = "order_return_received", "order", "order-lifecycle", WEEK;
    /// A person has to look at it.
    ORDER_REVIEW_REQUIRED: OrderEvent = "order_review_required", "order", "order-lifecycle", WEEK;
    /// The validator's verdicts.
    ORDER_VALIDATIONS: OrderValidation = "order_validations", "order", "order-validator", WEEK;
    /// What a warehouse is asked to do.
    STOCK_COMMANDS: StockCommand = "stock_commands", "warehouse", "order-lifecycle, ingress", WEEK;
    /// What it answered.
    STOCK_RESULTS: StockResult = "stock_results", "order", "inventory-worker", WEEK;
    /// How much there is.
    STOCK_LEVELS: StockLevel = "stock_levels", "warehouse/product", "inventory-worker", Cleanup::Compact;
    /// Available fell below the threshold.
    STOCK_LOW: StockLow = "stock_low", "product", "inventory-worker", WEEK;
    /// Create or replace a product.
    PRODUCT_COMMANDS: ProductCommand = "product_commands", "product", "ingress", WEEK;
    /// The catalogue.
    PRODUCTS: Product = "products", "product", "inventory-worker", Cleanup::Compact;
    /// What the payment worker is asked to do.
    PAYMENT_COMMANDS: PaymentCommand = "payment_commands", "order", "order-lifecycle", WEEK;
    /// The provider's asynchronous answers.
    PAYMENT_CALLBACKS: PaymentCallback = "payment_callbacks", "order", "ingress, built-in provider", WEEK;
    /// What came of payments.
    PAYMENT_EVENTS: PaymentEvent = "payment_events", "order", "payment-worker", KEEP;
    /// Double entry.
    LEDGER: LedgerEntry = "ledger", "order", "payment-worker", KEEP;
    /// What the fulfilment worker is asked to do.
    FULFILLMENT_COMMANDS: FulfillmentCommand = "fulfillment_commands", "order", "order-lifecycle", WEEK;
    /// The carrier's notices.
    CARRIER_EVENTS: FulfillmentEvent = "carrier_events", "order", "ingress, built-in carrier", WEEK;
    /// What fulfilment reports.
    FULFILLMENT_EVENTS: FulfillmentEvent = "fulfillment_events", "order", "fulfillment-worker", WEEK;
    /// Events with the user's gapless number.
    USER_FEED: UserFeedEntry = "user_feed", "user", "order-feed", WEEK;
    /// Captured money per minute.
    REVENUE_BY_MINUTE: RevenueByMinute = "revenue_by_minute", "currency", "order-analytics", WEEK;
    /// Registered webhooks; secrets sealed.
    WEBHOOK_ENDPOINTS: WebhookEndpoint = "webhook_endpoints", "webhook", "ingress", Cleanup::Compact;
    /// Requests to the webhook dispatcher.
    WEBHOOK_COMMANDS: WebhookCommand = "webhook_commands", "webhook", "ingress", WEEK;
}

/// Records nobody could process, as they were, with the cause in headers
/// (KIP-1034).
pub const DEAD_LETTERS: Topic<[u8]> = Topic {
    info: TopicInfo {
        name: "dead_letters",
        key: "original key",
        writers: "any",
        cleanup: days(30),
        partitions: Partitions::Default,
        values: Values::Raw,
    },
    values: PhantomData,
};

/// The topic of an event type: `.` → `_` (R271).
#[must_use]
pub const fn of_event(event: OrderEventType) -> Topic<OrderEvent> {
    use OrderEventType as Type;
    match event {
        Type::Created => ORDER_CREATED,
        Type::Validated => ORDER_VALIDATED,
        Type::Processing => ORDER_PROCESSING,
        Type::PaymentProcessed => ORDER_PAYMENT_PROCESSED,
        Type::Fulfilled => ORDER_FULFILLED,
        Type::Shipped => ORDER_SHIPPED,
        Type::Delivered => ORDER_DELIVERED,
        Type::Cancelled => ORDER_CANCELLED,
        Type::Failed => ORDER_FAILED,
        Type::Updated => ORDER_UPDATED,
        Type::Refunded => ORDER_REFUNDED,
        Type::RefundFailed => ORDER_REFUND_FAILED,
        Type::ShipmentCreated => ORDER_SHIPMENT_CREATED,
        Type::DeliveryFailed => ORDER_DELIVERY_FAILED,
        Type::ReturnRequested => ORDER_RETURN_REQUESTED,
        Type::ReturnApproved => ORDER_RETURN_APPROVED,
        Type::ReturnReceived => ORDER_RETURN_RECEIVED,
        Type::ReviewRequired => ORDER_REVIEW_REQUIRED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_legal_on_kafka() {
        let names: BTreeSet<_> = ALL.iter().map(|topic| topic.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        }
    }

    #[test]
    fn an_event_types_topic_is_its_name_with_underscores() {
        for event in OrderEventType::ALL {
            assert_eq!(of_event(event).name(), event.as_str().replace('.', "_"));
            assert_eq!(of_event(event).name(), event.topic());
            assert!(ALL.iter().any(|topic| topic.name == event.topic()));
        }
    }

    #[test]
    fn all_topics_but_dead_letters_have_a_schema() {
        let raw: Vec<_> = ALL.iter().filter(|t| t.schema().is_none()).map(|t| t.name).collect();
        assert_eq!(raw, ["dead_letters"]);
    }
}
