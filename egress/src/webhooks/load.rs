//! How much each endpoint may have under way: a slow or dead one holds up
//! nobody else.
//!
//! An endpoint has a few slots. After several failures in a row it has one
//! (the breaker is half open): a single attempt at a time finds out whether it
//! is back. Attempts follow the schedule either way, so nothing is dropped.

use std::collections::HashMap;

/// Failures in a row after which an endpoint gets one slot.
const OPEN_AFTER: u32 = 5;

/// Counts attempts under way.
#[derive(Debug)]
pub(super) struct Load {
    per_endpoint: usize,
    total: usize,
    running: usize,
    endpoints: HashMap<String, Running>,
}

#[derive(Debug, Default)]
struct Running {
    attempts: usize,
    failures: u32,
}

impl Running {
    fn slots(&self, per_endpoint: usize) -> usize {
        if self.failures >= OPEN_AFTER { 1 } else { per_endpoint }
    }
}

impl Load {
    pub(super) fn new(per_endpoint: usize, total: usize) -> Self {
        Self {
            per_endpoint: per_endpoint.max(1),
            total: total.max(1),
            running: 0,
            endpoints: HashMap::new(),
        }
    }

    /// Attempts that may still begin.
    pub(super) fn free(&self) -> usize {
        self.total - self.running
    }

    /// Endpoints that may begin nothing now.
    pub(super) fn saturated(&self) -> Vec<String> {
        let full = self
            .endpoints
            .iter()
            .filter(|(_, running)| running.attempts >= running.slots(self.per_endpoint));
        full.map(|(webhook, _)| webhook.clone()).collect()
    }

    /// Takes a slot, if there is one.
    pub(super) fn begin(&mut self, webhook_id: &str) -> bool {
        let total_free = self.running < self.total;
        let running = self.endpoints.entry(webhook_id.to_owned()).or_default();
        let free = total_free && running.attempts < running.slots(self.per_endpoint);
        if free {
            running.attempts += 1;
            self.running += 1;
        }
        free
    }

    /// Gives a slot back: `delivered` says how the attempt went, none that
    /// there was no attempt.
    pub(super) fn end(&mut self, webhook_id: &str, delivered: Option<bool>) {
        let Some(running) = self.endpoints.get_mut(webhook_id) else { return };
        running.attempts = running.attempts.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        match delivered {
            Some(true) => running.failures = 0,
            Some(false) => running.failures = running.failures.saturating_add(1),
            None => {}
        }
        if running.attempts == 0 && running.failures == 0 {
            self.endpoints.remove(webhook_id);
        }
    }

    /// Endpoints with one slot.
    pub(super) fn open_breakers(&self) -> usize {
        self.endpoints.values().filter(|running| running.failures >= OPEN_AFTER).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_does_not_take_all_slots() {
        let mut load = Load::new(2, 3);
        assert!(load.begin("a") && load.begin("a") && !load.begin("a"));
        assert_eq!(load.saturated(), ["a"]);
        assert!(load.begin("b") && !load.begin("c"), "three in all");
        load.end("a", Some(true));
        assert!(load.begin("c") && load.free() == 0);
    }

    #[test]
    fn a_failing_endpoint_is_probed_one_at_a_time_until_it_answers() {
        let mut load = Load::new(4, 100);
        for _ in 0..OPEN_AFTER {
            assert!(load.begin("a"));
            load.end("a", Some(false));
        }
        assert_eq!(load.open_breakers(), 1);
        assert!(load.begin("a") && !load.begin("a"));
        load.end("a", Some(true));
        assert_eq!(load.open_breakers(), 0);
        assert!(load.begin("a") && load.begin("a"));
    }
}
