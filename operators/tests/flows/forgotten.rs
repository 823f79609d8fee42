//! Which tombstones Kafka Streams' versioned tables forget, and what a table that forgets none gives instead.
//!
//! A naive model: of each key all versions by time, in memory, without an end. Kafka Streams (4.3.1; read in
//! `RocksDBVersionedStore`, seen with its test driver) keeps the newest value of a key apart from its history, whose
//! rows are values with a beginning and an end. A deletion is where a row ends, or a row of its own. When a tombstone
//! comes with the time of the newest value, that value is removed and nothing else is written, as if the row before
//! it always ended there. It doesn't if there is none, or if the version before is a deletion that was there first.
//! Then the deletion is in no row: a row that comes late, with an older time, is the newest again.
//!
//! The model must explain every joined record of a vector, so a difference of another cause is never excused.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// History that the tables of these cases keep, in ms.
const RETENTION_MS: i64 = 300;

/// The output that Kafka Streams would give of an inner join, forgot it nothing; and how many records that takes away.
pub(crate) fn inner(input: &[Value], output: Vec<Value>) -> (Vec<Value>, usize) {
    corrected(input, output, |_, _| None)
}

/// The same of a left join, with the number of records that it changes.
pub(crate) fn left(input: &[Value], output: Vec<Value>) -> (Vec<Value>, usize) {
    corrected(input, output, |mut record, left| {
        record["value"] = format!("{left}|null").into();
        Some(record)
    })
}

/// `unjoined` makes the record that must come out for one that was joined by mistake, and for the left half of its value.
fn corrected(
    input: &[Value],
    output: Vec<Value>,
    unjoined: impl Fn(Value, &str) -> Option<Value>,
) -> (Vec<Value>, usize) {
    let (mut table, mut expected, mut excused) = (Table::default(), Vec::new(), 0);
    let mut output = output.into_iter().peekable();
    for (step, input) in input.iter().enumerate() {
        if let (Some("table"), Some(key)) = (input["topic"].as_str(), input["key"].as_str()) {
            table.put(key, input["ts"].as_i64().unwrap(), input["value"].as_str());
        }
        while let Some(record) = output.next_if(|record| record["step"] == step) {
            match table.left_of_mistake(&record) {
                None => expected.push(record),
                Some(left) => {
                    excused += 1;
                    expected.extend(unjoined(record, &left));
                }
            }
        }
    }
    assert!(output.next().is_none(), "output is in the order of steps");
    (expected, excused)
}

/// A version of a key, or its deletion.
struct Version {
    value: Option<String>,
    /// Something in Kafka Streams' history ends, or is deleted, at its time.
    is_end: bool,
    /// A deletion that Kafka Streams knows nothing of.
    is_forgotten: bool,
}

#[derive(Default)]
struct Table {
    /// Of each key, by the time (ms) from which they count.
    keys: HashMap<String, BTreeMap<i64, Version>>,
    stream_time: i64,
}

impl Table {
    fn put(&mut self, key: &str, timestamp: i64, value: Option<&str>) {
        if timestamp < self.stream_time - RETENTION_MS {
            return;
        }
        self.stream_time = self.stream_time.max(timestamp);
        let value = value.map(str::to_owned);
        let versions = self.keys.entry(key.to_owned()).or_default();
        let mut is_end = true;
        let mut is_forgotten = false;
        let newest = versions.iter_mut().rev().find(|(_, version)| !version.is_forgotten);
        match newest {
            // Older than the newest: it is written as a row that ends where the next one begins.
            Some((newest, _)) if timestamp < *newest => {
                let mut later = versions.range_mut(timestamp + 1..);
                let next = later.find(|(_, version)| !version.is_forgotten);
                next.expect("at least the newest").1.is_end = true;
            }
            Some((newest, replaced)) if timestamp == *newest => {
                is_end = replaced.is_end;
                is_forgotten = value.is_none() && replaced.value.is_some() && !is_end;
            }
            // The value that was the newest ends here; a deletion is written as one.
            Some((_, before)) => is_end = before.value.is_some() || value.is_none(),
            None => is_end = value.is_none(),
        }
        versions.insert(timestamp, Version { value, is_end, is_forgotten });
    }

    /// The left half of the value of a joined record, if it was joined to a row that a forgotten deletion had ended.
    fn left_of_mistake(&self, record: &Value) -> Option<String> {
        let (left, joined) = record["value"].as_str()?.split_once('|')?;
        let (key, at) = (record["key"].as_str()?, record["ts"].as_i64()?);
        let remembered = self.as_of(key, at, |version| !version.is_forgotten);
        assert_eq!(remembered.unwrap_or("null"), joined, "Kafka Streams' table, of {record}");
        let is_mistake = remembered.is_some() && self.as_of(key, at, |_| true).is_none();
        is_mistake.then(|| left.to_owned())
    }

    /// The value of `key` at `time`, of the versions that are `known`.
    fn as_of(&self, key: &str, time: i64, known: impl Fn(&Version) -> bool) -> Option<&str> {
        let mut known = self.keys.get(key)?.iter().rev().filter(|(_, version)| known(version));
        // Of times before the history that is kept, only the newest version is known.
        let is_lost = time < self.stream_time - RETENTION_MS;
        let (since, version) =
            if is_lost { known.next()? } else { known.find(|(since, _)| **since <= time)? };
        version.value.as_deref().filter(|_| *since <= time)
    }
}
