//! The generic flows: small topologies whose output shows at once whether something was lost, doubled or mixed up.

mod calls;
mod deadlines;
mod windows;
mod words;

use log::{Cleanup, TopicSpec};

use super::Flow;

pub use calls::{Calls, Service};
pub use deadlines::Deadlines;
pub use windows::Windows;
pub use words::Words;

/// Partitions of every topic here.
pub const PARTITIONS: u32 = 3;

/// Counts words over a repartition topic.
#[must_use]
pub fn words() -> Flow {
    Flow::new("words", "every word is counted exactly once", Words::default)
}

/// Questions with a deadline.
#[must_use]
pub fn deadlines() -> Flow {
    let about = "every question has one outcome, and answers in time count";
    Flow::new("deadlines", about, Deadlines::default)
}

/// Calls to a service outside.
#[must_use]
pub fn calls() -> Flow {
    let about = "every record has one answer of a service that is called under one id, only about what is durable";
    Flow::new("calls", about, Calls::default)
}

/// Records that come late to their windows.
#[must_use]
pub fn windows() -> Flow {
    let about = "every window takes the records that are in time by the log's order, and no other";
    Flow::new("windows", about, Windows::default)
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Flow> {
    vec![words(), deadlines(), calls(), windows()]
}

/// Topics that keep what is written, and the dead letters every worker needs.
#[must_use]
pub fn topics(names: &[&str]) -> Vec<TopicSpec> {
    let topic = |name: &&str| TopicSpec {
        name: (*name).to_owned(),
        partitions: PARTITIONS,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    names.iter().chain(&["dead_letters"]).map(topic).collect()
}

/// Bytes that these flows wrote as text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("these flows write text")
}
