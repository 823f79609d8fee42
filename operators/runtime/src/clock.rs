//! A worker's time: the caller's clock, but never back and never still.
//!
//! Who sets a machine's clock back by an hour doesn't want an hour without commits. So while the clock tells less than it
//! did, time goes on from where it was, at the pace of the machine's own.

use std::sync::Arc;
use std::time::Instant;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a clock told last that was ahead of the time before, and when.
#[derive(Debug, Default)]
pub(crate) struct Onward(Option<(i64, Instant)>);

impl Onward {
    pub(crate) fn now(&mut self, clock: &Clock) -> i64 {
        self.at(clock(), Instant::now())
    }

    fn at(&mut self, told: i64, at: Instant) -> i64 {
        let passed = |since: Instant| i64::try_from((at - since).as_millis()).unwrap_or(i64::MAX);
        match self.0 {
            Some((last, since)) if told < last.saturating_add(passed(since)) => {
                last.saturating_add(passed(since))
            }
            _ => {
                self.0 = Some((told, at));
                told
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_where_it_was() {
        let (mut onward, start) = (Onward::default(), Instant::now());
        let mut at = |told, micros| onward.at(told, start + Duration::from_micros(micros));
        assert_eq!(at(10_000, 0), 10_000);
        assert_eq!(at(10_005, 5_000), 10_005);
        // An hour back; steps shorter than a millisecond must add up.
        for micros in (5_100..8_000).step_by(100) {
            let now = at(10_005 - 3_600_000, micros);
            assert_eq!(now, 10_005 + i64::try_from((micros - 5_000) / 1_000).unwrap());
        }
        assert_eq!(at(10_007 - 3_600_000, 65_000), 10_065);
        // And put right again, or ahead of it.
        assert_eq!(at(10_066, 66_000), 10_066);
        assert_eq!(at(7_210_066, 67_000), 7_210_066);
        assert_eq!(at(7_210_067, 68_000), 7_210_067);
    }
}
