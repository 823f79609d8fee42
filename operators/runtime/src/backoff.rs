//! How long to wait before what failed is tried again.
//!
//! Invariants: the first failure is answered at once; waits after those that follow it double up to a bound, and members
//! that fail together don't come back together; success begins anew, and so does a time without failures. The waits of
//! one name are always the same, so a simulated schedule can be repeated.

/// Whoever had no failure for so many of the longest waits begins anew.
const QUIET: i64 = 10;

/// Of one worker.
#[derive(Debug)]
pub(crate) struct Backoff {
    dice: u64,
    failures: u32,
    last: i64,
    min_ms: i64,
    max_ms: i64,
}

impl Backoff {
    /// Waits between half of `min_ms` and `max_ms`; the name says which.
    pub(crate) fn new(name: &str, min_ms: i64, max_ms: i64) -> Self {
        // FNV-1a: the same in every build.
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let dice = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix) | 1;
        let min_ms = min_ms.max(1);
        Self { dice, failures: 0, last: i64::MIN / 2, min_ms, max_ms: max_ms.max(min_ms) }
    }

    /// Something failed at `now`: milliseconds until it is tried again.
    pub(crate) fn failed(&mut self, now: i64) -> i64 {
        if now.saturating_sub(self.last) > self.max_ms.saturating_mul(QUIET) {
            self.failures = 0;
        }
        self.last = now;
        self.failures += 1;
        let Some(doublings) = self.failures.checked_sub(2) else { return 0 };
        let most = 1_i64
            .checked_shl(doublings)
            .filter(|factor| *factor > 0)
            .and_then(|factor| self.min_ms.checked_mul(factor))
            .map_or(self.max_ms, |wait| wait.min(self.max_ms));
        most - self.below(most / 2 + 1)
    }

    /// What failed before has succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// xorshift64*.
    fn below(&mut self, bound: i64) -> i64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        let number = self.dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        let bound = u64::try_from(bound).unwrap_or(1).max(1);
        i64::try_from(number % bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(name: &str, count: usize) -> Vec<i64> {
        let mut backoff = Backoff::new(name, 10, 1_000);
        (0..count).map(|_| backoff.failed(0)).collect()
    }

    #[test]
    fn waits_grow_to_a_bound_and_the_first_is_none() {
        let waits = waits("app-member-0", 200);
        assert_eq!(waits[0], 0);
        for (wait, most) in waits[1..].iter().zip([10, 20, 40, 80, 160, 320, 640]) {
            assert!((most / 2..=most).contains(wait), "{wait} of {most}");
        }
        let capped = &waits[8..];
        assert!(capped.iter().all(|wait| (500..=1_000).contains(wait)), "{capped:?}");
        assert!(capped.iter().any(|wait| *wait < 600) && capped.iter().any(|wait| *wait > 900));
    }

    #[test]
    fn members_wait_differently_and_each_always_the_same() {
        assert_eq!(waits("app-a-0", 20), waits("app-a-0", 20));
        assert_ne!(waits("app-a-0", 20), waits("app-b-0", 20));
    }

    #[test]
    fn success_and_quiet_begin_anew() {
        let mut backoff = Backoff::new("a", 10, 1_000);
        assert!(backoff.failed(0) == 0 && backoff.failed(1) > 0);
        backoff.succeeded();
        assert!(backoff.failed(2) == 0 && backoff.failed(3) > 0);
        assert!(backoff.failed(10_003) > 0, "not quiet for long enough");
        assert_eq!(backoff.failed(20_004), 0);
    }
}
