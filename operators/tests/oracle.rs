//! Vectors made by Kafka Streams' own test driver, replayed: output must match record by record.
//!
//! ```text
//! cargo test -p operators --test oracle [-- PART_OF_A_NAME…]
//! ORACLE_DIR=folder cargo test -p operators --test oracle    vectors of your own, made by ks-oracle
//! ```
//!
//! Each case runs four times: as it is, with the application killed and restored from the log
//! between steps, with every step aborted once before it is committed, and with a seed that decides
//! when tasks run and commit and where the application dies.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod flows;

use std::process::ExitCode;

use flows::replay::replay;
use flows::vectors::{OutputTopic, Round, Step, written};
use flows::{Case, cases};
use operators::{DriverOptions, RawBytes, TestOutputTopic, Topic, Topology, TopologyTestDriver};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Plain,
    Restarts,
    Aborts,
    Seeded,
}

fn main() -> ExitCode {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let names = include_str!("vectors/all.txt");
    let unknown: Vec<&str> =
        names.lines().filter(|name| cases().iter().all(|case| case.name != *name)).collect();
    assert!(unknown.is_empty(), "cases without a flow: {unknown:?}");
    assert_eq!((names.lines().count(), cases().len()), (72, 72));
    let modes = [Mode::Plain, Mode::Restarts, Mode::Aborts, Mode::Seeded];
    replay(&modes, &filters, usize::MAX, run)
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
