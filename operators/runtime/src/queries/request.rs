//! What can be asked, as text (HTTP, command line), and what that means for a store.

use std::time::{Duration, Instant};

use log::record::TopicPartition;
use operators::{Direction, StoreInfo};
use serde::{Deserialize, Serialize};
use state_stores::{Keys, Select, StoreKind};

use super::QueryError;
use super::render::key_bytes;

/// Rows of an answer, at most.
const LIMIT_MAX: usize = 1_000;
/// Rows of an answer, unless asked for more or fewer.
const LIMIT: usize = 100;
/// Longest wait for a position, and the wait unless another is asked for (ms).
const WAIT_MAX_MS: u64 = 10_000;
const WAIT_MS: u64 = 1_000;
/// Longest time for an answer, and how long beyond the wait unless another is asked for (ms).
const WITHIN_MAX_MS: u64 = 15_000;
const WORK_MS: u64 = 3_000;
/// Offsets of one query, at most.
const OFFSETS_MAX: usize = 64;

/// A query of one store. Nothing given: its first rows. Keys are in the order of their bytes, so negative integers come
/// after the others, and are given as text: text as it is, integers in decimal, keys of any other format by their bytes
/// as `0x…`, however answers show them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreQuery {
    /// This key; not with a range or prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// From this key on, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this key, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Keys that begin so (text, or bytes as `0x…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Windows that start from here on, sessions that end from here on (ms, inclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_from: Option<i64>,
    /// Windows and sessions that start up to here (ms, inclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to: Option<i64>,
    /// At most so many rows, 1–1,000 (100).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The last rows first.
    pub reverse: bool,
    /// Only these partitions, separated by commas. For a key: instead of the one that the topics' partitioner gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<String>,
    /// Wait until the store covers these records of its inputs, `topic[partition]@offset` separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long to wait for that, 0–10,000 ms (1,000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// Answer or fail within this time, wait and all, 1–15,000 ms (the wait and 3,000 more).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// Whether a standby may answer (never).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// Set by a member that passes the query on: the instance that is to answer it, from what it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// Who may answer with rows that are behind the owner's (KIP-535; `enableStaleStores` of Kafka Streams). The answer says
/// how far ([`StandbyLag`](crate::StandbyLag)). What holds for all answers holds for these: committed rows only, and where
/// a position is asked for ([`StoreQuery::after`]), they cover it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stale {
    /// Nobody: the owner or an error.
    #[default]
    Never,
    /// A standby, where the owner can't be asked.
    Allow,
    /// The member that is asked, from its own standby; else as with `Allow`.
    Prefer,
}

/// A query that is understood.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) select: Select,
    pub(crate) limit: usize,
    pub(crate) partitions: Option<Vec<u32>>,
    pub(crate) after: Vec<(TopicPartition, i64)>,
    pub(crate) wait: Duration,
    pub(crate) until: Instant,
    pub(crate) within: Duration,
    /// None: however long it takes.
    pub(crate) deadline: Option<Instant>,
    pub(crate) stale: Stale,
}

impl StoreQuery {
    /// How long an answer may take, from when the query comes in.
    #[must_use]
    pub fn within(&self) -> Duration {
        let wait_ms = self.wait_ms.unwrap_or(WAIT_MS);
        Duration::from_millis(self.within_ms.unwrap_or(wait_ms.saturating_add(WORK_MS)))
    }

    /// Checks the query against the store it is about.
    pub(crate) fn understand(&self, info: &StoreInfo) -> Result<Asked, QueryError> {
        let is_timed =
            matches!(info.spec.kind, StoreKind::Window { .. } | StoreKind::Session { .. });
        if !is_timed && (self.time_from.is_some() || self.time_to.is_some()) {
            let text = format!("store `{}` has no windows: leave the times out", info.spec.name);
            return Err(QueryError::Invalid(text));
        }
        let limit = within("limit", self.limit.unwrap_or(LIMIT), 1, LIMIT_MAX)?;
        let wait_ms = within("wait_ms", self.wait_ms.unwrap_or(WAIT_MS), 0, WAIT_MAX_MS)?;
        within("within_ms", self.within_ms.unwrap_or(1), 1, WITHIN_MAX_MS)?;
        let (now, wait) = (Instant::now(), Duration::from_millis(wait_ms));
        let (deadline, wait) = (now + self.within(), wait.min(self.within()));
        Ok(Asked {
            select: Select {
                keys: self.keys(&info.key)?,
                times: self.time_from.unwrap_or(i64::MIN)..=self.time_to.unwrap_or(i64::MAX),
                direction: if self.reverse { Direction::Reverse } else { Direction::Forward },
            },
            limit,
            partitions: self.partitions.as_deref().map(partitions).transpose()?,
            after: self.after.as_deref().map(offsets).transpose()?.unwrap_or_default(),
            wait,
            until: now + wait,
            within: self.within(),
            deadline: Some(deadline),
            stale: self.stale.unwrap_or_default(),
        })
    }

