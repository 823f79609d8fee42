//! `orders simulate`: schedules of crashes and faults over the generic flows and the order flow, found violations in their
//! shortest form. The simulator is [`runtime::simulation`]; here are its order flow and its command.

mod orders;

use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Result, bail};
use runtime::simulation::{Events, Flow, Violation, flows, shrink, simulate};
use serde_json::json;

use crate::cli::SimulateArgs;
use crate::output::say;
use crate::progress::Progress;

/// What can be simulated.
pub(crate) const FLOWS: [&str; 4] = ["words", "deadlines", "calls", "orders"];

/// Steps of a schedule for a flow of one application, and for the order flow, where each step is one of seven workers'.
const STEPS: (usize, usize) = (1_000, 4_000);
/// How long a schedule is shortened.
const SHRINKING: Duration = Duration::from_secs(60);

/// What became of the seeds of one flow.
struct Outcome {
    events: Events,
    violation: Option<Box<Violation>>,
}

/// Runs what was asked for; an error if anything was violated.
pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    // Any that was not the last one's.
    let first = args.seed.unwrap_or_else(|| {
        UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64 % 1_000_000_000)
    });
    let mut all = flows::all();
    all.push(orders::flow());
    if !args.flows.is_empty() {
        all.retain(|flow| args.flows.iter().any(|name| name == flow.name));
    }
    let total = args.seeds * all.len() as u64;
    let progress = Progress::new("schedules", total);
    let mut violated = 0;
    for flow in &all {
        let steps = args.steps.unwrap_or(if flow.name == "orders" { STEPS.1 } else { STEPS.0 });
        let outcome = seeds(flow, first..first + args.seeds, steps, &progress);
        violated += usize::from(outcome.violation.is_some());
        if args.json {
            say!("{}", as_json(flow, first, args.seeds, steps, &outcome));
        } else {
            print(flow, first, args.seeds, steps, &outcome)?;
        }
    }
    progress.finish();
    match violated {
        0 => Ok(()),
        count => bail!("{count} of {} flows violated what they promise", all.len()),
    }
}

/// Runs seeds until the first violation, which is shortened.
fn seeds(flow: &Flow, seeds: std::ops::Range<u64>, steps: usize, progress: &Progress) -> Outcome {
    let mut events = Events::default();
    for seed in seeds {
        match simulate(flow, seed, steps) {
            Ok(more) => events += more,
            Err(violation) => {
                let found = Instant::now();
                let least = shrink(flow, *violation, &mut || found.elapsed() < SHRINKING);
                return Outcome { events, violation: Some(Box::new(least)) };
            }
        }
        progress.done(1);
    }
    Outcome { events, violation: None }
}

fn repeat(flow: &Flow, seed: u64, steps: usize) -> String {
    format!("orders simulate --flow {} --seed {seed} --steps {steps}", flow.name)
}

fn print(flow: &Flow, first: u64, seeds: u64, steps: usize, outcome: &Outcome) -> Result<()> {
    if let Some(violation) = &outcome.violation {
        let repeat = repeat(flow, violation.schedule.seed, steps);
        say!("{}: VIOLATED\n{violation}\nrepeat: {repeat}", flow.name);
        return Ok(());
    }
    let happened = |counts: &mut dyn Iterator<Item = String>| counts.collect::<Vec<_>>().join(", ");
    let events = &outcome.events;
    let disruptions =
        happened(&mut events.disruptions.iter().map(|(what, count)| format!("{count} {what}")));
    let faults: u32 = events.faults.values().sum();
    let last = first + seeds - 1;
    say!("{}: {}; seeds {first} to {last}: 0 violations", flow.name, flow.about);
    say!("  {disruptions}, {faults} failing calls of {} kinds", events.faults.len());
    Ok(())
}

fn as_json(flow: &Flow, first: u64, seeds: u64, steps: usize, outcome: &Outcome) -> String {
    let violation = outcome.violation.as_ref().map(|violation| {
        let schedule = &violation.schedule;
        let runs = schedule.runs().into_iter();
        let steps_left: Vec<_> =
            runs.map(|(step, times)| json!({ "step": step.to_string(), "times": times })).collect();
        json!({
            "what": violation.what, "seed": schedule.seed, "members": schedule.members,
            "schedule": steps_left, "repeat": repeat(flow, schedule.seed, steps),
        })
    });
    let faults = outcome.events.faults.iter().map(|((operation, kind), count)| {
        json!({ "call": format!("{operation:?}"), "kind": kind, "count": count })
    });
    json!({
        "flow": flow.name, "first_seed": first, "seeds": seeds, "steps": steps,
        "violation": violation, "disruptions": outcome.events.disruptions,
        "faults": faults.collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_of_the_order_flow_are_right_whatever_happens() {
        let flow = orders::flow();
        for seed in 1..4 {
            if let Err(violation) = simulate(&flow, seed, STEPS.1) {
                panic!("{violation}");
            }
        }
    }

    #[test]
    fn every_flow_has_its_name_on_the_command_line() {
        let mut names: Vec<_> = flows::all().iter().map(|flow| flow.name).collect();
        names.push(orders::flow().name);
        assert_eq!(names, FLOWS);
    }
}
