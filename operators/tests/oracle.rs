//! Vectors made by Kafka Streams' own test driver, replayed: output must match record by record.
//!
//! `cargo test -p operators --test oracle -- --help` says how to choose cases, modes and vectors of your own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod flows;

use std::process::ExitCode;

use flows::choice::{CASES, Choice};
use flows::replay::replay;
use flows::vectors::{OutputTopic, Round, Step, written};
use flows::{Case, cases};
use operators::{DriverOptions, RawBytes, TestOutputTopic, Topic, Topology, TopologyTestDriver};
use serde_json::Value;

const HELP: &str = "\
cargo test -p operators --test oracle [-- PART_OF_A_NAME… | --list]

Replays Kafka Streams' vectors, of all cases or of those whose name has one of these parts in it, and
prints which passed and which failed, with the first difference. Each case runs in every mode:
  plain      as it is
  restarts   with the application killed and restored from the log between steps
  aborts     with every step aborted once before it is committed
  seeded     with a seed that decides when tasks run and commit and where the application dies

ORACLE_DIR    folder of vectors made by ks-oracle; default: the committed copy
ORACLE_MODES  the modes to run, with commas between them; default: all
ORACLE_CASES  whole names of the cases to run, with commas between them; parts of names are ignored then

A name that no case has is an error, with the names that come close. A part of a name that none has is one
only if any of these variables is set, for `cargo test NAME` asks every test binary for it: else it is told.";

const VARIABLES: [&str; 3] = ["ORACLE_DIR", "ORACLE_MODES", CASES];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// As it is.
    Plain,
    /// The application is killed and restored from the log between steps.
    Restarts,
    /// Every step is aborted once before it is committed.
    Aborts,
    /// A seed decides when tasks run and commit and where the application dies.
    Seeded,
}

const MODES: [(&str, Mode); 4] = [
    ("plain", Mode::Plain),
    ("restarts", Mode::Restarts),
    ("aborts", Mode::Aborts),
    ("seeded", Mode::Seeded),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let cases = cases();
    let names: Vec<&str> = include_str!("vectors/all.txt").lines().collect();
    let without_flow: Vec<&&str> =
        names.iter().filter(|name| cases.iter().all(|case| case.name != **name)).collect();
    assert!(without_flow.is_empty(), "cases without a flow: {without_flow:?}");
    assert_eq!((names.len(), cases.len()), (72, 72));
    if arguments.iter().any(|argument| argument == "--list") {
        names.iter().for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let choice = Choice::of(std::env::var(CASES).ok(), arguments.into_iter());
    let unmatched = choice.unmatched(&names);
    let is_meant = VARIABLES.iter().any(|variable| std::env::var_os(variable).is_some());
    let severity = if is_meant { "error" } else { "warning" };
    unmatched.iter().for_each(|line| eprintln!("{severity}: oracle: {line}"));
    if is_meant && !unmatched.is_empty() {
        return ExitCode::FAILURE;
    }
    replay(&modes(), &choice, usize::MAX, run)
}

/// Those of `ORACLE_MODES`, or all.
fn modes() -> Vec<Mode> {
    let Ok(chosen) = std::env::var("ORACLE_MODES") else {
        return MODES.map(|(_, mode)| mode).to_vec();
    };
    let named = |name: &str| MODES.iter().find(|(mode, _)| *mode == name).map(|(_, mode)| *mode);
    let unknown = |name: &str| panic!("ORACLE_MODES: there is no mode `{name}`; see --help");
    chosen.split(',').map(|name| named(name).unwrap_or_else(|| unknown(name))).collect()
}

fn run(case: &Case, topology: &Topology, round: &Round, mode: Mode) -> Vec<Value> {
    let now_ms = round.start_wall_ms;
    let seed = (mode == Mode::Seeded).then_some(now_ms as u64);
    let options = DriverOptions { now_ms, seed, ..Default::default() };
    let driver = TopologyTestDriver::with(topology, options);
    let open = |topic: &OutputTopic| driver.output(&Topic::new(topic.0, RawBytes, RawBytes));
    let mut outputs: Vec<TestOutputTopic<[u8], [u8]>> = case.outputs.iter().map(open).collect();
    let mut actual = Vec::new();
    for (step, input) in round.input.iter().enumerate() {
        if mode == Mode::Restarts && round.restarts_before(step) {
            driver.restart();
        }
        driver.auto_commit(mode != Mode::Aborts);
        feed(&driver, input);
        if mode == Mode::Aborts {
            driver.abort();
            for _ in 0..3 {
                driver.run().unwrap();
                driver.commit();
            }
        }
        for (topic, output) in case.outputs.iter().zip(&mut outputs) {
            while let Some(record) = output.read_record() {
                let parts = (record.key.as_deref(), record.value.as_deref(), record.timestamp);
                actual.push(written(step, *topic, parts, record.headers.iter()));
            }
        }
    }
    actual
}

fn feed(driver: &TopologyTestDriver, input: &Value) {
    match Step::of(input) {
        Step::AdvanceWallClock(ms) => driver.advance_wall_clock(ms),
        Step::Flush => {}
        Step::Pipe { topic, key, value, timestamp, headers } => {
            driver.pipe_input(topic, key, value.as_deref(), timestamp, &headers).unwrap();
        }
    }
}
