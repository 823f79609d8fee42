//! Deletes from repartition and control topics what their reader has committed: they keep
//! their records' own times, so a retention by time could take records that
//! nobody has read.
//!
//! Invariant: only what this worker itself has committed is deleted, so nobody
//! who takes over finds a hole at its start.

use std::collections::BTreeSet;
use std::sync::Arc;

use log::record::TopicPartition;
use operators::{InternalTopicKind, Topology};

use crate::worker::{Slot, Worker};

/// What was deleted last.
#[derive(Debug)]
pub(crate) struct Purge {
    topics: BTreeSet<Arc<str>>,
    next_at: Option<i64>,
    done: Vec<(TopicPartition, i64)>,
}

impl Purge {
    pub(crate) fn new(topology: &Topology) -> Self {
        let topics = topology
            .internal_topics()
            .into_iter()
            .filter(|topic| !matches!(topic.kind, InternalTopicKind::Changelog { .. }))
            .map(|topic| topic.name)
            .collect();
        Self { topics, next_at: None, done: Vec::new() }
    }

    /// What can go now; empty nearly always.
    fn due(&mut self, slots: &[Slot], now: i64, interval_ms: i64) -> Vec<(TopicPartition, i64)> {
        if self.topics.is_empty() || self.next_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        // The first time is an interval after the start.
        if self.next_at.replace(now + interval_ms).is_none() {
            return Vec::new();
        }
        let committed: Vec<(TopicPartition, i64)> = slots
            .iter()
            .flat_map(|slot| slot.inputs.iter().cloned().zip(slot.committed.iter().copied()))
            .filter(|(at, offset)| *offset > 0 && self.topics.contains(&at.topic))
            .collect();
        let moved = committed.iter().filter(|one| !self.done.contains(one)).cloned().collect();
        self.done = committed;
        moved
    }
}

impl Worker {
    /// Deletes what is due. A failure costs space, nothing else.
    pub(crate) fn purge(&mut self, now: i64) {
        let due = self.purge.due(&self.slots, now, self.settings.repartition_purge_interval_ms);
        let Some(clients) = &self.clients else { return };
        if due.is_empty() {
            return;
        }
        if let Err(error) = clients.admin.delete_records(&due) {
            let application = self.topology.application_id();
            tracing::warn!(application, %error, "repartition topics keep what is committed until the next try");
            self.purge.done.clear();
        }
    }
}
