//! Deadlines: what an order does when nobody answers.
//!
//! Invariant: after a timer, the earliest deadline lies in the future, or
//! there is none and the order is over.

use schemas::messages::{FailureReason, OrderStatus};

use super::checks;
use super::decision::Decision;

pub(super) fn on_timer(decision: &mut Decision<'_>) {
    if decision.state.status_due.is_some_and(|due| due <= decision.now_ms) {
        decision.state.status_due = None;
        match decision.status() {
            OrderStatus::Pending => checks::timed_out(decision),
            OrderStatus::Validated => checks::start_payment(decision),
            OrderStatus::Processing => {
                let detail = "the payment provider did not answer in time".to_owned();
                checks::fail(decision, FailureReason::PaymentTimeout, detail, Vec::new());
            }
            _ => {}
        }
    }
    decision.send_due();
}
