//! `orders simulate`: schedules of crashes and faults over the generic flows and the order flow, found violations in their
//! shortest form. The simulator is [`runtime::simulation`]; here are its order flow and its command.

mod orders;

use std::ops::Range;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Result, bail};
use runtime::simulation::{Events, Flow, Violation, flows, shrink, simulate};
use serde_json::json;

use crate::cli::SimulateArgs;
use crate::output::say;
use crate::progress::Progress;

/// What can be simulated.
pub(crate) const FLOWS: [&str; 5] = ["words", "deadlines", "calls", "windows", "orders"];

/// Steps of a schedule for a flow of one application, and for the order flow, where each step is one of seven workers'.
const STEPS: (usize, usize) = (1_000, 4_000);
/// How long a schedule is shortened.
const SHRINKING: Duration = Duration::from_secs(60);

/// What became of the seeds of one flow.
struct Outcome {
    /// How many were run; fewer than were asked for when one was violated.
    seeds: u64,
    /// Of those that violated nothing.
    events: Events,
    violation: Option<Found>,
}

/// A violation, in its shortest form so far.
struct Found {
    least: Box<Violation>,
    /// What was violated at first, before anything was left out.
    at_first: String,
    /// Shortening was stopped.
    stopped: bool,
}

/// Runs what was asked for; an error if anything was violated.
pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    // Any that was not the last one's.
    let first = args.seed.unwrap_or_else(|| {
        UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64 % 1_000_000_000)
    });
    let last = first.checked_add(args.seeds - 1).filter(|last| *last < u64::MAX);
    let Some(last) = last else {
        bail!("--seed {first}: there are no {} seeds from it on", args.seeds);
    };
    let mut all = flows::all();
    all.push(orders::flow());
    if !args.flows.is_empty() {
        all.retain(|flow| args.flows.iter().any(|name| name == flow.name));
    }
    run_all(args, &all, first..last + 1)
}

fn run_all(args: &SimulateArgs, all: &[Flow], range: Range<u64>) -> Result<()> {
    let total = args.seeds * all.len() as u64;
    let progress = Progress::new("schedules", total);
    let mut violated = 0;
    for flow in all {
        let usual = if flow.name == "orders" { STEPS.1 } else { STEPS.0 };
        let steps = args.steps.map_or(usual, |steps| steps as usize);
        let outcome = seeds(flow, range.clone(), steps, &progress);
        violated += usize::from(outcome.violation.is_some());
        if args.json {
            say!("{}", as_json(flow, range.start, steps, &outcome));
        } else {
            print(flow, range.start, steps, &outcome)?;
        }
    }
    progress.finish();
    match violated {
        0 => Ok(()),
        count => bail!("{count} of {} flows violated what they promise", all.len()),
    }
}

/// Runs seeds until the first violation, which is shortened.
fn seeds(flow: &Flow, range: Range<u64>, steps: usize, progress: &Progress) -> Outcome {
    let mut outcome = Outcome { seeds: 0, events: Events::default(), violation: None };
    for seed in range {
        let simulated = simulate(flow, seed, steps);
        outcome.seeds += 1;
        progress.done(1);
        match simulated {
            Ok(more) => outcome.events += more,
            Err(violation) => {
                outcome.violation = Some(shortened(flow, *violation));
                break;
            }
        }
    }
    outcome
}

fn shortened(flow: &Flow, violation: Violation) -> Found {
    let (seed, seconds) = (violation.schedule.seed, SHRINKING.as_secs());
    eprintln!(
        "{}: seed {seed} is violated; shortening its schedule for up to {seconds} s",
        flow.name
    );
    let (at_first, found) = (violation.what.clone(), Instant::now());
    let mut stopped = false;
    let least = shrink(flow, violation, &mut || {
        stopped = found.elapsed() >= SHRINKING;
        !stopped
    });
    Found { least: Box::new(least), at_first, stopped }
}

fn repeat(flow: &Flow, seed: u64, steps: usize) -> String {
    format!("orders simulate --flow {} --seed {seed} --steps {steps}", flow.name)
}

