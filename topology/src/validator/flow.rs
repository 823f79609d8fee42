//! The validator's flow: a lookup in the catalogue for prices, and a session
//! per customer for fraud. Both answer on their own; the lifecycle waits for
//! both. The session reads the events by user that the lifecycle writes anyway
//! (`user_events`), which saves a repartition and its commit.

use operators::{
    GlobalView, KStream, Materialized, SessionWindows, Settle, StreamsBuilder, Topology, Utf8,
};
use schemas::messages::{OrderEvent, OrderEventType, OrderStatus, OrderValidation, Product};
use schemas::topics;

use super::fraud::Session;
use super::pricing;
use crate::traced::{self, TRACEPARENT};
use crate::wire::{self, Wire};
use crate::{FlowError, FlowSettings};

/// `order-validator`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(settings: &FlowSettings, wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("order-validator");
    let verdicts = wire.on(&topics::ORDER_VALIDATIONS)?;

    let amended =
        builder.stream(&wire.on(&topics::ORDER_UPDATED)?).filter(|_, event| asks_again(event));
    let asked = builder.stream(&wire.on(&topics::ORDER_CREATED)?).merge(&amended).peek(|record| {
        if let Some(event) = record.value {
            tracing::info!(version = event.version, "Validating order: {}", event.order_id);
        }
    });

    let products = builder.global_table("products", &wire.on(&topics::PRODUCTS)?);
    let prices = asked.lookup("pricing", &products, |_, event, products, settled| {
        judge_prices(event, products, settled)
    });
    logged(&prices).to(&verdicts);

    let limit = settings.fraud_window_limit;
    let sessions =
        SessionWindows::of_gap(settings.fraud_session_gap_ms).grace(settings.fraud_grace_ms);
    let totals = builder
        .stream(&wire.on(&topics::USER_EVENTS)?)
        .filter(|_, event| event.event_type == OrderEventType::Created || amends(event))
        .map_records(|record| {
            record.value.map(|event| (event.clone(), traced::of_record(record.headers)))
        })
        .group_by_key()
        .windowed_by_sessions(sessions)
        .aggregate(
            &Materialized::as_("fraud", Utf8, wire::state::<Session>("fraud-session", 1)),
            Session::default,
            |_, (event, trace), session: &Session| session.with(event, trace.as_deref()),
            |_, older, newer| older.clone().merged(newer.clone()),
        );
    let fraud = totals
        .to_stream()
        // A session's result has no headers: it is of many records.
        .with_headers(|record, headers| {
            if let Some(trace) = record.value.and_then(Session::trace) {
                headers.set(TRACEPARENT, trace.as_bytes());
            }
        })
        .flat_map::<str, OrderValidation>(move |_, session, emit| {
            if let Some(verdict) = session.verdict(limit) {
                emit(&verdict.order_id.to_string(), &verdict);
            }
        });
    logged(&fraud).to(&verdicts);

    Ok(builder.build()?)
}

/// A refusal waits until the catalogue has caught up; a pass doesn't.
fn judge_prices(
    event: &OrderEvent,
    products: &mut GlobalView<'_, str, Product>,
    settled: bool,
) -> Settle<OrderValidation> {
    let price = |product: Option<&Product>| product.map(|product| product.price);
    let verdict = pricing::verdict(event, |sku| products.get(sku.as_str(), price));
    if verdict.passed || settled { Settle::Emit(verdict) } else { Settle::Hold }
}

/// An amendment that the checks must see.
fn amends(event: &OrderEvent) -> bool {
    event.event_type == OrderEventType::Updated && asks_again(event)
}

/// An amendment of anything but metadata, while it matters.
fn asks_again(event: &OrderEvent) -> bool {
    event.status == OrderStatus::Pending && event.changed.iter().any(|name| name != "metadata")
}

/// The guide's log lines (R285), once per check.
fn logged(verdicts: &KStream<str, OrderValidation>) -> KStream<str, OrderValidation> {
    verdicts.peek(|record| {
        let Some(verdict) = record.value else { return };
        let (order, check) = (verdict.order_id, verdict.check);
        if verdict.passed {
            tracing::info!(?check, "Order {order} validated");
        } else {
            tracing::warn!(?check, failures = ?verdict.failures, "Order {order} validation failed");
        }
    })
}
