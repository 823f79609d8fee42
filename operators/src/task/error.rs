//! Why a task stopped.

use std::sync::Arc;

use state_stores::StoreError;

use crate::failure::BoxError;

/// The transaction must be aborted and the task built anew.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The state could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node whose policy is *fail* can't process a record.
    #[error(
        "node {node} failed on {topic}[{partition}] at offset {offset}: {cause}; correct the record or the node, or choose another ErrorPolicy"
    )]
    Record {
        /// The node's name.
        node: Arc<str>,
        /// The source topic.
        topic: Arc<str>,
        /// The source partition.
        partition: u32,
        /// The record's offset.
        offset: i64,
        /// What the node said.
        cause: BoxError,
    },
    /// A node whose policy is *fail* can't go on with a call.
    #[error(
        "node {node} failed on call {call} in partition {partition}: {cause}; mend the service or the node, or choose another ErrorPolicy"
    )]
    Call {
        /// The node's name.
        node: Arc<str>,
        /// The task's partition.
        partition: u32,
        /// The call's id.
        call: Arc<str>,
        /// What the node or the service said.
        cause: BoxError,
    },
    /// A node whose policy is *fail* can't handle its timer.
    #[error("node {node} failed on its timer due at {due} ms in partition {partition}: {cause}")]
    Timer {
        /// The node's name.
        node: Arc<str>,
        /// The task's partition.
        partition: u32,
        /// When it was due (ms since 1970).
        due: i64,
        /// What the node said.
        cause: BoxError,
    },
}

/// What failed, however it says why: when it comes back after a replay, the same has failed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailedAt {
    /// A record of an input.
    Record {
        /// The source topic.
        topic: Arc<str>,
        /// Its offset in the task's partition.
        offset: i64,
    },
    /// The outcome of a call.
    Call {
        /// The calling node's name.
        node: Arc<str>,
        /// The call's id.
        id: Arc<str>,
    },
    /// A timer of a node.
    Timer {
        /// The node's name.
        node: Arc<str>,
        /// When it was due (ms since 1970).
        due: i64,
    },
    /// It has no place in the input: what it says.
    Elsewhere(String),
}

impl TaskError {
    /// What failed.
    pub fn at(&self) -> FailedAt {
        match self {
            Self::Store(error) => FailedAt::Elsewhere(error.to_string()),
            Self::Record { topic, offset, .. } => {
                FailedAt::Record { topic: Arc::clone(topic), offset: *offset }
            }
            Self::Call { node, call, .. } => {
                FailedAt::Call { node: Arc::clone(node), id: Arc::clone(call) }
            }
            Self::Timer { node, due, .. } => FailedAt::Timer { node: Arc::clone(node), due: *due },
        }
    }
}
