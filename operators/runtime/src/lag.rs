//! How far the tasks of a process are behind the ends of their inputs.
//!
//! Asked for by somebody with time to wait, never by a worker. Not in seconds: behind the last record lies its transaction's
//! marker, which nobody reads, so an input that is idle would seem to be behind for ever longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log};
use serde::Serialize;

use crate::worker::WorkerStatus;

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
}

/// Looks now and then.
pub struct LagWatch {
    log: Arc<dyn Log>,
    admin: Option<Box<dyn Admin>>,
    /// Whose gauges were set.
    seen: BTreeSet<(String, TopicPartition)>,
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
        Self { log, admin: None, seen: BTreeSet::new() }
    }

    /// The lag of every input of these workers; sets the gauges, to 0 of inputs that have gone elsewhere.
    ///
    /// # Errors
    /// The log doesn't answer; then nothing is set.
    pub fn look(&mut self, workers: &[WorkerStatus]) -> Result<Vec<InputLag>, LogError> {
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
        for (gone, at) in self.seen.iter().filter(|key| !committed.contains_key(*key)) {
            show(gone, at, 0);
        }
        self.seen = committed.keys().cloned().collect();
        let mut all = Vec::new();
        for (((application, at), next), end) in committed.into_iter().zip(ends) {
            let records = (end - next).max(0);
            show(&application, &at, records);
            let (topic, partition) = (at.topic.to_string(), at.partition);
            all.push(InputLag { application, topic, partition, records });
        }
        Ok(all)
    }
}

fn show(application: &str, at: &TopicPartition, records: i64) {
    let labels = [
        ("group", format!("{application}-group")),
        ("topic", at.topic.to_string()),
        ("partition", at.partition.to_string()),
    ];
    metrics::gauge!("stream_lag_records", &labels).set(records as f64);
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
    fn an_input_has_a_name() {
        assert_eq!(parse("a[b]-c[12]"), Some(TopicPartition::new("a[b]-c", 12)));
        assert_eq!(parse("a"), None);
    }
}
