//! Webhooks: order events to the endpoints that asked for them
//! (`contract.md` §3), signed after Standard Webhooks 1.0.0.
//!
//! ```text
//! user_feed ──────────┐
//! webhook_commands ───┤ dispatch ──► webhook_deliveries ──► deliver ──► POST
//! webhook_endpoints ──┘   (one database transaction per batch)   (leases)
//! ```
//!
//! Invariant: from the event to the noted answer, what is owed is either on
//! the log before the stored offset or in `webhook_deliveries`. `kill -9` at
//! any point repeats at most, with the same id and the same bytes.

mod body;
mod deliver;
mod directory;
mod dispatch;
mod endpoints;
pub mod listen;
mod load;
mod owed;
mod plan;
mod schedule;
mod send;
pub mod signature;

use std::sync::Arc;
use std::time::Duration;

use log::Log;
use read_model::seal::Sealer;
use read_model::webhook_target::TargetPolicy;
use read_model::{Database, StoredOffset};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use schedule::Schedule;

use crate::clock::{Clock, SystemClock};
use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;
use deliver::Deliverer;
use dispatch::Dispatcher;
use endpoints::Endpoints;
use send::Sender;

/// A number from 0 up to 1, for the jitter.
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;

/// How webhooks are sent.
#[derive(Clone)]
pub struct WebhookSettings {
    /// `WEBHOOK_SCHEDULE`.
    pub schedule: Schedule,
    /// `WEBHOOK_ALLOW_HOSTS`.
    pub targets: TargetPolicy,
    /// Of one attempt, from resolving the name to the end of the answer.
    pub timeout: Duration,
    /// Attempts under way in this process, at most.
    pub concurrency: usize,
    /// Attempts under way to one endpoint, at most.
    pub per_endpoint: usize,
    /// This process's name in leases: no two running processes may share it.
    /// What an earlier process of the name held is taken over at the start.
    pub owner: String,
    /// Records per batch.
    pub batch_records: usize,
    /// Wait after an interruption.
    pub retry: Duration,
    /// Other processes' deliveries are looked for at least this often.
    pub poll: Duration,
    /// Time for attempts under way when the process stops.
    pub drain: Duration,
    /// Settled deliveries are forgotten after this.
    pub keep: Duration,
    /// For the jitter of ± 20 %.
    pub chance: Chance,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings")
            .field("schedule", &self.schedule)
            .field("targets", &self.targets)
            .field("timeout", &self.timeout)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl WebhookSettings {
    /// The defaults for a process of this name.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            schedule: Schedule::default(),
            targets: TargetPolicy::default(),
            timeout: Duration::from_secs(15),
            concurrency: 256,
            per_endpoint: 8,
            owner: owner.into(),
            batch_records: 500,
            retry: Duration::from_millis(500),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            keep: Duration::from_secs(30 * 24 * 3600),
            chance: Arc::new(random),
        }
    }
}

/// From the operating system; the middle where it gives nothing.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}

/// What the webhooks role is given.
pub struct WebhookParts {
    /// Events, commands, endpoints.
    pub log: Arc<dyn Log>,
    /// Where deliveries are kept.
    pub database: Database,
    /// How to read the log.
    pub codecs: Codecs,
    /// Opens the endpoints' secrets.
    pub sealer: Sealer,
    /// Where time comes from; none = the system's clock.
    pub clock: Option<Arc<dyn Clock>>,
}

impl std::fmt::Debug for WebhookParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookParts(…)")
    }
}

/// Dispatches and delivers until `shutdown`.
pub async fn run_webhooks(
    parts: WebhookParts,
    settings: WebhookSettings,
    shutdown: CancellationToken,
) -> Result<(), EgressError> {
    let endpoints = Arc::new(Endpoints::default());
    let written = Arc::new(Notify::new());
    let loaded = CancellationToken::new();
    let clock = parts.clock.unwrap_or_else(|| Arc::new(SystemClock));
    let released = parts.database.release_leases(&settings.owner).await?;
    if released > 0 {
        tracing::info!(released, "deliveries of an earlier process taken over");
    }
    let deliverer = Arc::new(Deliverer {
        database: parts.database.clone(),
        endpoints: Arc::clone(&endpoints),
        sender: Sender::new(settings.targets.clone(), settings.timeout)?,
        settings: settings.clone(),
        clock: Arc::clone(&clock),
        written: Arc::clone(&written),
        shutdown: shutdown.clone(),
    });
    let dispatcher = Dispatcher {
        log: parts.log,
        database: parts.database,
        codecs: parts.codecs,
        sealer: parts.sealer,
        endpoints,
        settings,
        clock,
        written,
        loaded: loaded.clone(),
        shutdown: shutdown.clone(),
    };
    let dispatching = async {
        let ended =
            reading::on_thread("webhook-dispatch", move |handle| dispatcher.run(handle)).await;
        shutdown.cancel();
        ended
    };
    let delivering = async {
        tokio::select! {
            // Before the endpoints are known every delivery would look orphaned.
            () = loaded.cancelled() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        let ended = deliverer.run().await;
        shutdown.cancel();
        ended
    };
    let (dispatched, delivered) = tokio::join!(dispatching, delivering);
    dispatched.and(delivered)
}

/// After the log was replaced or its records ran out: goes on from the end of
/// the log as it is now (`orders webhooks reset`). What is owed already stays
/// owed; events in between are not sent.
pub async fn reset(log: Arc<dyn Log>, database: &Database) -> Result<(), EgressError> {
    let ends = reading::on_thread("webhook-reset", move |_| {
        let extent = reading::extent(log.admin()?.as_ref(), &dispatch::TOPICS)?;
        let ends = extent.ends.iter();
        Ok(extent
            .starts
            .iter()
            .zip(ends)
            .map(|(start, end)| StoredOffset { next_offset: *end, ..start.clone() })
            .collect::<Vec<_>>())
    })
    .await?;
    database.forget_offsets(dispatch::CONSUMER).await?;
    Ok(database.begin_at(dispatch::CONSUMER, &ends).await?)
}
