//! The topics a topology needs: partition counts of what it reads and writes,
//! and its internal topics, which the worker creates itself.
//!
//! Invariant: a plan is made of topics that exist and of internal ones that
//! may not yet; all sources of a sub-topology have one partition count in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::topic::{Cleanup, TopicSpec};
use log::traits::Admin;
use operators::{DEAD_LETTERS, InternalTopicKind, Topology};

use crate::error::WorkerError;

/// Partition counts by topic name, and tasks per sub-topology.
#[derive(Debug, Default)]
pub struct TopicPlan {
    /// Every topic the topology reads or writes.
    pub partitions: BTreeMap<Arc<str>, u32>,
    /// How many tasks each sub-topology has.
    pub tasks: BTreeMap<u32, u32>,
    internal: Vec<TopicSpec>,
}

impl TopicPlan {
    /// Creates the internal topics that are missing. Tombstones of changelogs live for `delete_retention_ms` at least.
    ///
    /// # Errors
    /// One exists with another partition count, or could lose state or what isn't read yet.
    pub fn create(&self, admin: &dyn Admin, delete_retention_ms: i64) -> Result<(), LogError> {
        let tombstones = Duration::from_millis(u64::try_from(delete_retention_ms).unwrap_or(0));
        admin.ensure_internal(&self.internal, tombstones)
    }
}

/// Describes external topics, plans internal ones, checks co-partitioning.
/// Changes nothing.
///
/// # Errors
/// [`WorkerError::MissingTopics`] names all topics that don't exist;
/// [`WorkerError::Topology`] names the two topics that differ in partitions.
pub fn plan(
    topology: &Topology,
    admin: &dyn Admin,
    replication: i32,
) -> Result<TopicPlan, WorkerError> {
    let application = topology.application_id();
    let log_failed = |source| WorkerError::Log { application: application.to_owned(), source };
    let topology_failed =
        |source| WorkerError::Topology { application: application.to_owned(), source };
    let internal = topology.internal_topics();
    let internal_names: BTreeSet<&str> = internal.iter().map(|topic| topic.name.as_ref()).collect();

    let mut external: BTreeSet<Arc<str>> = BTreeSet::new();
    for part in topology.subtopologies() {
        external.extend(
            part.sources
                .iter()
                .chain(&part.sinks)
                .filter(|name| !internal_names.contains(name.as_ref()))
                .cloned(),
        );
    }
    // Any node may have to bury a record.
    external.insert(DEAD_LETTERS.into());
    external.extend(topology.global_tables().iter().map(|table| table.topic.clone()));

    let names: Vec<&str> = external.iter().map(AsRef::as_ref).collect();
    let found = admin.describe(&names).map_err(log_failed)?;
    let missing: Vec<String> = names
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(WorkerError::MissingTopics { application: application.to_owned(), missing });
    }
    let mut partitions: BTreeMap<Arc<str>, u32> = external
        .iter()
        .cloned()
        .zip(found.iter().flatten().map(|found| found.partitions))
        .collect();

    let internal = internal_specs(topology, &mut partitions, replication);
    let tasks = topology
        .check_partitions(&|name| partitions.get(name).copied())
        .map_err(topology_failed)?;
    Ok(TopicPlan { partitions, tasks, internal })
}

/// Ids of these partitions' topics, as far as the log tells them. A topic that is made anew has another one.
pub(crate) fn ids(
    admin: &dyn Admin,
    of: &[TopicPartition],
) -> Result<BTreeMap<Arc<str>, String>, LogError> {
    let names: BTreeSet<&Arc<str>> = of.iter().map(|at| &at.topic).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked: Vec<&str> = names.iter().map(|name| name.as_ref()).collect();
    let found = admin.describe(&asked)?;
    let known = names.into_iter().zip(found).filter_map(|(name, found)| {
        let id = found?.id;
        (!id.is_empty()).then(|| (Arc::clone(name), id))
    });
    Ok(known.collect())
}

/// Internal topics take the partition count of the source they are like; a
/// repartition topic may itself be such a source, so resolve until nothing moves.
fn internal_specs(
    topology: &Topology,
    partitions: &mut BTreeMap<Arc<str>, u32>,
    replication: i32,
) -> Vec<TopicSpec> {
    let mut open = topology.internal_topics();
    let mut specs = Vec::new();
    loop {
        let before = open.len();
        open.retain(|topic| {
            let like = partitions.get(&topic.partitions_like).copied();
            let Some(count) = topic.partitions.or(like) else { return true };
            partitions.insert(topic.name.clone(), count);
            specs.push(TopicSpec {
                name: topic.name.to_string(),
                partitions: count,
                replication,
                cleanup: cleanup_of(&topic.kind),
            });
            false
        });
        if open.len() == before {
            return specs;
        }
    }
}

fn cleanup_of(kind: &InternalTopicKind) -> Cleanup {
    match kind {
        // Records keep their own time, which may be years ago: a retention by time
        // could take them before they are read.
        InternalTopicKind::Repartition | InternalTopicKind::Control => Cleanup::Keep,
        InternalTopicKind::Changelog { retention_ms: Some(ms), compact } => {
            let retention = Duration::from_millis(u64::try_from(*ms).unwrap_or(0));
            // No two rows of a store with duplicates have one key.
            if *compact { Cleanup::CompactDelete(retention) } else { Cleanup::Delete(retention) }
        }
        InternalTopicKind::Changelog { .. } => Cleanup::Compact,
    }
}
