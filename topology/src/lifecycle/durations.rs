//! How long orders take, as metrics: each status by itself, and from the command to the end.
//!
//! Invariant: what an order spent in its statuses adds up to its whole time, since the first one began with the command.

use schemas::Micros;
use schemas::messages::OrderEvent;

use super::state::OrderState;

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
        mut observe: impl FnMut(&'static str, (&'static str, &'static str), f64),
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
            let took = began.seconds_until(event.occurred_at);
            observe("order_stage_duration_seconds", ("stage", left.as_str()), took);
        }
        if event.status.is_terminal() {
            let took = event.order.created_at.seconds_until(event.occurred_at);
            observe("order_end_to_end_seconds", ("status", event.status.as_str()), took);
        }
    }
}
