//! Interactive queries (Q01–Q05): what the stores hold, asked from outside.
//!
//! Invariants: an answer holds committed rows only, each of a moment at which its member owned it, or had it as a standby
//! where the query allows that; a range is read in slices, which may be of several moments. A query is passed on once at most. An answer is whole: where one partition
//! can't be had, the query fails and says why.
//!
//! | question | who answers |
//! |---|---|
//! | a key | the owner of the partition where the topics' partitioner puts it |
//! | a key of a processor's store, which may be anywhere; a range | the owners of all partitions, asked by who was asked first |
//! | one that allows stale answers | the same, and where an owner can't be asked, a member with a standby of its task |
//!
//! A member that was given up by its group and hasn't heard of it yet answers with what it committed last; who needs
//! more asks for a position ([`StoreQuery::after`]).

mod answer;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod http;
mod read;
mod render;
mod request;
mod route;
mod serving;
mod sizes;
mod stand_in;
mod standby;
mod typed;

use std::collections::BTreeMap;
use std::sync::Arc;

use log::traits::{Admin, Log};
use operators::{StoreInfo, TaskId, Topology};
use serde::{Deserialize, Serialize};
use state_stores::{StateDir, StoreExtent, StoreKind};

pub use answer::{Answer, AnsweredBy, Row, StandbyLag, WindowTimes};
pub use error::QueryError;
pub use http::QueryDoor;
pub(crate) use http::routes;
pub use render::{Render, render_plain};
pub use request::{Stale, StoreQuery};
pub(crate) use serving::{Kept, Publisher, Serving};
pub use typed::TypedQuery;

use crate::app::StoreDescription;
use crate::members::{Member, Members};
use crate::turn::Turn;
use crate::worker::Worker;

/// Passes a query on to another member.
pub trait Peers: Send + Sync {
    /// Asks the member at this address. Called from a thread that may wait.
    ///
    /// # Errors
    /// [`PeerError::Said`] for an answer of the member's, [`PeerError::Silent`] where there is none.
    fn ask(&self, member: &Member, store: &str, query: &StoreQuery) -> Result<Answer, PeerError>;
}

/// Why a member didn't answer with rows.
#[derive(Debug)]
pub enum PeerError {
    /// It gave a reason.
    Said(QueryError),
    /// It gave nothing: why.
    Silent(String),
}

/// The stores of one application, asked at one of its members. Cheap to share; may wait, so not for an async thread.
pub struct Queries {
    pub(crate) topology: Topology,
    pub(crate) stores: BTreeMap<Arc<str>, StoreInfo>,
    pub(crate) state_dir: Arc<StateDir>,
    /// Of each thread of the process.
    pub(crate) serving: Vec<Arc<Serving>>,
    pub(crate) instance: String,
    pub(crate) members: Members,
    /// Members that tell nothing for so long aren't asked.
    pub(crate) silence_ms: i64,
    pub(crate) log: Arc<dyn Log>,
    /// What asks the log for offsets, made when there is something to ask.
    pub(crate) offsets: Turn<Box<dyn Admin>>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) render: Arc<Render>,
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let application = self.topology.application_id();
        f.debug_struct("Queries").field("application", &application).finish_non_exhaustive()
    }
}

/// A store that can be asked, as a member lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreListing {
    /// `application.id`.
    pub application: String,
    /// The store's name.
    pub store: String,
    /// `key-value`, `window`, `session` or `versioned`.
    pub kind: String,
    /// Format of its keys.
    pub key: String,
    /// Format of its values.
    pub value: String,
    /// How many it has; none while the member starts.
    pub partitions: Option<u32>,
    /// Those this member owns, each with the positions of its inputs: `topic[partition]`, next offset.
    pub here: BTreeMap<u32, BTreeMap<String, i64>>,
    /// Those it has as standbys that can be asked (`allLocalStorePartitionLags`).
    #[serde(default)]
    pub standbys: BTreeMap<u32, StandbyLag>,
}

impl Queries {
    /// `application.id`.
    #[must_use]
    pub fn application(&self) -> &str {
        self.topology.application_id()
    }

    /// The stores that can be asked, by name.
    #[must_use]
    pub fn listings(&self) -> Vec<StoreListing> {
        self.stores.values().map(|info| self.listing(info)).collect()
    }

    /// What the stores of this process hold on disk.
    #[must_use]
    pub fn extents(&self) -> Vec<StoreDescription> {
        let describe = |found: StoreExtent| StoreDescription {
            store: found.store.to_string(),
            partition: found.partition,
            bytes: found.extent.bytes,
            rows: found.extent.rows,
        };
        self.state_dir.extents().into_iter().map(describe).collect()
    }

    /// Asks this thread of the process, too.
    #[must_use]
    pub fn with_thread(mut self, worker: &Worker) -> Self {
        self.serving.push(worker.publisher.serving());
        self
    }

    /// How many partitions the store has; `None` until a worker has started.
    pub(crate) fn partition_count(&self, info: &StoreInfo) -> Option<u32> {
        self.serving.iter().find_map(|thread| thread.partitions(info.subtopology))
    }

    /// The thread that owns the task.
    pub(crate) fn thread_of(&self, id: TaskId) -> Option<&Serving> {
        self.serving.iter().find(|thread| thread.served(id).is_some()).map(AsRef::as_ref)
    }

    fn listing(&self, info: &StoreInfo) -> StoreListing {
        let partitions = self.partition_count(info);
        let served = (0..partitions.unwrap_or(0)).filter_map(|partition| {
            let id = task(info, partition);
            let served = self.serving.iter().find_map(|thread| thread.served(id))?;
            let positions = served.inputs.iter().map(|(at, next)| (at.to_string(), *next));
            Some((partition, positions.collect()))
        });
        StoreListing {
            application: self.application().to_owned(),
            store: info.spec.name.to_string(),
            kind: kind(info.spec.kind).to_owned(),
            key: info.key.clone(),
            value: info.value.clone(),
            partitions,
            here: served.collect(),
            standbys: (0..partitions.unwrap_or(0))
                .filter_map(|partition| Some((partition, self.lag_of(info, partition)?)))
                .collect(),
        }
    }

    pub(crate) fn store(&self, name: &str) -> Result<&StoreInfo, QueryError> {
        self.stores.get(name).ok_or_else(|| QueryError::UnknownStore {
            application: self.application().to_owned(),
            store: name.to_owned(),
            stores: self.stores.keys().map(ToString::to_string).collect(),
        })
    }
}

/// The task that keeps a partition of the store.
pub(crate) fn task(info: &StoreInfo, partition: u32) -> TaskId {
    TaskId { subtopology: info.subtopology, partition }
}

fn kind(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::KeyValue => "key-value",
        StoreKind::Window { .. } => "window",
        StoreKind::Session { .. } => "session",
        StoreKind::Versioned { .. } => "versioned",
    }
}
