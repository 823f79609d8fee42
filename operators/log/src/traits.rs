//! The capabilities of a log. Three implementations fulfil them (Kafka, the
//! embedded log on RocksDB, the embedded log in memory) and one contract suite
//! judges all three.
//!
//! Invariant: nothing here calls back into the caller except the `visit`
//! closure of a poll, during that poll, and an appender's `done`.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::LogError;
use crate::group::GroupDescription;
use crate::record::{ConsumedRecord, NewRecord, TopicPartition};
use crate::topic::{TopicDescription, TopicSpec};

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only records of committed transactions and of plain appends.
    ReadCommitted,
    /// Everything written; `end_offsets` then gives the true end.
    ReadUncommitted,
}

/// What a reader must wait for on the embedded log. On Kafka
/// both mean "committed with `acks=all`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// A hop inside the dataflow: sees a transaction as soon as it is written.
    Written,
    /// Leaves the system (acknowledgements, egress): only what is synced.
    Durable,
}

/// Where a group stands: fences a member that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The consumer group.
    pub group: String,
    /// Negative where the member isn't in the group; refused locally. On Kafka
    /// not the broker's number but a count of this client's assignments.
    pub generation: i32,
    /// The group's own number of the assignment (the broker's generation; the member's epoch in a KIP-848 group): of two
    /// members' assignments of one partition the later has the higher one. For telling claims apart, never for fencing.
    /// `None` where the member isn't in the group.
    pub epoch: Option<i32>,
    /// Empty where the member isn't in the group; refused locally.
    pub member: String,
    /// Opaque: which implementation's metadata this is, for `send_offsets`.
    pub native: Option<NativeGroup>,
}

/// A client library's own form of [`GroupMetadata`]. Equal only to itself.
#[derive(Clone)]
pub struct NativeGroup(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for NativeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeGroup")
    }
}

impl PartialEq for NativeGroup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NativeGroup {}

/// What one poll found, besides the records it visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Visited this many records (0 = nothing there within the timeout).
    Records(usize),
    /// These partitions are to be given up: commit if not `lost`, abort if
    /// `lost`, then `ack_revoke`. No record arrives before that.
    Revoke {
        /// Somebody else may own them already.
        lost: bool,
        /// What is given up.
        partitions: Vec<TopicPartition>,
    },
    /// These partitions are ours: restore, then `ack_assign`. No record
    /// arrives before that. The list replaces the former assignment.
    Assign(Vec<TopicPartition>),
}

