//! What happens between two records of a property test, by its own choice: commits, aborts and crashes.

use operators::{I64Be, Topic, TopologyTestDriver, Utf8};
use proptest::prelude::*;

/// Keys of records; few, so that they meet.
pub(crate) const KEYS: [&str; 3] = ["a", "b", "c"];

pub(crate) fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Commit,
    Abort,
    Restart,
    /// The log has the commit, the process dies before it knows.
    CommitAndDie,
}

/// Commits more often than the others.
pub(crate) fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => Just(Turn::Commit),
        1 => Just(Turn::Abort),
        1 => Just(Turn::Restart),
        1 => Just(Turn::CommitAndDie),
    ]
}

impl Turn {
    pub(crate) fn take(self, driver: &TopologyTestDriver) {
        match self {
            Self::Commit => driver.commit(),
            Self::Abort => driver.abort(),
            Self::Restart => driver.restart(),
            Self::CommitAndDie => {
                driver.commit_and_die();
                driver.restart();
            }
        }
    }
}