    fn keys(&self, format: &str) -> Result<Keys, QueryError> {
        let bytes = |text: &String| key_bytes(format, text).map_err(QueryError::Invalid);
        let kinds =
            [self.key.is_some(), self.prefix.is_some(), self.from.is_some() || self.to.is_some()];
        if kinds.into_iter().filter(|kind| *kind).count() > 1 {
            let text = "give one of a key, a prefix, and a range (from, to)";
            return Err(QueryError::Invalid(text.to_owned()));
        }
        Ok(match (&self.key, &self.prefix) {
            (Some(key), _) => Keys::One(bytes(key)?),
            (_, Some(prefix)) => Keys::Prefix(bytes(prefix)?),
            _ => {
                let bound = |key: &Option<String>| key.as_ref().map(bytes).transpose();
                let (from, to) = (bound(&self.from)?, bound(&self.to)?);
                let is_negative =
                    |key: &Option<String>| key.as_deref().map(|key| key.starts_with('-'));
                let signs = (is_negative(&self.from), is_negative(&self.to));
                if matches!(format, "i32-be" | "i64-be") && signs == (Some(true), Some(false)) {
                    let text = "negative keys come after the others: ask for the range below zero by itself";
                    return Err(QueryError::Invalid(text.to_owned()));
                }
                Keys::Range(from, to)
            }
        })
    }
}

fn within<N: PartialOrd + std::fmt::Display>(
    name: &str,
    value: N,
    least: N,
    most: N,
) -> Result<N, QueryError> {
    if value < least || value > most {
        let text = format!("{name}={value} is out of bounds: expected {least} to {most}");
        return Err(QueryError::Invalid(text));
    }
    Ok(value)
}

fn partitions(text: &str) -> Result<Vec<u32>, QueryError> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|one| one.trim().parse()).collect();
    let mut numbers = numbers.map_err(|_| {
        let text =
            format!("partitions={text:?} can't be read: expected numbers separated by commas");
        QueryError::Invalid(text)
    })?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn offsets(text: &str) -> Result<Vec<(TopicPartition, i64)>, QueryError> {
    let offset = |one: &str| {
        let (place, offset) = one.trim().rsplit_once('@')?;
        let (topic, partition) = place.strip_suffix(']')?.rsplit_once('[')?;
        let at = TopicPartition::new(topic, partition.parse::<u32>().ok()?);
        Some((at, offset.parse::<i64>().ok().filter(|offset| *offset >= 0)?))
    };
    let offsets: Option<Vec<_>> = text.split(',').map(offset).collect();
    match offsets {
        Some(offsets) if offsets.len() <= OFFSETS_MAX => Ok(offsets),
        Some(_) => {
            Err(QueryError::Invalid(format!("after: expected at most {OFFSETS_MAX} offsets")))
        }
        None => Err(QueryError::Invalid(format!(
            "after={text:?} can't be read: expected topic[partition]@offset, separated by commas"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> StoreQuery {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        StoreQuery { from, to, ..StoreQuery::default() }
    }

    #[test]
    fn a_range_of_integers_lies_on_one_side_of_zero() {
        for (from, to) in [("-1", "1"), ("-9", "0")] {
            let refused = range(from, to).keys("i64-be").unwrap_err();
            assert!(refused.to_string().contains("below zero by itself"), "{refused}");
        }
        for (from, to) in [("-9", "-1"), ("0", "7")] {
            let Keys::Range(Some(from), Some(to)) = range(from, to).keys("i64-be").unwrap() else {
                panic!("a range")
            };
            assert!(from < to);
        }
        assert!(range("-1", "1").keys("utf8").is_ok());
    }
}