/// Topics and offsets.
pub trait Admin: Send + Sync {
    /// Identity of this log (Kafka: cluster id). State that names another log
    /// is rebuilt.
    fn log_id(&self) -> Result<String, LogError>;
    /// Creates what is missing. A topic that exists with another partition
    /// count is an error that names both counts. So is, on Kafka, one that isn't
    /// compacted and should be (its retention would delete state), or is and
    /// shouldn't be (compaction would delete events); for how long a topic
    /// keeps its records is left as somebody chose it. On the embedded log,
    /// whose topics are all the program's own, its cleanup becomes the asked one.
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError>;
    /// As [`Self::ensure_topics`], for topics that hold an application's state
    /// or what it hasn't read yet. On Kafka it is an error, too, if a retention
    /// by age or size could take more than was asked for, or compaction
    /// tombstones that are younger than `tombstones`; it names the command
    /// that sets it right.
    fn ensure_internal(&self, topics: &[TopicSpec], tombstones: Duration) -> Result<(), LogError> {
        let _only_kafka_has_settings = tombstones;
        self.ensure_topics(topics)
    }
    /// None for a topic that doesn't exist.
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>, LogError>;
    /// First offset that still exists.
    fn start_offsets(&self, of: &[TopicPartition]) -> Result<Vec<i64>, LogError>;
    /// Next offset to be written (`ReadUncommitted`) or the last stable offset
    /// (`ReadCommitted`).
    fn end_offsets(
        &self,
        of: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<i64>, LogError>;
    /// Committed offsets of a group; waits out unstable ones, for as long as a
    /// request may take, then it is `Retriable`. None = never committed.
    fn committed_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, LogError>;
    /// Drops for good what lies below these offsets, such as the part of a
    /// repartition topic that its reader has committed. Offsets go on counting;
    /// who reads at or above isn't disturbed, who reads below gets
    /// [`LogError::OffsetOutOfRange`]. An offset at or below the start changes nothing. One
    /// beyond the end, or a topic that is only compacted, is an error and
    /// changes nothing there. Records that aren't synced yet may stay until a
    /// later call. Takes milliseconds, at most about a second, then it is
    /// `Retriable`.
    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), LogError>;
    /// Deletes topics with all they hold, and what groups have committed of them; a topic that
    /// doesn't exist is none to delete. One that is made again under the name has another id.
    /// Whoever still reads a deleted topic gets an error; what somebody still writes is lost.
    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError>;
    /// Per partition, the offset of the first record of this time (ms since 1970) or later; the end
    /// (last stable offset) where there is none.
    fn offsets_at(&self, of: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError>;
    /// Who is in a group. One that nobody ever joined has no members.
    fn group(&self, group: &str) -> Result<GroupDescription, LogError>;
    /// Makes these the group's committed offsets (next offset to read); others stay. `Fatal` while
    /// anybody is in the group.
    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError>;
    /// Forgets everything a group has committed. `Fatal`, and nothing is forgotten, while anybody
    /// is in the group; nothing happens where there is no such group.
    fn forget_group(&self, group: &str) -> Result<(), LogError>;
}

/// Result of an append: where the record is.
pub type Appended = Result<(u32, i64), LogError>;

/// Idempotent producer outside transactions; acknowledges when durable. A drop
/// gives up what isn't acknowledged yet, and tells that, too: whoever wants
/// it written waits for `done` first.
pub trait Appender: Send + Sync {
    /// Appends to the partition of the key (murmur2, as Java) or to `partition`.
    /// `done` is called once, from any thread: partition and offset, or why
    /// not, at the latest after the delivery timeout (10 s).
    fn append(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: NewRecord<'_>,
        done: Box<dyn FnOnce(Appended) + Send>,
    );
}

/// Producer of atomic transactions. One open transaction at a time.
pub trait TxnProducer: Send {
    /// Fences and aborts whatever an earlier holder of the transactional id
    /// left open. Must be called once, first.
    fn init(&mut self) -> Result<(), LogError>;
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;
    /// Queues a record. A failed delivery surfaces at `flush` or `commit`.
    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError>;
    /// Input positions (next offset to read) that become the group's committed
    /// offsets with this transaction. A stale generation is an error; `Refused`
    /// is as at `flush`.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError>;
    /// Waits until everything queued is acknowledged. [`LogError::Refused`]
    /// names topic and partition of a record that the log won't ever take (too
    /// large for its topic, without a key on a compacted one); repeating the
    /// transaction can't help. Other than at `send`, this transaction has to be
    /// aborted then.
    fn flush(&mut self) -> Result<(), LogError>;
    /// Ends the transaction; afterwards all of it is visible, or (on error)
    /// none of it, or (`LogError::Unknown`) one of the two. `Refused` is as at
    /// `flush`.
    fn commit(&mut self) -> Result<(), LogError>;
    /// Ends the transaction; none of it is ever visible.
    fn abort(&mut self) -> Result<(), LogError>;
    /// Highest acknowledged offset + 1 of a partition within the last committed
    /// transaction: how far a changelog reaches. None if nothing was sent there.
    /// Asked after `commit`, because some logs give offsets only then.
    fn acknowledged(&self, at: &TopicPartition) -> Option<i64>;
}

/// Member of a consumer group. Close: `unsubscribe` → poll until `Revoke` →
/// `ack_revoke` → drop.
pub trait GroupConsumer: Send {
    /// Joins with these topics; all must exist.
    fn subscribe(&mut self, topics: &[&str]) -> Result<(), LogError>;
    /// Visits up to `max` records, or reports an assignment event. Waits up to
    /// `timeout` for the first; may end earlier without one when `reached` has
    /// become true of an end.
    /// [`LogError::OffsetOutOfRange`] if the next record is gone: lost, or deleted by a
    /// successor whom this member hasn't heard of yet.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<Polled, LogError>;
    /// Starts reading at these offsets; nothing is paused. The metadata holds
    /// until the next event.
    fn ack_assign(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<GroupMetadata, LogError>;
    /// Gives the revoked partitions up. Any others stay, with the metadata they
    /// have.
    fn ack_revoke(&mut self) -> Result<(), LogError>;
    /// Stops delivery of these partitions until `resume`, `seek` or the next
    /// assignment; what was fetched may be fetched again.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Goes on. Only for paused partitions.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Next records come from these offsets. Ends a pause of these partitions.
    fn seek(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError>;
    /// True once everything below `end` of an assigned partition was visited or
    /// can't be (markers, aborted, compacted): how a task knows that it is
    /// level with the log although offsets have holes.
    fn reached(&self, at: &TopicPartition, end: i64) -> bool;
    /// Leaves the group. Exactly one `Revoke` follows, empty when nothing was
    /// owned, then only `Records(0)`.
    fn unsubscribe(&mut self) -> Result<(), LogError>;
    /// Ends a waiting poll from another thread.
    fn waker(&self) -> Waker;
}

/// Ends a waiting poll. Cheap to clone; may be called from any thread. Sticky:
/// called between two polls, it ends the next one at once.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Reader of chosen partitions, no group: restore, global tables, egress.
pub trait Reader: Send {
    /// Replaces what is read; offsets are numbers, never "beginning". An offset
    /// below the first that still exists makes `poll` fail with
    /// [`LogError::OffsetOutOfRange`]: what was lost is reported, not skipped.
    fn assign(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError>;
    /// As [`GroupConsumer::poll`], never an assignment event. Up to `max` records; fewer though more are there where they are
    /// large.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<usize, LogError>;
    /// True once everything below `end` was visited or can't be (markers,
    /// aborted, compacted): how a restore knows that it is done.
    fn reached(&self, at: &TopicPartition, end: i64) -> bool;
    /// Next offset to read.
    fn position(&self, at: &TopicPartition) -> Option<i64>;
    /// Ends a waiting poll from another thread.
    fn waker(&self) -> Waker;
}

/// How a member joins a group.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// `<application.id>-group`.
    pub group: String,
    /// `<application.id>-…`; begins with a zero-padded slot where `range`
    /// should give a restarted member its partitions back.
    pub client_id: String,
    /// After this long without a heartbeat the member is dead.
    pub session_timeout: Duration,
    /// Unresolved until polled again within this time.
    pub max_poll_interval: Duration,
    /// Name of a static member (`group.instance.id`, KIP-345), unique in its group: it doesn't leave when it closes, and
    /// has its partitions again, without anybody else's noticing, when it comes back within the session timeout. The
    /// embedded log has no use for it: all members live and die with it.
    pub instance_id: Option<String>,
}

/// A log: makes the clients. One value per process.
pub trait Log: Send + Sync {
    /// Topics and offsets.
    fn admin(&self) -> Result<Box<dyn Admin>, LogError>;
    /// For the ingress.
    fn appender(&self, client_id: &str) -> Result<Box<dyn Appender>, LogError>;
    /// For a worker; call `init` before the first transaction.
    fn txn_producer(
        &self,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<Box<dyn TxnProducer>, LogError>;
    /// For a worker that promises no more than at least once: the steps of a [`TxnProducer`] without its transactions.
    /// What was flushed is in the log and visible, and stays there. `init` and `begin` fence nobody. `commit` flushes and,
    /// once all of it is acknowledged, commits the offsets; a stale generation is an error as in a transaction, and what
    /// was flushed stays nevertheless. `abort` gives up what wasn't sent yet and returns when nothing more of the rest can
    /// come.
    fn plain_producer(&self, client_id: &str) -> Result<Box<dyn TxnProducer>, LogError>;
    /// For a worker.
    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError>;
    /// For restore, global tables and egress.
    fn reader(
        &self,
        client_id: &str,
        isolation: Isolation,
        visibility: Visibility,
    ) -> Result<Box<dyn Reader>, LogError>;
    /// Returns once everything written before the call would survive the loss
    /// of power (embedded); on Kafka at once.
    fn sync(&self) -> Result<(), LogError>;
}
