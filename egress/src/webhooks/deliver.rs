//! Due deliveries → attempts → what is noted of them.
//!
//! A delivery is leased before it is sent and noted afterwards. Killed in
//! between, it is sent again with the same id once the lease ends: at least
//! once, never lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use read_model::Database;
use read_model::deliveries::{Attempt, Attempted, Claimed, DeliveryStatus};
use schemas::Micros;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::WebhookSettings;
use super::body;
use super::endpoints::Endpoints;
use super::load::Load;
use super::send::{Message, Outcome, Sender};
use crate::clock::Clock;
use crate::error::EgressError;

/// Candidates per query.
const CANDIDATES: u32 = 128;
/// Beyond the attempt's own timeout: time to note the result.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

pub(super) struct Deliverer {
    pub(super) database: Database,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) sender: Sender,
    pub(super) settings: WebhookSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) written: Arc<Notify>,
    pub(super) shutdown: CancellationToken,
}

/// Settled deliveries forgotten at once.
const PRUNE: u32 = 1_000;
/// Time between two rounds of forgetting, in microseconds.
const PRUNE_EVERY: i64 = 60_000_000;

/// What a finished attempt gives back.
type Finished = (String, Option<bool>);

impl Deliverer {
    pub(super) async fn run(self: Arc<Self>) -> Result<(), EgressError> {
        let mut load = Load::new(self.settings.per_endpoint, self.settings.concurrency);
        let mut running: JoinSet<Finished> = JoinSet::new();
        let mut prune_at = 0;
        while !self.shutdown.is_cancelled() {
            if self.clock.now().0 >= prune_at {
                prune_at = self.clock.now().0 + PRUNE_EVERY;
                self.prune().await;
            }
            let next = match self.begin_due(&mut load, &mut running).await {
                Ok(next) => next,
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "deliveries not read; trying again");
                    Some(self.after(self.settings.retry))
                }
                Err(error) => return Err(error),
            };
            let wake = next.unwrap_or(i64::MAX).min(self.after(self.settings.poll));
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = self.written.notified() => {}
                Some(finished) = running.join_next() => {
                    if let Ok((webhook, delivered)) = finished {
                        load.end(&webhook, delivered);
                    }
                }
                () = self.clock.sleep_until(Micros(wake)) => {}
            }
        }
        // What is under way gets its chance to be noted.
        let drain = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(self.settings.drain, drain).await.is_err() {
            tracing::warn!("deliveries under way were cut off; they will be sent again");
        }
        Ok(())
    }

    /// Forgets what was settled long ago. A failure is tried again next time.
    async fn prune(&self) {
        let keep = i64::try_from(self.settings.keep.as_micros()).unwrap_or(i64::MAX);
        let before = self.clock.now().0.saturating_sub(keep);
        if let Err(error) = self.database.prune_deliveries(before, PRUNE).await {
            tracing::warn!(%error, "old deliveries not forgotten");
        }
    }

    fn after(&self, wait: Duration) -> i64 {
        self.clock.now().0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
    }

    /// Begins everything that is due and has a slot; returns when the next
    /// delivery falls due.
    async fn begin_due(
        self: &Arc<Self>,
        load: &mut Load,
        running: &mut JoinSet<Finished>,
    ) -> Result<Option<i64>, EgressError> {
        let now = self.clock.now().0;
        while load.free() > 0 {
            let due = self.database.due_deliveries(now, &load.saturated(), CANDIDATES).await?;
            let full = due.len() == CANDIDATES as usize;
            let taken: Vec<_> =
                due.into_iter().filter(|(_, webhook)| load.begin(webhook)).collect();
            let ids: Vec<_> = taken.iter().map(|(delivery, _)| *delivery).collect();
            let lease = self.after(self.settings.timeout + LEASE_MARGIN);
            let claimed = match self
                .database
                .claim_deliveries(&ids, &self.settings.owner, now, lease)
                .await
            {
                Ok(claimed) => claimed,
                Err(error) => {
                    taken.iter().for_each(|(_, webhook)| load.end(webhook, None));
                    return Err(error.into());
                }
            };
            // Somebody else was faster with these.
            for (_, webhook) in
                taken.iter().filter(|(id, _)| claimed.iter().all(|claim| claim.delivery_id != *id))
            {
                load.end(webhook, None);
            }
            for claim in claimed {
                running.spawn(Arc::clone(self).deliver(claim));
            }
            // With fewer candidates than asked for, the rest has no slot.
            if !full {
                break;
            }
        }
        metrics::gauge!("webhook_endpoint_circuit", "state" => "open")
            .set(load.open_breakers() as f64);
        Ok(self.database.next_delivery_due(now).await?)
    }

    /// One attempt, noted.
    async fn deliver(self: Arc<Self>, claim: Claimed) -> Finished {
        let webhook_id = claim.webhook_id.clone();
        let at = self.clock.now();
        let endpoint = self.endpoints.get(&webhook_id);
        let (attempted, delivered) = match &endpoint {
            Some(endpoint) if endpoint.registered.enabled => {
                let began = Instant::now();
                let id = claim.delivery_id.to_string();
                let message = Message {
                    id: &id,
                    timestamp: at.0.div_euclid(1_000_000),
                    body: claim.body.clone(),
                    traceparent: claim.traceparent.as_deref(),
                };
                let outcome = self.sender.attempt(endpoint, message).await;
                self.measure(&claim, &outcome, began.elapsed());
                if outcome.delivered() {
                    self.measure_delivered(&claim);
                }
                if outcome.gone() {
                    self.endpoints.answered_gone(endpoint);
                }
                (self.attempted(&claim, &outcome, at, began.elapsed()), Some(outcome.delivered()))
            }
            _ => (given_up(&claim), None),
        };
        self.note(&attempted).await;
        (webhook_id, delivered)
    }

    /// Notes the result until the database takes it; while it doesn't, the
    /// lease keeps others away.
    async fn note(&self, attempted: &Attempted) {
        loop {
            match self.database.record_attempt(&self.settings.owner, attempted).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(delivery_id = %attempted.delivery_id, "lease lost before the result was noted");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "result of a delivery not noted; trying again");
                    if tokio::time::timeout(self.settings.retry, self.shutdown.cancelled())
                        .await
                        .is_ok()
                    {
                        return;
                    }
                }
            }
        }
    }

    fn attempted(
        &self,
        claim: &Claimed,
        outcome: &Outcome,
        at: Micros,
        took: Duration,
    ) -> Attempted {
        let mut attempts = claim.attempts.clone();
        attempts.push(Attempt {
            at: at.to_rfc3339(),
            status_code: outcome.status_code,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            error: outcome.error.clone(),
        });
        let step = claim.step.saturating_add(1);
        let made = usize::try_from(step).unwrap_or(usize::MAX);
        let next = if outcome.delivered() || outcome.gone() {
            None
        } else {
            self.settings.schedule.delay_after(made, (self.settings.chance)(), outcome.retry_after)
        };
        let status = match (outcome.delivered(), next) {
            (true, _) => DeliveryStatus::Delivered,
            (false, Some(_)) => DeliveryStatus::Pending,
            (false, None) => DeliveryStatus::Failed,
        };
        let next_attempt_at = next.map(|delay| self.after(delay));
        Attempted { delivery_id: claim.delivery_id, attempts, status, step, next_attempt_at }
    }

    fn measure(&self, claim: &Claimed, outcome: &Outcome, took: Duration) {
        let result = if outcome.delivered() { "delivered" } else { "failed" };
        let class = outcome
            .status_code
            .map_or_else(|| "none".to_owned(), |code| format!("{}xx", code / 100));
        metrics::counter!("webhook_deliveries_total", "outcome" => result, "class" => class)
            .increment(1);
        metrics::histogram!("webhook_attempt_duration_seconds").record(took.as_secs_f64());
        tracing::debug!(delivery_id = %claim.delivery_id, result, status = ?outcome.status_code, "webhook attempt");
    }

    /// From the event to the first answer that takes it, waits between attempts included. What was taken before and is
    /// sent again because its owner asks doesn't count.
    fn measure_delivered(&self, claim: &Claimed) {
        if claim.attempts.iter().any(Attempt::delivered) {
            return;
        }
        if let Some(happened) = body::happened(&claim.body) {
            let took = happened.seconds_until(self.clock.now());
            metrics::histogram!("webhook_publish_to_delivered_seconds").record(took);
        }
    }
}

/// The endpoint is gone or off: nothing is sent.
fn given_up(claim: &Claimed) -> Attempted {
    Attempted {
        delivery_id: claim.delivery_id,
        attempts: claim.attempts.clone(),
        status: DeliveryStatus::Failed,
        step: claim.step,
        next_attempt_at: None,
    }
}
