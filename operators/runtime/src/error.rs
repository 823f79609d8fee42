//! Why a worker stops. Everything that can be mended by aborting, restoring or
//! waiting is mended inside and never becomes one of these.

use log::error::LogError;
use operators::TopologyError;
use state_stores::StoreError;

/// A worker has stopped for this reason.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The log can't go on and a person must act.
    #[error("{application}: the log failed: {source}")]
    Log {
        /// `application.id`.
        application: String,
        /// What the log said.
        source: LogError,
    },
    /// The state can't be read or written.
    #[error("{application}: the state failed: {source}")]
    State {
        /// `application.id`.
        application: String,
        /// What the store said.
        source: StoreError,
    },
    /// The topology doesn't fit the topics.
    #[error("{application}: {source}")]
    Topology {
        /// `application.id`.
        application: String,
        /// What doesn't fit.
        source: TopologyError,
    },
    /// Topics are missing.
    #[error("{application}: topics {} don't exist; create them with `orders topics create`", .missing.join(", "))]
    MissingTopics {
        /// `application.id`.
        application: String,
        /// Their names.
        missing: Vec<String>,
    },
    /// A bug, in an operator's closure or in here.
    #[error("{application}: its thread panicked: {message}")]
    Panicked {
        /// `application.id`.
        application: String,
        /// What the panic said.
        message: String,
    },
    /// Another live process uses the same transactional id.
    #[error(
        "{transactional_id} was fenced twice within {within_ms} ms: another live process uses the same \
         instance id; give each its own INSTANCE_ID or DATA_DIR"
    )]
    FencedTwice {
        /// The id that is in use twice.
        transactional_id: String,
        /// The interval of the setting.
        within_ms: i64,
    },
}
