//! How much did a customer order in this session?
//!
//! Invariant: each order counts once, with the amount of its newest version,
//! whatever the order of arrival; failed orders count too (`contract.md` §1.4).

use schemas::messages::{Check, FailureReason, FieldError, OrderEvent, OrderValidation};
use schemas::{Currency, OrderId};
use serde::{Deserialize, Serialize};

/// So many of the latest orders can still be amended; older ones are only a
/// sum, which bounds the size of a session.
const AMENDABLE: usize = 32;

/// The orders of one customer within one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Sums of the orders that can't be amended any more.
    settled: Vec<(Currency, i64)>,
    /// The latest orders, oldest first.
    recent: Vec<Entry>,
    /// What was counted last: the order the next verdict is about.
    latest: Option<Latest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    order_id: OrderId,
    version: i64,
    currency: Currency,
    minor: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Latest {
    order_id: OrderId,
    version: i64,
    currency: Currency,
    import: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl Session {
    /// Counts an order, or an amended order anew; `trace` is its record's
    /// `traceparent`.
    pub fn count(&mut self, event: &OrderEvent, trace: Option<&str>) {
        self.latest = Some(Latest {
            order_id: event.order_id,
            version: event.version,
            currency: event.total_amount.currency,
            import: event.order.channel.as_deref() == Some("import"),
            trace: trace.map(str::to_owned),
        });
        self.put(Entry {
            order_id: event.order_id,
            version: event.version,
            currency: event.total_amount.currency,
            minor: event.total_amount.minor,
        });
    }

    /// The session with another order, or an amended one.
    #[must_use]
    pub fn with(&self, event: &OrderEvent, trace: Option<&str>) -> Self {
        let mut session = self.clone();
        session.count(event, trace);
        session
    }

    /// Two sessions that an order joined are one; `newer` began later.
    #[must_use]
    pub fn merged(mut self, newer: Self) -> Self {
        for (currency, minor) in newer.settled {
            self.settle(currency, minor);
        }
        for entry in newer.recent {
            self.put(entry);
        }
        self.latest = newer.latest.or(self.latest);
        self
    }

    /// The session's total in a currency, minor units.
    #[must_use]
    pub fn total(&self, currency: Currency) -> i64 {
        let settled = self.settled.iter().filter(|(c, _)| *c == currency).map(|(_, minor)| minor);
        let recent = self.recent.iter().filter(|e| e.currency == currency).map(|e| &e.minor);
        settled.chain(recent).fold(0, |sum, minor| sum.saturating_add(*minor))
    }

    /// The verdict on the order counted last; none before the first. `limit`
    /// is in whole units of the order's currency; reaching it fails. Imported
    /// orders pass with the failure on record.
    #[must_use]
    pub fn verdict(&self, limit: i64) -> Option<OrderValidation> {
        let latest = self.latest.as_ref()?;
        let total = self.total(latest.currency);
        let limit_minor = limit.saturating_mul(10_i64.pow(latest.currency.exponent()));
        let reached = total >= limit_minor;
        let error = || FieldError {
            field: "total_amount".to_owned(),
            code: "fraud_limit".to_owned(),
            message: format!(
                "the customer's session total reached the limit of {limit} {}",
                latest.currency
            ),
        };
        Some(OrderValidation {
            order_id: latest.order_id,
            version: latest.version,
            check: Check::Fraud,
            passed: !reached || latest.import,
            failures: if reached { vec![FailureReason::FraudLimit] } else { Vec::new() },
            errors: if reached { vec![error()] } else { Vec::new() },
        })
    }

    /// The trace of the order counted last.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.latest.as_ref()?.trace.as_deref()
    }

    fn put(&mut self, entry: Entry) {
        if let Some(known) = self.recent.iter_mut().find(|e| e.order_id == entry.order_id) {
            if entry.version > known.version {
                *known = entry;
            }
            return;
        }
        self.recent.push(entry);
        if self.recent.len() > AMENDABLE {
            let oldest = self.recent.remove(0);
            self.settle(oldest.currency, oldest.minor);
        }
    }

    fn settle(&mut self, currency: Currency, minor: i64) {
        match self.settled.iter_mut().find(|(c, _)| *c == currency) {
            Some((_, sum)) => *sum = sum.saturating_add(minor),
            None => self.settled.push((currency, minor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn order(number: u128, version: i64, minor: i64) -> OrderEvent {
        let mut event = samples::created(&[("a", 1, minor)]);
        event.order_id = OrderId::new(uuid::Uuid::from_u128(number));
        event.version = version;
        event
    }

    fn session(events: &[OrderEvent]) -> Session {
        let mut session = Session::default();
        for event in events {
            session.count(event, None);
        }
        session
    }

    #[test]
    fn the_limit_is_in_whole_units_and_includes_the_order() {
        for (minor, passed) in [(199_999, true), (200_000, false), (200_001, false)] {
            let verdict = session(&[order(1, 1, minor)]).verdict(2_000).unwrap();
            assert_eq!(verdict.passed, passed, "{minor}");
        }
        let two = session(&[order(1, 1, 150_000), order(2, 1, 50_000)]);
        assert_eq!(two.verdict(2_000).unwrap().failures, [FailureReason::FraudLimit]);
        assert!(Session::default().verdict(2_000).is_none());
    }

    #[test]
    fn currencies_are_counted_apart_by_their_own_exponent() {
        let mut yen = order(2, 1, 1_999);
        yen.total_amount.currency = "JPY".parse().unwrap();
        let both = session(&[order(1, 1, 250_000), yen]);
        assert!(both.verdict(2_000).unwrap().passed);
        assert_eq!(both.total("JPY".parse().unwrap()), 1_999);
    }

    #[test]
    fn an_amendment_replaces_its_order_in_any_order_of_arrival() {
        let forward = session(&[order(1, 1, 190_000), order(1, 2, 210_000)]);
        let backward = session(&[order(1, 2, 210_000), order(1, 1, 190_000)]);
        assert_eq!(forward.total(Currency::USD), 210_000);
        assert_eq!(backward.total(Currency::USD), 210_000);
        assert!(!forward.verdict(2_000).unwrap().passed);
    }

    #[test]
    fn imports_are_recorded_but_pass() {
        let mut import = order(1, 1, 500_000);
        import.order.channel = Some("import".to_owned());
        let verdict = session(&[import]).verdict(2_000).unwrap();
        assert!(verdict.passed);
        assert_eq!(verdict.failures, [FailureReason::FraudLimit]);
    }

    proptest! {
        #[test]
        fn a_session_is_the_sum_of_its_orders_however_it_is_cut(
            amounts in proptest::collection::vec(1..10_000_i64, 1..100),
            cut in 0..100_usize,
        ) {
            let events: Vec<_> =
                amounts.iter().zip(1..).map(|(minor, n)| order(n, 1, *minor)).collect();
            let cut = cut.min(events.len());
            let merged = session(&events[..cut]).merged(session(&events[cut..]));
            prop_assert_eq!(merged.total(Currency::USD), amounts.iter().sum::<i64>());
            prop_assert!(merged.recent.len() <= AMENDABLE);
        }
    }
}
