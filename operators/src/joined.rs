//! How a stream is joined with a table.

use std::sync::Arc;

/// The name of a join of a stream with a table, and how long a stream's record waits for the table.
///
/// Where the defaults do, a string is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub(crate) name: Arc<str>,
    pub(crate) grace_ms: Option<i64>,
}

impl Joined {
    /// A join of this name; it also names stores and the repartition topic, if they are needed.
    pub fn as_(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), grace_ms: None }
    }

    /// A record waits until the stream is `grace_ms` (≥ 0) later, then meets the row of its own time (KIP-923). The
    /// table must be versioned, with a history of at least that.
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn with_grace_period(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a join's grace can't be negative");
        Self { grace_ms: Some(grace_ms), ..self }
    }
}

impl From<&str> for Joined {
    fn from(name: &str) -> Self {
        Self::as_(name)
    }
}

impl From<&String> for Joined {
    fn from(name: &String) -> Self {
        Self::as_(name.as_str())
    }
}

impl From<String> for Joined {
    fn from(name: String) -> Self {
        Self::as_(name)
    }
}
