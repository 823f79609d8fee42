//! When the next attempt is made.

use std::time::Duration;

/// Longest `Retry-After` that is honoured.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// `WEBHOOK_SCHEDULE`: delay before attempt 1, 2, ….
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Default for Schedule {
    fn default() -> Self {
        Self([0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000].map(Duration::from_secs).to_vec())
    }
}

impl Schedule {
    /// From seconds separated by commas; at least one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let delays: Result<Vec<Duration>, String> = text
            .split(',')
            .map(|part| {
                let seconds: f64 = part
                    .trim()
                    .parse()
                    .map_err(|_| format!("{part:?} is not a number of seconds"))?;
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| format!("{part:?} is not a possible delay"))
            })
            .collect();
        delays.map(Self)
    }

    /// Delay before the attempt after `made` attempts, ± 20 % by `chance`
    /// (0 ≤ chance < 1); none when there is none left.
    #[must_use]
    pub fn delay(&self, made: usize, chance: f64) -> Option<Duration> {
        self.0.get(made).map(|delay| delay.mul_f64(0.8 + 0.4 * chance))
    }

    /// The same, but not before what the receiver asked for.
    #[must_use]
    pub fn delay_after(
        &self,
        made: usize,
        chance: f64,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        self.delay(made, chance)
            .map(|delay| delay.max(retry_after.unwrap_or_default().min(LONGEST_WAIT)))
    }
}

/// `Retry-After` as seconds or as an HTTP date; `now` in seconds since 1970.
#[must_use]
pub(super) fn retry_after(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(header).ok()?.timestamp();
    Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_attempts_and_no_ninth() {
        let schedule = Schedule::default();
        assert_eq!(schedule.delay(0, 0.5), Some(Duration::ZERO));
        assert_eq!(schedule.delay(1, 0.0), Some(Duration::from_secs(4)));
        assert_eq!(schedule.delay(1, 0.5), Some(Duration::from_secs(5)));
        assert!(schedule.delay(7, 0.999).unwrap() < Duration::from_secs(43_200));
        assert_eq!(schedule.delay(8, 0.5), None);
    }

    #[test]
    fn the_receiver_may_ask_for_more_but_not_for_less() {
        let schedule = Schedule::parse("0, 5").unwrap();
        let asked = |seconds| {
            schedule.delay_after(1, 0.5, Some(Duration::from_secs(seconds))).unwrap().as_secs()
        };
        assert_eq!((asked(1), asked(60), asked(1_000_000)), (5, 60, 86_400));
        assert!(
            Schedule::parse("0,x").is_err()
                && Schedule::parse("-1").is_err()
                && Schedule::parse("").is_err()
        );
    }

    #[test]
    fn retry_after_has_two_forms() {
        assert_eq!(retry_after("120", 0), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 50), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 70), Some(Duration::ZERO), "past");
        assert_eq!(retry_after("soon", 0), None);
    }
}
