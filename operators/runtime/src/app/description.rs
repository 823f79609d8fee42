//! What is told about an application: to people as tables, to programs as JSON.

use serde::{Deserialize, Serialize};

use crate::restore::RestoringStatus;
use crate::worker::WorkerStatus;

/// An application at one moment. Parts that are asked for one after the other may differ by what happened between.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppDescription {
    /// `application.id`.
    pub application: String,
    /// Its consumer group.
    pub group: String,
    /// The group's state in the words of its coordinator.
    pub state: String,
    /// A reset was begun and isn't finished: no member starts.
    pub in_reset: bool,
    /// Those of the group, by instance and thread.
    pub members: Vec<MemberDescription>,
    /// All there are, whoever holds them.
    pub tasks: Vec<TaskDescription>,
}

/// A member of the group: one thread of a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberDescription {
    /// Name of the process.
    pub instance: String,
    /// Number of the thread within it.
    pub thread: u32,
    /// Where the coordinator sees it.
    pub host: String,
    /// Of its admin endpoint, if it told.
    pub address: Option<String>,
    /// What it says itself.
    pub status: Option<WorkerStatus>,
    /// Why it says nothing.
    pub silent: Option<String>,
    /// Partitions that it owns.
    pub partitions: usize,
}

/// A task: one sub-topology on one partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskDescription {
    /// `<sub-topology>_<partition>`.
    pub id: String,
    /// Instance and thread of the member that owns its partitions; none while nobody does.
    pub held_by: Option<(String, u32)>,
    /// What it reads.
    pub inputs: Vec<InputDescription>,
    /// Its stores, as far as its owner tells.
    pub stores: Vec<StoreDescription>,
    /// How far its state is, while it is brought level with the log.
    pub restoring: Option<RestoringStatus>,
    /// Why it stands still.
    pub stopped: Option<String>,
}

/// One partition that a task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDescription {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Next offset to read, as committed.
    pub committed: Option<i64>,
    /// Where the partition ends (last stable offset); none if there is no such topic yet.
    pub end: Option<i64>,
    /// Offsets between the two. Markers of transactions have offsets too, so an application that has read everything
    /// may lag by a few.
    pub lag: Option<i64>,
}

/// What a store of a task holds on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreDescription {
    /// The store's name.
    pub store: String,
    /// The task's partition.
    pub partition: u32,
    /// About how many bytes lie in its files. What was committed in the last minute may be in memory only.
    pub bytes: u64,
    /// Rows, where they can be counted without reading them.
    pub rows: Option<u64>,
}
