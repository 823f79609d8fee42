//! Why a worker stops. Everything that can be mended by aborting, restoring or
//! waiting is mended inside and never becomes one of these.

use log::error::LogError;
use operators::manifest::ManifestError;
use operators::{TopologyError, Verdict};
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
    /// The topology has changed in a way that needs a person.
    #[error("{application}: the topology doesn't fit the state {kept_in} ({verdict}):\n{differences}\n{}", way_on(.token.as_deref()))]
    Manifest {
        /// `application.id`.
        application: String,
        /// Where the state is that it doesn't fit.
        kept_in: &'static str,
        /// How bad it is.
        verdict: Verdict,
        /// Each change with its remedy, a line each.
        differences: String,
        /// What accepts the change; none where nobody can.
        token: Option<String>,
    },
    /// What was kept about the state can't be read.
    #[error("{application}: the manifest {kept_in}: {source}")]
    UnreadableManifest {
        /// `application.id`.
        application: String,
        /// Where it is.
        kept_in: &'static str,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A reset of the application was begun and isn't finished: topics and offsets don't belong together.
    #[error(
        "{application}: a reset was begun and isn't finished; run `orders app reset {application} --execute` again"
    )]
    InReset {
        /// `application.id`.
        application: String,
    },
    /// Topics are missing.
    #[error("{application}: topics {} don't exist; create them with `orders topics create`", .missing.join(", "))]
    MissingTopics {
        /// `application.id`.
        application: String,
        /// Their names.
        missing: Vec<String>,
    },
    /// A flow calls a service and nobody makes the call.
    #[error(
        "{application}: nobody makes the calls of `{node}`; say who does with `Worker::on_call`"
    )]
    NoHandler {
        /// `application.id`.
        application: String,
        /// The call's name.
        node: String,
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

fn way_on(token: Option<&str>) -> String {
    match token {
        Some(token) => format!(
            "to accept the change, do what is said above, then start every instance once with ACCEPT_TOPOLOGY_CHANGE={token}"
        ),
        None => "this change can't be accepted: do what is said above".to_owned(),
    }
}
