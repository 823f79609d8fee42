//! What a store is: its name, its changelog, its kind. From these alone follow all names and layouts on disk.

use std::sync::Arc;

use crate::keys;
use crate::versioned::{HISTORY, LATEST};

/// A store among the stores of one task: its place in the list given to `StateDir::task_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreIndex(pub usize);

/// What a store's keys mean, and so what may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Keys as they are; kept until deleted.
    KeyValue,
    /// Keys of [`keys::window`]; a row is visible while its start > stream time − retention.
    Window {
        /// How long a window is kept after its start, in stream time (ms, > 0).
        retention_ms: i64,
        /// Several rows for one key and start, told apart by a [`keys::Sequence`].
        duplicates: bool,
    },
    /// Keys of [`keys::session`]; a row is visible while its end > stream time − retention.
    Session {
        /// How long a session is kept after its end, in stream time (ms, > 0).
        retention_ms: i64,
    },
    /// The values of each key over time; the newest are kept until deleted.
    Versioned {
        /// How long an older value is known after it was valid, in stream time (ms, > 0). As long may a new one be late.
        history_retention_ms: i64,
    },
}

impl StoreKind {
    /// How long rows are visible, if not for ever.
    pub fn retention_ms(&self) -> Option<i64> {
        match *self {
            Self::KeyValue => None,
            Self::Window { retention_ms, .. } | Self::Session { retention_ms } => {
                Some(retention_ms)
            }
            Self::Versioned { history_retention_ms } => Some(history_retention_ms),
        }
    }

    /// The time by which the row of this full store key expires: a window's start, a session's end, the end of an older
    /// version. `None`: it doesn't.
    pub fn row_time(&self, key: &[u8]) -> Option<i64> {
        match self {
            Self::KeyValue => None,
            Self::Window { duplicates: false, .. } => keys::time_before(key, 0),
            Self::Window { duplicates: true, .. } => keys::time_before(key, keys::Sequence::LEN),
            Self::Session { .. } => keys::time_before(key, keys::TIME_LEN),
            Self::Versioned { .. } if key.first() == Some(&HISTORY) => keys::time_before(key, 0),
            Self::Versioned { .. } => None,
        }
    }

    /// The time that the store's stream time reaches, at least, by a put of this row.
    pub(crate) fn put_time(&self, key: &[u8], value: Option<&[u8]>) -> Option<i64> {
        match self {
            Self::Versioned { .. } if key.first() == Some(&LATEST) => {
                value.and_then(<[u8]>::first_chunk).copied().map(i64::from_be_bytes)
            }
            _ => self.row_time(key),
        }
    }

    /// Rows of a time ≤ this one are expired at `stream_time`.
    pub fn horizon(&self, stream_time: i64) -> Option<i64> {
        self.retention_ms().map(|retention| stream_time.saturating_sub(retention))
    }

    /// As [`horizon`](Self::horizon), of rows that the base may lose by itself, because their changelog forgets them by
    /// their age as well. That of a versioned store forgets only what the store deletes, which it has to find for that.
    pub(crate) fn drop_horizon(&self, stream_time: i64) -> Option<i64> {
        let by_age = matches!(self, Self::Window { .. } | Self::Session { .. });
        self.horizon(stream_time).filter(|_| by_age)
    }
}

/// A store of a topology.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreSpec {
    /// The user's name for it; rows are kept under it.
    pub name: Arc<str>,
    /// The topic that holds its history.
    pub changelog_topic: Arc<str>,
    /// What its keys mean.
    pub kind: StoreKind,
}
