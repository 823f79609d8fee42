//! The vector files: what is fed, and what must come out.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use operators::Headers;
use serde_json::{Value, json};

use super::accepted::{ACCEPTED, Expected, differing};
use super::{KeyKind, ValueKind};

/// `ORACLE_DIR`, or the committed copy.
pub(crate) fn folder() -> PathBuf {
    let committed = || {
        // Also included by the tests of crates beside and below `operators`.
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let places = ["tests/vectors", "../tests/vectors", "../operators/tests/vectors"];
        let mut places = places.iter().map(|place| here.join(place));
        places
            .find(|place| place.is_dir())
            .expect("the vectors are kept with the crate `operators`")
    };
    std::env::var_os("ORACLE_DIR").map_or_else(committed, PathBuf::from)
}

/// Whether it is the committed copy.
pub(crate) fn is_committed() -> bool {
    std::env::var_os("ORACLE_DIR").is_none()
}

/// Whether a case has a file there.
pub(crate) fn exists(case: &str) -> bool {
    path(case).is_file()
}

fn path(case: &str) -> PathBuf {
    folder().join(format!("{case}.jsonl"))
}

/// One round: its own application with empty stores.
pub(crate) struct Round {
    pub(crate) start_wall_ms: i64,
    pub(crate) input: Vec<Value>,
    expected: Vec<Value>,
    /// Records in which the vector and `expected` differ, as is accepted.
    pub(crate) excused: usize,
    number: i64,
}

/// The rounds of a case, one after the other, with the output that is accepted for it.
pub(crate) fn rounds(case: &str) -> impl Iterator<Item = Round> {
    let accepted = accepted(case);
    let mut instead = twin(case).map(lines);
    lines(case).map(move |mut own| {
        let (input, output) = (list(&mut own, "input"), list(&mut own, "output"));
        let (expected, excused) = match accepted {
            None => (output, 0),
            Some(Expected::Corrected(correct)) => correct(&input, output),
            Some(Expected::OutputOf(twin)) => {
                let matched = instead.as_mut().and_then(Iterator::next);
                let mut matched = matched.expect("as many rounds as the accepted case");
                assert_eq!(input, list(&mut matched, "input"), "inputs of {case} and {twin}");
                let expected = list(&mut matched, "output");
                let excused = differing(&output, &expected);
                (expected, excused)
            }
        };
        let start_wall_ms = own["start_wall_ms"].as_i64().unwrap();
        Round { start_wall_ms, input, expected, excused, number: own["round"].as_i64().unwrap() }
    })
}

/// What is accepted for a case in place of its vector's output.
fn accepted(case: &str) -> Option<&'static Expected> {
    ACCEPTED.iter().find(|accepted| accepted.case == case).map(|accepted| &accepted.expected)
}

/// The case whose output is accepted for this one.
pub(crate) fn twin(case: &str) -> Option<&'static str> {
    match accepted(case) {
        Some(Expected::OutputOf(twin)) => Some(twin),
        _ => None,
    }
}

fn list(line: &mut Value, name: &str) -> Vec<Value> {
    match line[name].take() {
        Value::Array(list) => list,
        other => panic!("`{name}` of a round is a list, not {other}"),
    }
}

/// Those of the folder, and of its subfolder `more` if that has any of the case.
fn lines(case: &str) -> impl Iterator<Item = Value> + use<> {
    let more = folder().join("more").join(format!("{case}.jsonl"));
    let paths = std::iter::once(path(case)).chain(more.is_file().then_some(more));
    paths.flat_map(|path| {
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        BufReader::new(file).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    })
}

impl Round {
    /// Where the application is killed: after every third step, in long rounds 32 times (a restore
    /// reads the whole changelog).
    pub(crate) fn restarts_before(&self, step: usize) -> bool {
        let every = (self.input.len() / 32).max(3);
        step % every == every - 1
    }

    /// Compares record by record; the error is the first difference.
    pub(crate) fn compare(&self, actual: &[Value]) -> Result<(), String> {
        let round = self.number;
        for (place, (expected, actual)) in self.expected.iter().zip(actual).enumerate() {
            if actual != expected {
                let step = &self.input[expected["step"].as_u64().unwrap() as usize];
                return Err(format!(
                    "round {round}, output {place}, at input {step}: expected {expected}, got {actual}"
                ));
            }
        }
        let (expected, actual) = (self.expected.len(), actual.len());
        if actual == expected {
            return Ok(());
        }
        Err(format!("round {round}: expected {expected} records, got {actual}"))
    }
}

/// An input step.
pub(crate) enum Step<'a> {
    AdvanceWallClock(i64),
    Flush,
    Pipe {
        topic: &'a str,
        key: Option<&'a [u8]>,
        value: Option<Vec<u8>>,
        timestamp: i64,
        headers: Headers,
    },
}

impl<'a> Step<'a> {
    pub(crate) fn of(input: &'a Value) -> Self {
        if let Some(ms) = input["advance_wall_ms"].as_i64() {
            return Self::AdvanceWallClock(ms);
        }
        let Some(topic) = input["topic"].as_str() else { return Self::Flush };
        let value = match &input["value"] {
            Value::Null => None,
            Value::Number(number) => Some(number.as_i64().unwrap().to_be_bytes().to_vec()),
            other => Some(other.as_str().unwrap().as_bytes().to_vec()),
        };
        let mut headers = Headers::new();
        for header in input["headers"].as_array().into_iter().flatten() {
            headers.push(header[0].as_str().unwrap(), header[1].as_str().unwrap().as_bytes());
        }
        let key = input["key"].as_str().map(str::as_bytes);
        let timestamp = input["ts"].as_i64().unwrap();
        Self::Pipe { topic, key, value, timestamp, headers }
    }
}

/// A topic of the output, and how its records are written.
pub(crate) type OutputTopic = (&'static str, KeyKind, ValueKind);

/// An output record as the vectors write it.
pub(crate) fn written<'h>(
    step: usize,
    (topic, key, value): OutputTopic,
    record: (Option<&[u8]>, Option<&[u8]>, i64),
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Value {
    let mut seen = json!({
        "step": step,
        "topic": topic,
        "key": record.0.map(|bytes| key.decode(bytes)),
        "value": record.1.map(|bytes| value.decode(bytes)),
        "ts": record.2,
    });
    let headers: Vec<Value> =
        headers.map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    if !headers.is_empty() {
        seen["headers"] = Value::Array(headers);
    }
    seen
}
