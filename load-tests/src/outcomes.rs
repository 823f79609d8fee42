//! What became of the orders of a run: validated on the feed, refused by the
//! system's own rules, or not heard of. The last kind is what a measurement must
//! not overlook, and must not confuse with the second.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::feed::{Heard, Verdict};

/// How many orders ended in each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) validated: u64,
    /// By `failure_reason`: the system decided, and said so on the feed.
    pub(crate) refused: BTreeMap<String, u64>,
    /// The API shows them decided, but the feed never said it.
    pub(crate) lost_events: u64,
    /// Still `pending` in the API.
    pub(crate) undecided: u64,
}

impl Outcomes {
    /// Counts what the feed said; returns the orders it said nothing of.
    pub(crate) fn count<'a>(
        &mut self,
        heard: &Heard,
        orders: impl Iterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        let mut silent = Vec::new();
        for order in orders {
            match heard.verdicts.get(order) {
                Some((Verdict::Validated, _)) => self.validated += 1,
                Some((Verdict::Failed(reason), _)) => {
                    *self.refused.entry(reason.clone()).or_default() += 1;
                }
                None => silent.push(order),
            }
        }
        silent
    }

    /// Counts an order that the feed said nothing of, as the API shows it.
    pub(crate) fn count_silent(&mut self, order: &Value) {
        match order.get("status").and_then(Value::as_str) {
            Some("pending") => self.undecided += 1,
            _ => self.lost_events += 1,
        }
    }

    pub(crate) fn figures(&self) -> Value {
        json!({
            "validated": self.validated,
            "refused": self.refused,
            "lost_events": self.lost_events,
            "undecided": self.undecided,
        })
    }

    /// What is wrong with the run; none if every order was validated.
    pub(crate) fn complaint(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.lost_events > 0 {
            parts.push(format!(
                "{} orders were decided without an event on the feed",
                self.lost_events
            ));
        }
        if self.undecided > 0 {
            parts.push(format!("{} orders are still pending", self.undecided));
        }
        for (reason, count) in &self.refused {
            let remedy = match reason.as_str() {
                "fraud_limit" => {
                    " (fewer orders per customer: more --users, or a higher FRAUD_WINDOW_LIMIT)"
                }
                "out_of_stock" => " (PUT /api/v1/admin/products/prod-1 with more stock)",
                _ => "",
            };
            parts.push(format!("{count} orders failed with {reason}{remedy}"));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Asks the API about orders.
pub(crate) async fn ask(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    orders: &[&str],
) -> Result<Vec<Value>> {
    let one = async |order: &str| -> Result<Value> {
        let response =
            http.get(format!("{url}/api/v1/orders/{order}")).bearer_auth(token).send().await?;
        let text = response.error_for_status()?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("order {order}"))
    };
    stream::iter(orders).map(|order| one(order)).buffer_unordered(16).try_collect().await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn refused_lost_and_undecided_are_told_apart() {
        let mut heard = Heard::default();
        let mut say = |order: &str, verdict| {
            heard.verdicts.insert(order.to_owned(), (verdict, Instant::now()));
        };
        say("a", Verdict::Validated);
        say("b", Verdict::Failed("fraud_limit".to_owned()));
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.count(&heard, ["a"].into_iter()), Vec::<&str>::new());
        assert_eq!(outcomes.complaint(), None);
        assert_eq!(outcomes.count(&heard, ["b", "c", "d"].into_iter()), ["c", "d"]);
        outcomes.count_silent(&json!({"status": "pending"}));
        outcomes.count_silent(&json!({"status": "delivered"}));
        assert_eq!(
            outcomes.figures(),
            json!({"validated": 1, "refused": {"fraud_limit": 1}, "lost_events": 1, "undecided": 1})
        );
        let complaint = outcomes.complaint().unwrap();
        assert!(complaint.contains("1 orders were decided without an event"), "{complaint}");
        assert!(complaint.contains("failed with fraud_limit (fewer orders"), "{complaint}");
    }
}
