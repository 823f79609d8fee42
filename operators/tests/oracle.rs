//! Vectors made by Kafka Streams' own test driver, replayed: output must match record by record.
//!
//! Each case runs three times: as it is, with the application killed and restored from the log
//! after every third step, and with every step aborted once before it is committed.
//! Cases whose operators don't exist yet are printed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod flows;

use std::path::PathBuf;

use flows::{ACCEPTED, Case, KeyKind, ValueKind, cases};
use operators::{
    DriverOptions, Headers, RawBytes, TestOutputTopic, Topic, Topology, TopologyTestDriver,
};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Plain,
    Restarts,
    Aborts,
}

/// `ORACLE_DIR`, or the committed copy.
fn vectors() -> PathBuf {
    let committed = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::env::var_os("ORACLE_DIR").map_or_else(committed, PathBuf::from)
}

#[test]
fn kafka_streams_output_is_matched() {
    for case in cases() {
        for mode in [Mode::Plain, Mode::Restarts, Mode::Aborts] {
            replay(&case, mode);
        }
    }
}

#[test]
fn cases_without_operators_are_listed() {
    let all = include_str!("vectors/all.txt");
    let built = cases();
    let missing: Vec<&str> =
        all.lines().filter(|name| built.iter().all(|case| case.name != *name)).collect();
    println!(
        "not yet built ({} of {}): {}",
        missing.len(),
        all.lines().count(),
        missing.join(", ")
    );
    for accepted in ACCEPTED {
        println!("accepted: {} when {}: {}", accepted.case, accepted.condition, accepted.reason);
    }
    assert_eq!(all.lines().count(), 72);
    assert_eq!(built.len() + missing.len(), 72, "a case has no vector");
}

fn replay(case: &Case, mode: Mode) {
    let topology = (case.flow)();
    let instead = ACCEPTED.iter().find(|accepted| accepted.case == case.name);
    let rounds = rounds(case.name);
    let matched = instead.map_or_else(|| rounds.clone(), |accepted| self::rounds(accepted.instead));
    assert_eq!(rounds.len(), matched.len());
    for (own, round) in rounds.iter().zip(&matched) {
        assert_eq!(own["input"], round["input"], "case {}: {instead:?}", case.name);
        let actual = run(case, &topology, round, mode);
        let expected = round["output"].as_array().unwrap();
        for (place, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            let step = &round["input"][expected["step"].as_u64().unwrap() as usize];
            assert_eq!(
                actual, expected,
                "case {}, round {}, {mode:?}, output {place}, at input {step}",
                case.name, round["round"]
            );
        }
        assert_eq!(
            actual.len(),
            expected.len(),
            "case {}, round {}, {mode:?}",
            case.name,
            round["round"]
        );
    }
}

/// The lines of a vector.
fn rounds(name: &str) -> Vec<Value> {
    let path = vectors().join(format!("{name}.jsonl"));
    let file = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

type Output<'a> = (&'a str, KeyKind, ValueKind, TestOutputTopic<[u8], [u8]>);

fn run(case: &Case, topology: &Topology, round: &Value, mode: Mode) -> Vec<Value> {
    let now_ms = round["start_wall_ms"].as_i64().unwrap();
    let driver = TopologyTestDriver::with(topology, DriverOptions { now_ms, ..Default::default() });
    let open = |&(topic, key, value): &(&'static str, KeyKind, ValueKind)| {
        (topic, key, value, driver.output(&Topic::<[u8], [u8]>::new(topic, RawBytes, RawBytes)))
    };
    let mut outputs: Vec<Output<'_>> = case.outputs.iter().map(open).collect();
    let mut actual = Vec::new();
    for (step, input) in round["input"].as_array().unwrap().iter().enumerate() {
        if mode == Mode::Restarts && step % 3 == 2 {
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
        for (topic, key, value, output) in &mut outputs {
            while let Some(record) = output.read_record() {
                let mut seen = json!({
                    "step": step,
                    "topic": *topic,
                    "key": record.key.map(|bytes| key.decode(&bytes)),
                    "value": record.value.map(|bytes| value.decode(&bytes)),
                    "ts": record.timestamp,
                });
                if !record.headers.is_empty() {
                    let headers = record.headers.iter();
                    seen["headers"] = headers
                        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
                        .collect();
                }
                actual.push(seen);
            }
        }
    }
    actual
}

fn feed(driver: &TopologyTestDriver, input: &Value) {
    if let Some(ms) = input["advance_wall_ms"].as_i64() {
        driver.advance_wall_clock(ms);
        return;
    }
    let Some(topic) = input["topic"].as_str() else { return };
    let key = input["key"].as_str().map(str::as_bytes);
    let value = match &input["value"] {
        Value::Null => None,
        Value::Number(number) => Some(number.as_i64().unwrap().to_be_bytes().to_vec()),
        other => Some(other.as_str().unwrap().as_bytes().to_vec()),
    };
    let mut headers = Headers::new();
    for header in input["headers"].as_array().into_iter().flatten() {
        headers.push(header[0].as_str().unwrap(), header[1].as_str().unwrap().as_bytes());
    }
    driver
        .pipe_input(topic, key, value.as_deref(), input["ts"].as_i64().unwrap(), &headers)
        .unwrap();
}
