//! Asks standbys after each step, as a query that allows stale answers does, and compares with what is committed.
//!
//! Invariant that is checked: whatever a standby shows was committed to its changelog. A row that doesn't lie below the
//! standby's position in any form was committed, and compacted away before it was seen here: only one that lies there
//! uncommitted proves anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log::TopicPartition;
use log::embedded::EmbeddedLog;
use serde_json::Value;

use super::cluster::Cluster;
use super::world;
use crate::{Answer, Member, PeerError, Peers, Queries, QueryError, Stale, StoreQuery, Worker};

/// Rows of changelogs that were committed so far, by topic.
#[derive(Default)]
pub(super) struct Committed {
    /// A loss of power makes another log.
    log: Option<Arc<EmbeddedLog>>,
    read_to: BTreeMap<String, Vec<(TopicPartition, i64)>>,
    rows: BTreeMap<String, BTreeSet<world::Committed>>,
    /// Rows that standbys showed.
    pub(super) shown: u64,
}

/// Queries go nowhere else.
struct Nobody;

impl Peers for Nobody {
    fn ask(&self, _: &Member, _: &str, _: &StoreQuery) -> Result<Answer, PeerError> {
        Err(PeerError::Silent("each member is asked for what it has".to_owned()))
    }
}

/// What asks a worker; values are shown as their bytes.
pub(super) fn queries(worker: &Worker) -> Queries {
    worker.queries(Arc::new(Nobody), Arc::new(|_: &str, bytes: &[u8]| Some(hex(bytes).into())))
}

impl Committed {
    /// Asks every standby for all it has.
    pub(super) fn compare(&mut self, cluster: &Cluster) -> Result<(), String> {
        for queries in cluster.queries() {
            for listing in queries.listings() {
                // Whether or not it is shown now: it may be compacted away before it is.
                self.catch_up(cluster, &changelog(queries, &listing.store));
                for partition in listing.standbys.into_keys() {
                    self.compare_one(cluster, queries, &listing.store, partition)?;
                }
            }
        }
        Ok(())
    }

    fn compare_one(
        &mut self,
        cluster: &Cluster,
        queries: &Queries,
        store: &str,
        partition: u32,
    ) -> Result<(), String> {
        let query = StoreQuery {
            partitions: Some(partition.to_string()),
            stale: Some(Stale::Prefer),
            limit: Some(1_000),
            instance: Some(queries.instance.clone()),
            ..StoreQuery::default()
        };
        let answer = match queries.ask(store, &query) {
            Ok(answer) => answer,
            Err(QueryError::NotTheOwner { .. } | QueryError::NoStandby { .. }) => return Ok(()),
            Err(error) => return Err(format!("a standby of {store}[{partition}]: {error}")),
        };
        let changelog = changelog(queries, store);
        // What it hasn't read can't be where a row comes from.
        let lags = answer.from.iter().filter_map(|from| from.standby.as_ref());
        let next = lags.map(|lag| lag.current_offset);
        let (next, at) = (next.max().unwrap_or(0), TopicPartition::new(&*changelog, partition));
        for row in answer.rows {
            let (key, shown) = (row.place.unwrap_or_default(), row.value);
            let fits = |(place, value): &world::Committed| {
                hex(place) == key && shown.as_str().is_some_and(|shown| hex(value).contains(shown))
            };
            self.shown += 1;
            // A deadline without a state has no value.
            if shown == Value::Null
                || self.rows[&changelog].iter().any(fits)
                || !cluster.world.written(at.clone(), next).iter().any(fits)
            {
                continue;
            }
            // Its former owner has rows whose markers come late.
            cluster.world.faults().without(|| cluster.world.tick());
            self.catch_up(cluster, &changelog);
            if !self.rows[&changelog].iter().any(fits) {
                return Err(format!(
                    "a standby of {store}[{partition}] shows {key} → {shown}, which nobody committed"
                ));
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, cluster: &Cluster, changelog: &str) {
        let world = &cluster.world;
        if !self.log.as_ref().is_some_and(|log| Arc::ptr_eq(log, world.log())) {
            self.log = Some(world.log().clone());
            self.read_to.clear();
        }
        let from = self.read_to.remove(changelog).unwrap_or_else(|| {
            let found = world.partitions(changelog);
            found.into_iter().map(|at| (at, 0)).collect()
        });
        let (read_to, rows) = world.read(from);
        self.read_to.insert(changelog.to_owned(), read_to);
        self.rows.entry(changelog.to_owned()).or_default().extend(rows);
    }
}

fn changelog(queries: &Queries, store: &str) -> String {
    format!("{}-{store}-changelog", queries.application())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
