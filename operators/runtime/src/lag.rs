//! How far the tasks of a process are behind the ends of their inputs, in records and in seconds.
//!
//! Asked for by somebody with time to wait, never by a worker. Seconds are those since an end was first seen that is beyond
//! what is committed now: as exact as looks are frequent, and never more than there were looks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log};
use serde::Serialize;

use crate::worker::WorkerStatus;

/// Ends that are remembered per partition.
const LOOKS_MAX: usize = 720;

/// What one input of a task has before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputLag {
    /// `application.id`.
    pub application: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Offsets between what is committed and the last stable offset; markers count too.
    pub records: i64,
    /// Since when it is behind.
    pub seconds: f64,
}

/// Looks now and then.
pub struct LagWatch {
    log: Arc<dyn Log>,
    admin: Option<Box<dyn Admin>>,
    /// Ends with the time they were seen first.
    seen: BTreeMap<(String, TopicPartition), VecDeque<(i64, i64)>>,
}

impl std::fmt::Debug for LagWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LagWatch").field("partitions", &self.seen.len()).finish_non_exhaustive()
    }
}

impl LagWatch {
    /// On this log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, admin: None, seen: BTreeMap::new() }
    }

    /// The lag of every input of these workers at `now_ms`; sets the gauges, to 0 of inputs that have gone elsewhere.
    ///
    /// # Errors
    /// The log doesn't answer; then nothing is set.
    pub fn look(
        &mut self,
        workers: &[WorkerStatus],
        now_ms: i64,
    ) -> Result<Vec<InputLag>, LogError> {
        let committed: BTreeMap<(String, TopicPartition), i64> = workers
            .iter()
            .flat_map(|worker| {
                let inputs = worker.tasks.iter().flat_map(|task| &task.inputs);
                inputs.filter_map(|(at, next)| {
                    Some(((worker.application.clone(), parse(at)?), *next))
                })
            })
            .collect();
        let at: Vec<TopicPartition> = committed.keys().map(|(_, at)| at.clone()).collect();
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => self.log.admin()?,
        };
        let ends = admin.end_offsets(&at, Isolation::ReadCommitted)?;
        self.admin = Some(admin);
        for (gone, at) in self.seen.keys().filter(|key| !committed.contains_key(*key)) {
            show(gone, at, 0, 0.0);
        }
        self.seen.retain(|key, _| committed.contains_key(key));
        let mut all = Vec::new();
        for (((application, at), next), end) in committed.into_iter().zip(ends) {
            let looks = self.seen.entry((application.clone(), at.clone())).or_default();
            let ms = behind_ms(looks, next, end, now_ms);
            let (records, seconds) = ((end - next).max(0), ms as f64 / 1_000.0);
            show(&application, &at, records, seconds);
            let (topic, partition) = (at.topic.to_string(), at.partition);
            all.push(InputLag { application, topic, partition, records, seconds });
        }
        Ok(all)
    }
}

/// Remembers the end, forgets those that are reached; since when one isn't.
fn behind_ms(looks: &mut VecDeque<(i64, i64)>, next: i64, end: i64, now_ms: i64) -> i64 {
    if looks.back().is_none_or(|(_, last)| *last < end) {
        looks.push_back((now_ms, end));
    }
    while looks.front().is_some_and(|(_, end)| *end <= next) {
        looks.pop_front();
    }
    while looks.len() > LOOKS_MAX {
        // Not the oldest: it says for how long.
        looks.remove(1);
    }
    looks.front().map_or(0, |(at, _)| now_ms - at)
}

fn show(application: &str, at: &TopicPartition, records: i64, seconds: f64) {
    let labels = [
        ("group", format!("{application}-group")),
        ("topic", at.topic.to_string()),
        ("partition", at.partition.to_string()),
    ];
    metrics::gauge!("stream_lag_records", &labels).set(records as f64);
    metrics::gauge!("stream_lag_seconds", &labels).set(seconds);
}

/// `topic[partition]`
fn parse(text: &str) -> Option<TopicPartition> {
    let (topic, partition) = text.strip_suffix(']')?.rsplit_once('[')?;
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_from_the_first_end_that_is_not_reached() {
        let mut looks = VecDeque::new();
        assert_eq!(behind_ms(&mut looks, 5, 5, 1_000), 0);
        assert_eq!(behind_ms(&mut looks, 5, 8, 2_000), 0, "seen just now");
        assert_eq!(behind_ms(&mut looks, 6, 9, 5_000), 3_000);
        assert_eq!(behind_ms(&mut looks, 8, 9, 6_000), 1_000, "the 8 is reached, the 9 isn't");
        assert_eq!(behind_ms(&mut looks, 9, 9, 7_000), 0);
    }

    #[test]
    fn an_input_has_a_name() {
        assert_eq!(parse("a[b]-c[12]"), Some(TopicPartition::new("a[b]-c", 12)));
        assert_eq!(parse("a"), None);
    }
}
