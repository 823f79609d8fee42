//! How much is owed to receivers, as metrics.
//!
//! Invariant: one process tells it, the one that dispatches, so that the values of several can be added up; when it stops
//! dispatching it tells nothing.

use read_model::Database;
use schemas::Micros;
use tokio::runtime::Handle;

/// Between two looks, in microseconds.
const EVERY: i64 = 15_000_000;

/// Of the dispatching process.
#[derive(Default)]
pub(super) struct OwedWatch {
    looked: Option<Micros>,
}

impl OwedWatch {
    /// Looks if it is time to.
    pub(super) fn look(&mut self, database: &Database, now: Micros, handle: &Handle) {
        if self.looked.is_some_and(|at| now.0.saturating_sub(at.0) < EVERY) {
            return;
        }
        self.looked = Some(now);
        match handle.block_on(database.owed_deliveries()) {
            Ok(owed) => {
                tell(
                    owed.deliveries,
                    owed.oldest.map_or(0.0, |oldest| Micros(oldest).seconds_until(now)),
                );
            }
            Err(error) => tracing::debug!(%error, "what is owed to receivers is not known"),
        }
    }
}

impl Drop for OwedWatch {
    fn drop(&mut self) {
        tell(0, 0.0);
    }
}

fn tell(deliveries: i64, oldest_seconds: f64) {
    metrics::gauge!("webhook_backlog").set(deliveries as f64);
    metrics::gauge!("webhook_oldest_pending_seconds").set(oldest_seconds);
}
