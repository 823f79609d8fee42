//! Which seeds are run, and the runs of every flow.

use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use operators_runtime::simulation::{Events, Flow, flows, shrink, simulate};

/// Seeds per flow of an ordinary run.
const SEEDS: u64 = 100;
const STEPS: usize = 1_000;
const SHRINKING: Duration = Duration::from_secs(20);
const DAY_S: u64 = 86_400;

/// So many kinds of disruption and of failing calls there are; see `schedule.rs` of the simulator.
const KINDS: (usize, usize) = (7, 28);

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Others in every run of CI and on every day, the same for all tests of a run.
fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = variable("SIMULATION_SEED") {
        return seed..seed + 1;
    }
    let day = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / DAY_S);
    let turn = || variable("GITHUB_RUN_NUMBER").unwrap_or_else(day);
    let first = variable("SIMULATION_FROM").unwrap_or_else(|| turn() * 1_000);
    first..first + variable("SIMULATION_SEEDS").unwrap_or(SEEDS)
}

fn run(flow: &Flow) -> (u64, Events) {
    let seeds = seeds();
    // Not through `println!`: a green run shows its seeds too.
    let (name, from) = (flow.name, seeds.start);
    let told =
        writeln!(stderr(), "flow {name}, seeds {seeds:?}: repeat with SIMULATION_FROM={from}");
    told.unwrap();
    let count = seeds.end - seeds.start;
    let mut events = Events::default();
    for seed in seeds {
        match simulate(flow, seed, STEPS) {
            Ok(more) => events += more,
            Err(violation) => {
                let found = Instant::now();
                let least = shrink(flow, *violation, &mut || found.elapsed() < SHRINKING);
                panic!("flow {}: {least}\nrepeat: SIMULATION_SEED={seed}", flow.name);
            }
        }
    }
    println!("{events:#?}");
    (count, events)
}

#[test]
fn every_word_is_counted_exactly_once_whatever_happens() {
    let (count, events) = run(&flows::words());
    let kinds = (events.disruptions.len(), events.faults.len());
    assert!(count < SEEDS || kinds == KINDS, "some of it never happened: {kinds:?}, {events:#?}");
    assert!(count < SEEDS || events.takeovers > 0, "no task ever took its standby's state over");
    assert!(count < SEEDS || events.stale_rows > 0, "no standby was ever asked");
}

#[test]
fn every_question_has_one_outcome_and_answers_in_time_count() {
    run(&flows::deadlines());
}

#[test]
fn every_record_is_asked_about_and_has_one_result_whatever_happens() {
    run(&flows::calls());
}

#[test]
fn a_window_takes_what_is_in_time_whatever_was_aborted_or_restarted_meanwhile() {
    run(&flows::windows());
}

#[test]
fn a_seed_does_the_same_every_time() {
    for flow in flows::all() {
        let [first, second] = [(); 2].map(|()| simulate(&flow, 11, STEPS).unwrap());
        assert_eq!(first, second, "{}", flow.name);
    }
}
