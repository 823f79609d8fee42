//! Points in time on the wire.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z; Avro `timestamp-micros`.
///
/// `Display` is RFC 3339 in UTC with exactly six decimals (`contract.md`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The record timestamp of the log: whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// From a record timestamp of the log.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Seconds from this to `later`; 0 if that is earlier, as clocks of two machines may say.
    #[must_use]
    pub fn seconds_until(self, later: Self) -> f64 {
        later.0.saturating_sub(self.0).max(0) as f64 / 1_000_000.0
    }

    /// RFC 3339, UTC, `Z`, exactly six decimals.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        // Beyond the calendar of RFC 3339 (years 0–9999) the ends stand in.
        const FIRST: i64 = -62_167_219_200_000_000;
        const LAST: i64 = 253_402_300_799_999_999;
        DateTime::<Utc>::from_timestamp_micros(self.0.clamp(FIRST, LAST))
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// From RFC 3339 text with any offset; finer decimals are cut.
    ///
    /// # Errors
    /// [`BadTime`] if it isn't RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Result<Self, BadTime> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self(time.timestamp_micros()))
            .map_err(|_| BadTime)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Not RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2026-01-31T09:00:00.000000Z")]
pub struct BadTime;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_exactly_six_decimals_and_a_z() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000_000_001, "2023-11-14T22:13:20.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Micros(micros).to_string(), text);
        }
        assert_eq!(
            Micros::parse_rfc3339("2023-11-14T23:13:20.0000019+01:00"),
            Ok(Micros(1_700_000_000_000_001))
        );
        assert_eq!(Micros::parse_rfc3339("yesterday"), Err(BadTime));
    }

    #[test]
    fn record_time_is_rounded_down() {
        assert_eq!(Micros(1_999).as_millis(), 1);
        assert_eq!(Micros(-1).as_millis(), -1);
        assert_eq!(Micros::from_millis(-1), Micros(-1_000));
    }
}
