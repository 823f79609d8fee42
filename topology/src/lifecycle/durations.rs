//! How long orders take, as metrics: each status by itself, and from the command to the end.
//!
//! Invariant: what an order spent in its statuses adds up to its whole time, since the first one began with the command.

use schemas::Micros;
use schemas::messages::OrderEvent;

use super::state::OrderState;

/// How long orders stood in a status that they left; label `stage`.
const STAGE: &str = "order_stage_duration_seconds";
/// From the command to the last status; label `status`, which is that one.
const END_TO_END: &str = "order_end_to_end_seconds";

/// Of one order, event by event.
pub(super) struct Durations {
    /// When the status began that the next event may end.
    since: Option<Micros>,
}

impl Durations {
    /// Of an order as it was before its next events; none for one that isn't born.
    pub(super) fn of(before: Option<&OrderState>) -> Self {
        Self { since: before.and_then(|state| state.status_since) }
    }

    /// Hands on what this event brings to an end: metric, label, seconds.
    pub(super) fn observe(
        &mut self,
        event: &OrderEvent,
        mut tell: impl FnMut(&'static str, (&'static str, &'static str), f64),
    ) {
        let Some(left) = event.previous_status else {
            self.since = Some(event.order.created_at);
            return;
        };
        if left == event.status {
            return;
        }
        let began = self.since.replace(event.occurred_at);
        if let Some(began) = began {
            tell(STAGE, ("stage", left.as_str()), began.seconds_until(event.occurred_at));
        }
        if event.status.is_terminal() {
            let took = event.order.created_at.seconds_until(event.occurred_at);
            tell(END_TO_END, ("status", event.status.as_str()), took);
        }
    }
}
