//! The analytics' flow: a tumbling window over captured payments, by the
//! events' own time. Results are emitted with every change; the last one of a
//! window stands.

use operators::{Materialized, StreamsBuilder, TimeWindows, Topology, Utf8};
use schemas::messages::RevenueByMinute;
use schemas::topics;

use super::Revenue;
use crate::FlowError;
use crate::wire::{self, Wire};

const MINUTE_MS: i64 = 60_000;
/// A minute takes late payments for a day: a worker may have been down.
const GRACE_MS: i64 = 24 * 60 * MINUTE_MS;

/// `order-analytics`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("order-analytics");
    builder
        .stream(&wire.on(&topics::ORDER_PAYMENT_PROCESSED)?)
        .group_by::<str>(|_, event| event.total_amount.currency.to_string())
        .windowed_by(TimeWindows::of_size(MINUTE_MS).grace(GRACE_MS))
        .aggregate(
            &Materialized::as_("revenue", Utf8, wire::state::<Revenue>("revenue", 1)),
            Revenue::default,
            |_, event, revenue: &Revenue| revenue.with(event),
        )
        .to_stream()
        .flat_map::<str, RevenueByMinute>(|minute, revenue, emit| {
            if let Ok(currency) = minute.key().parse() {
                emit(minute.key(), &revenue.message(minute.window.start, currency));
            }
        })
        .to(&wire.on(&topics::REVENUE_BY_MINUTE)?);
    Ok(builder.build()?)
}
