//! Times as they are told in results: quantiles in milliseconds.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde_json::{Value, json};

/// A minute: longer times count as this.
const MICROS_MAX: u64 = 60_000_000;

/// An empty histogram of microseconds, exact to three digits, up to a minute.
///
/// # Errors
/// Never: the bounds are right.
pub fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3)
}

/// A duration as such a histogram takes it: between 1 µs and a minute.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, MICROS_MAX)
}

/// p50, p90, p99 and the largest, in milliseconds.
#[must_use]
pub fn quantiles(histogram: &Histogram<u64>) -> Value {
    let ms = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    json!({"p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "max": histogram.max() as f64 / 1_000.0})
}
