//! The flows of the vectors, after `cases.md` of the oracle.

mod accepted;
pub(crate) mod choice;
mod forgotten;
mod joins;
mod processors;
pub(crate) mod replay;
mod stateless;
mod stream_joins;
mod suppress;
mod tables;
pub(crate) mod vectors;
mod windows;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use serde_json::{Value, json};

/// One vector file and the flow that must reproduce it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) flow: fn() -> Topology,
    pub(crate) outputs: Vec<(&'static str, KeyKind, ValueKind)>,
}

/// How keys of an output topic are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyKind {
    Text,
    /// A time window of this size (ms).
    Window(i64),
    Session,
}

/// How values of an output topic are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueKind {
    Text,
    Long,
}

fn long(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap())
}

impl KeyKind {
    pub(crate) fn decode(self, bytes: &[u8]) -> Value {
        match self {
            Self::Text => json!(std::str::from_utf8(bytes).unwrap()),
            Self::Window(size) => {
                let (key, start) = bytes.split_at(bytes.len() - 8);
                json!({"key": std::str::from_utf8(key).unwrap(), "start": long(start), "end": long(start) + size})
            }
            Self::Session => {
                let (key, times) = bytes.split_at(bytes.len() - 16);
                let (end, start) = times.split_at(8);
                json!({"key": std::str::from_utf8(key).unwrap(), "start": long(start), "end": long(end)})
            }
        }
    }
}

impl ValueKind {
    pub(crate) fn decode(self, bytes: &[u8]) -> Value {
        match self {
            Self::Text => json!(std::str::from_utf8(bytes).unwrap()),
            Self::Long => json!(long(bytes)),
        }
    }
}

/// All cases whose operators exist.
pub(crate) fn cases() -> Vec<Case> {
    [
        stateless::cases(),
        tables::cases(),
        windows::cases(),
        suppress::cases(),
        joins::cases(),
        stream_joins::cases(),
        processors::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn case(name: &'static str, flow: fn() -> Topology, value: ValueKind) -> Case {
    Case { name, flow, outputs: vec![("out", KeyKind::Text, value)] }
}

fn builder() -> StreamsBuilder {
    StreamsBuilder::new("ks-oracle")
}

fn longs(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn texts(name: &str) -> Topic<str, str> {
    Topic::new(name, Utf8, Utf8)
}

fn strings(name: &str) -> Topic<str, String> {
    Topic::new(name, Utf8, Utf8)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

fn text_store(name: &str) -> Materialized<str, String> {
    Materialized::as_(name, Utf8, Utf8)
}

/// `null` where there is nothing.
fn shown(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}
