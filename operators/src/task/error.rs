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
