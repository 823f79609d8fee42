//! Why a record's way through the graph ended early.
//!
//! Three kinds of trouble, three fates: bad data follows the node's
//! [`ErrorPolicy`]; a broken store ends the transaction; a held record waits.

use std::sync::Arc;

use state_stores::StoreError;

use crate::graph::NodeId;

/// Any error a user's function returns.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What happens to a record that a node can't process.
///
/// Whatever the node chose, all effects of the record are undone first: state,
/// outputs and timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// The transaction is aborted and the task stops with the record's coordinates.
    Fail,
    /// The record is dropped and counted.
    Skip,
    /// The record goes to `dead_letters` in the same transaction.
    DeadLetter,
}

/// One word wide, so that `Result<(), Failure>` travels in a register.
#[derive(Debug)]
pub(crate) struct Failure(Box<FailureKind>);

#[derive(Debug)]
pub(crate) enum FailureKind {
    /// The state could not be read.
    Store(StoreError),
    /// This node can't process the record.
    Node { node: NodeId, cause: BoxError },
    /// The record waits for a global table.
    Hold { table: usize },
    /// The record waits until it is known whether this topic exists.
    Topic { name: Arc<str> },
    /// A gate parks what arrived there, once everything is undone and done again.
    Park { arrival: u32, cause: String },
}

impl Failure {
    /// A store's error keeps its own fate even when it went through a user's function.
    pub(crate) fn node(node: NodeId, cause: impl Into<BoxError>) -> Self {
        match cause.into().downcast::<StoreError>() {
            Ok(error) => (*error).into(),
            Err(cause) => Self(Box::new(FailureKind::Node { node, cause })),
        }
    }

    pub(crate) fn hold(table: usize) -> Self {
        Self(Box::new(FailureKind::Hold { table }))
    }

    pub(crate) fn needs_topic(name: &str) -> Self {
        Self(Box::new(FailureKind::Topic { name: Arc::from(name) }))
    }

    pub(crate) fn park(arrival: u32, cause: String) -> Self {
        Self(Box::new(FailureKind::Park { arrival, cause }))
    }

    pub(crate) fn into_kind(self) -> FailureKind {
        *self.0
    }
}

impl FailureKind {
    /// The node that can't go on, and why. What isn't a node's fault ends the transaction.
    pub(crate) fn of_node(self) -> Result<(NodeId, BoxError), StoreError> {
        match self {
            Self::Store(error) => Err(error),
            Self::Node { node, cause } => Ok((node, cause)),
            Self::Hold { table } => {
                let cause = format!(
                    "a timer can't wait for global table {table}; look up in the stream instead"
                );
                Ok((NodeId(0), cause.into()))
            }
            // Whoever ran the record has asked for the topic, or parked it.
            Self::Topic { name } => Ok((NodeId(0), format!("topic `{name}` isn't known").into())),
            Self::Park { cause, .. } => Ok((NodeId(0), cause.into())),
        }
    }
}

impl From<FailureKind> for Failure {
    fn from(kind: FailureKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(Box::new(FailureKind::Store(error)))
    }
}
