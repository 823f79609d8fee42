//! Makes a failing schedule as short as it gets: delta debugging over its steps.
//!
//! Parts are left out, large ones first, as long as what remains goes wrong in the same way; then numbers are made small. Each step
//! means something on its own, so whatever remains can be run.

use super::Flow;
use super::run::{Kind, Violation, run};
use super::schedule::{Schedule, Step};

/// Shortens the schedule of a violation for as long as `go_on` says, which is asked before each run.
pub fn shrink(flow: &Flow, violation: Violation, go_on: &mut dyn FnMut() -> bool) -> Violation {
    let mut least = violation;
    let mut size = least.schedule.steps.len().div_ceil(2);
    while size > 0 && go_on() {
        let mut shorter = false;
        let mut end = least.schedule.steps.len();
        // From the end: what came after the cause goes first.
        while end > 0 && go_on() {
            let start = end.saturating_sub(size);
            let mut schedule = least.schedule.clone();
            schedule.steps.drain(start..end);
            if let Some(violated) = again(flow, &schedule, least.kind) {
                least = violated;
                shorter = true;
            }
            end = start;
        }
        // Once more where single steps went: others may have needed them.
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    smaller(flow, least, go_on)
}

/// What goes wrong in another way is another matter.
fn again(flow: &Flow, schedule: &Schedule, kind: Kind) -> Option<Violation> {
    run(flow, schedule).err().map(|violated| *violated).filter(|violated| violated.kind == kind)
}

/// Fewer times, smaller numbers.
fn smaller(flow: &Flow, mut least: Violation, go_on: &mut dyn FnMut() -> bool) -> Violation {
    for number in 0..least.schedule.steps.len() {
        let simpler: &[Step] = match least.schedule.steps[number] {
            Step::Arrive(more) if more > 0 => &[Step::Arrive(0), Step::Arrive(1)],
            Step::Pass(more) if more > 1 => &[Step::Pass(1)],
            Step::Jump { member, ms } if ms > 1 => &[Step::Jump { member, ms: 1 }],
            Step::Fault { operation, fault, times } if times > 1 => {
                &[Step::Fault { operation, fault, times: 1 }]
            }
            _ => &[],
        };
        for step in simpler {
            if !go_on() {
                return least;
            }
            let mut schedule: Schedule = least.schedule.clone();
            schedule.steps[number] = *step;
            if let Some(violated) = again(flow, &schedule, least.kind) {
                least = violated;
                break;
            }
        }
    }
    least
}
