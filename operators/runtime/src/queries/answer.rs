//! What a query is answered with, and how the answers of several members become one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rows of a store, with who gave them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// `application.id`.
    pub application: String,
    /// The store's name.
    pub store: String,
    /// By key, then time; over all partitions.
    pub rows: Vec<Row>,
    /// There are more rows than these.
    pub more: bool,
    /// Who answered.
    pub from: Vec<AnsweredBy>,
}

/// A row, readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Of the store.
    pub partition: u32,
    /// As its codec has it.
    pub key: Value,
    /// Of window and session stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowTimes>,
    /// Of the newest record in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// When a state machine is called again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// As its codec has it; an array for a list; null for a deadline without a state.
    pub value: Value,
    /// Its full key, hexadecimal: only between members, who order rows by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// A window: its start, and its end (exclusive), which unlimited ones don't have. A session: its first and its last
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTimes {
    /// Milliseconds since 1970.
    pub start_ms: i64,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
}

/// A member's part in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredBy {
    /// Its process.
    pub instance: String,
    /// What it answered for.
    pub partitions: Vec<u32>,
    /// `topic[partition]` with the next offset: the rows cover what lies below. Of a standby, whose changelog doesn't tell
    /// this, only where the query asked for a position.
    pub positions: BTreeMap<String, i64>,
    /// Where it answered as a standby, not as the owner: how old the rows may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<StandbyLag>,
}

/// How far a standby is behind its owner (KIP-535, `LagInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyLag {
    /// Next offset of the store's changelog to read: the rows are at least those below.
    pub current_offset: i64,
    /// Where the committed part of the changelog ended when the member looked last, which it does every second.
    pub end_offset: i64,
    /// Offsets between the two.
    pub offset_lag: u64,
    /// The rows hold at least what could be read as committed then (ms since 1970, by the member's clock). What lies
    /// behind a transaction that is open for long can't.
    pub as_of_ms: i64,
    /// How long ago that was when it answered: the rows are not older than this.
    pub behind_ms: u64,
}

/// Rows of some partitions, in order.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) rows: Vec<Row>,
    pub(crate) more: bool,
    pub(crate) from: Vec<AnsweredBy>,
}

impl Part {
    /// One part of several: in order, no gap between rows, `limit` at most.
    pub(crate) fn merge(parts: Vec<Self>, is_reverse: bool, limit: usize) -> Self {
        let key = |row: &Row| row.place.clone();
        let is_after =
            |a: &Option<String>, b: &Option<String>| if is_reverse { a < b } else { a > b };
        let mut whole = Self::default();
        // Where the first of the parts ends that has more: what others have beyond is for the next query.
        let mut end: Option<Option<String>> = None;
        for part in parts {
            if let Some(last) = part.rows.last().map(key).filter(|_| part.more)
                && end.as_ref().is_none_or(|end| is_after(end, &last))
            {
                end = Some(last);
            }
            whole.more |= part.more;
            whole.rows.extend(part.rows);
            whole.from.extend(part.from);
        }
        whole.rows.sort_by_cached_key(key);
        if is_reverse {
            whole.rows.reverse();
        }
        if let Some(end) = end {
            whole.rows.retain(|row| !is_after(&row.place, &end));
        }
        whole.more |= whole.rows.len() > limit;
        whole.rows.truncate(limit);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(places: &[&str], more: bool) -> Part {
        let row = |place: &&str| Row {
            partition: 0,
            key: Value::Null,
            window: None,
            timestamp_ms: None,
            deadline_ms: None,
            value: Value::Null,
            place: Some((*place).to_owned()),
        };
        Part { rows: places.iter().map(row).collect(), more, from: Vec::new() }
    }

    fn merged(parts: [Part; 2], is_reverse: bool, limit: usize) -> (String, bool) {
        let whole = Part::merge(parts.into(), is_reverse, limit);
        (whole.rows.iter().filter_map(|row| row.place.clone()).collect(), whole.more)
    }

    #[test]
    fn rows_of_members_are_one_row_after_the_other() {
        let all = || [part(&["a", "d"], false), part(&["b", "c"], false)];
        assert_eq!(merged(all(), false, 10), ("abcd".to_owned(), false));
        assert_eq!(merged(all(), false, 3), ("abc".to_owned(), true));
        assert_eq!(merged(all(), true, 3), ("dcb".to_owned(), true));
    }

    #[test]
    fn no_row_is_given_beyond_one_that_may_be_missing() {
        let all = [part(&["a", "c"], true), part(&["b", "d"], false)];
        assert_eq!(merged(all, false, 10), ("abc".to_owned(), true), "between c and d may be more");
        let all = [part(&["d", "b"], true), part(&["c", "a"], false)];
        assert_eq!(merged(all, true, 10), ("dcb".to_owned(), true));
    }
}
