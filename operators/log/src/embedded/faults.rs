//! Faults on demand: the n-th operation of a kind fails, or the log "crashes"
//! before or after it.
//!
//! Invariant: a plan decides from the operation and its count alone, so the
//! same plan over the same schedule does the same every time. What a crash
//! loses is the engine's business (`MemoryEngine::crash`).

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `Appender::append`.
    Append,
    /// `TxnProducer::init`.
    Init,
    /// `TxnProducer::begin`.
    Begin,
    /// `TxnProducer::send`; asked only where transactions lie open in the log, or where there are none.
    Send,
    /// `TxnProducer::send_offsets`.
    SendOffsets,
    /// `TxnProducer::flush`.
    Flush,
    /// `TxnProducer::commit`.
    Commit,
    /// `TxnProducer::abort`.
    Abort,
    /// The marker of a transaction on one of its partitions; asked only where transactions lie open in the log.
    Marker,
    /// The same on the group's offsets.
    OffsetMarker,
    /// `GroupConsumer::poll` and `Reader::poll`.
    Poll,
    /// `Log::sync` and the sync of a tick.
    Sync,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `LogError::Retriable`, nothing done.
    Retriable,
    /// `LogError::Abort`, nothing done.
    Abort,
    /// `LogError::Fenced`, nothing done.
    Fenced,
    /// `LogError::Refused`, as a broker's answer to one of the records.
    Refused,
    /// `LogError::Unknown`, nothing done.
    UnknownNotDone,
    /// `LogError::Unknown`, though it was done.
    UnknownDone,
    /// It was done, but the answer was lost: `LogError::Retriable`. Who repeats it delivers it twice.
    AnswerLost,
    /// At `flush`: what goes to half of the partitions is delivered, then `LogError::Abort`. Nothing is delivered where
    /// transactions don't lie open in the log.
    Torn,
    /// At `send`: what is queued is delivered before the flush.
    Early,
    /// This marker isn't written yet; it is asked for again at the next tick, and written before the producer's next
    /// transaction.
    Late,
    /// This poll of a group's member doesn't deliver the group's event yet: it goes on
    /// reading, as one does that hasn't heard of its loss.
    Unaware,
    /// What this poll delivers to a group's member is delivered a second time by its next poll, unless the member has
    /// been moved meanwhile.
    Twice,
    /// The log crashes first: nothing done, every later call fails.
    CrashBefore,
    /// Done, then the log crashes, so that the caller doesn't learn it.
    CrashAfter,
}

type Decide = dyn FnMut(Operation, u64) -> Option<Fault> + Send;

/// Decides which operations fail.
pub struct FaultPlan {
    inner: Mutex<Inner>,
}

struct Inner {
    counts: BTreeMap<Operation, u64>,
    decide: Box<Decide>,
}

impl FaultPlan {
    /// One fault: the `nth` operation (from 1) of a kind.
    pub fn at(operation: Operation, nth: u64, fault: Fault) -> Self {
        Self::deciding(move |asked, count| (asked == operation && count == nth).then_some(fault))
    }

    /// `decide` is asked for each operation with its count among its kind,
    /// from 1. Seed a generator in it for random faults.
    pub fn deciding(decide: impl FnMut(Operation, u64) -> Option<Fault> + Send + 'static) -> Self {
        Self { inner: Mutex::new(Inner { counts: BTreeMap::new(), decide: Box::new(decide) }) }
    }

    /// How often an operation was begun.
    pub fn count(&self, operation: Operation) -> u64 {
        self.inner.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn next(&self, operation: Operation) -> Option<Fault> {
        let inner = &mut *self.inner.lock();
        let count = inner.counts.entry(operation).or_insert(0);
        *count += 1;
        (inner.decide)(operation, *count)
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultPlan")
            .field("counts", &self.inner.lock().counts)
            .finish_non_exhaustive()
    }
}
