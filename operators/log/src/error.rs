//! What can go wrong, in the four classes of `design.md` §4 and the callers'
//! fates for each.

/// A failure of the log, sorted by what the caller must do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The same call may succeed later.
    #[error("retriable: {0}")]
    Retriable(String),
    /// The open transaction must be aborted; then work goes on.
    #[error("transaction must be aborted: {0}")]
    Abort(String),
    /// Somebody else holds the transactional id or the partition. This client
    /// is dead; make a new one.
    #[error("fenced: {0}")]
    Fenced(String),
    /// It isn't known whether the commit happened; find out from the log.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Nothing helps but a person. Names the topic, setting or file.
    #[error("{0}")]
    Fatal(String),
}
