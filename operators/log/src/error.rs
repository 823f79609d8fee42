//! What can go wrong, in classes by what the caller does about each. Invariant: every client error is sorted into one of them in one
//! place per implementation, never by the caller.

use crate::record::TopicPartition;

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
    /// This record can't ever be accepted (too large, or without a key on a
    /// compacted topic). From `send`: nothing of it was written and the open
    /// transaction goes on unharmed. From `flush`, `send_offsets` or `commit`:
    /// the transaction must be aborted.
    #[error("record refused: {0}")]
    Refused(String),
    /// The next record to read isn't in the topic any more. A member of a group may hear
    /// this before it hears that it was put out of the group and that its successor had
    /// records deleted which it has committed; whoever else hears it has lost records.
    #[error(
        "{at}: offset {position} isn't in the topic any more (retention, deletion, or another topic of that name)"
    )]
    OffsetOutOfRange {
        /// Where.
        at: TopicPartition,
        /// The next offset that was wanted.
        position: i64,
    },
    /// Nothing helps but a person. Names the topic, setting or file.
    #[error("{0}")]
    Fatal(String),
}