fn print(flow: &Flow, first: u64, steps: usize, outcome: &Outcome) -> Result<()> {
    if let Some(Found { least, at_first, stopped }) = &outcome.violation {
        let repeat = repeat(flow, least.schedule.seed, steps);
        say!("{}: VIOLATED\n{least}", flow.name);
        if *stopped {
            say!("shortening was stopped: a shorter schedule may do the same");
        }
        if *at_first != least.what {
            say!("with the whole schedule: {at_first}");
        }
        say!("repeat: {repeat}");
        return Ok(());
    }
    let happened = |counts: &mut dyn Iterator<Item = String>| counts.collect::<Vec<_>>().join(", ");
    let events = &outcome.events;
    let disruptions =
        happened(&mut events.disruptions.iter().map(|(what, count)| format!("{count} {what}")));
    let faults: u32 = events.faults.values().sum();
    let last = first + outcome.seeds - 1;
    say!("{}: {}; seeds {first} to {last}: 0 violations", flow.name, flow.about);
    say!("  {disruptions}, {faults} failing calls of {} kinds", events.faults.len());
    Ok(())
}

fn as_json(flow: &Flow, first: u64, steps: usize, outcome: &Outcome) -> String {
    let violation = outcome.violation.as_ref().map(|Found { least, at_first, stopped }| {
        let schedule = &least.schedule;
        let runs = schedule.runs().into_iter();
        let steps_left: Vec<_> =
            runs.map(|(step, times)| json!({ "step": step.to_string(), "times": times })).collect();
        json!({
            "what": least.what, "with_the_whole_schedule": at_first, "shortening_stopped": stopped,
            "seed": schedule.seed, "members": schedule.members, "schedule": steps_left,
            "repeat": repeat(flow, schedule.seed, steps),
        })
    });
    let faults = outcome.events.faults.iter().map(|((operation, kind), count)| {
        json!({ "call": format!("{operation:?}"), "kind": kind, "count": count })
    });
    json!({
        "flow": flow.name, "first_seed": first, "seeds": outcome.seeds, "steps": steps,
        "violation": violation, "disruptions": outcome.events.disruptions,
        "faults": faults.collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use log::TopicSpec;
    use runtime::simulation::{Application, Scenario, Verdict, World};

    use super::*;

    /// Nothing that arrives is right.
    struct Wrong(u32);

    impl Scenario for Wrong {
        fn applications(&self) -> Vec<Application> {
            flows::words().scenario().applications()
        }

        fn topics(&self) -> Vec<TopicSpec> {
            flows::words().scenario().topics()
        }

        fn arrive(&mut self, _world: &World, _number: u64) {
            self.0 += 1;
        }

        fn check(&mut self, _world: &World) -> Verdict {
            match self.0 {
                0 => Verdict::Settled,
                count => Verdict::Violated(format!("{count} arrived")),
            }
        }
    }

    fn asked(seeds: u64) -> SimulateArgs {
        SimulateArgs { seed: Some(7), seeds, steps: Some(100), flows: Vec::new(), json: false }
    }

    #[test]
    fn a_violation_ends_its_flow_is_shortened_and_fails_the_command() {
        let wrong = Flow::new("wrong", "nothing is right", || Wrong(0));
        let outcome = seeds(&wrong, 7..10, 100, &Progress::new("schedules", 3));
        assert_eq!(outcome.seeds, 1);
        let shown: serde_json::Value =
            serde_json::from_str(&as_json(&wrong, 7, 100, &outcome)).unwrap();
        assert_eq!(shown["seeds"], 1);
        assert_eq!(shown["violation"]["what"], "1 arrived");
        assert_eq!(shown["violation"]["schedule"].as_array().unwrap().len(), 1);
        assert_ne!(shown["violation"]["with_the_whole_schedule"], "1 arrived");
        let told = run_all(&asked(1), &[wrong, flows::words()], 7..8).unwrap_err().to_string();
        assert_eq!(told, "1 of 2 flows violated what they promise");
    }

    #[test]
    fn seeds_that_do_not_exist_are_refused() {
        let told = run(&SimulateArgs { seed: Some(u64::MAX - 1), ..asked(3) }).unwrap_err();
        assert!(told.to_string().contains("there are no 3 seeds"), "{told}");
    }

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
