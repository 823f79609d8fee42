//! Settings of the embedded log, with every default in one place.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::faults::FaultPlan;

/// Milliseconds since 1970, from wherever the caller takes its time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How an [`EmbeddedLog`](super::EmbeddedLog) behaves.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// Time of groups, retention and tombstones.
    pub clock: Clock,
    /// True: a thread syncs, ends sessions and maintains, and polls wait.
    /// False: [`tick`](super::EmbeddedLog::tick) does all of that when called,
    /// and polls return at once (simulation).
    pub background: bool,
    /// What the identity of a *new* log derives from; None = random.
    pub seed: Option<u64>,
    /// Least time between two syncs while somebody waits for one.
    pub sync_interval: Duration,
    /// Time until what nobody waits for is synced.
    pub idle_sync_interval: Duration,
    /// Largest record: key, value and headers, in bytes.
    pub max_record_bytes: usize,
    /// Memory for the newest records of all partitions together, in bytes.
    pub tail_bytes: usize,
    /// How long a tombstone stays on a compacted topic.
    pub tombstone_retention: Duration,
    /// Time between two rounds of retention and compaction.
    pub maintenance_interval: Duration,
    /// Bytes that one step of maintenance reads.
    pub maintenance_step_bytes: usize,
    /// A compacted partition is left alone until this many offsets are new.
    pub compaction_min_offsets: i64,
    /// True: what a producer flushes lies in its partitions before the transaction ends, as on Kafka; the last stable
    /// offset is then below the end, and markers may come late. For simulations: a transaction costs more writes.
    pub open_transactions: bool,
    /// Time until an open transaction is aborted and its producer fenced; only with `open_transactions`.
    pub transaction_timeout: Duration,
    /// Faults to be injected (simulation).
    pub faults: Option<Arc<FaultPlan>>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(wall_clock),
            background: true,
            seed: None,
            sync_interval: Duration::from_millis(2),
            idle_sync_interval: Duration::from_millis(50),
            max_record_bytes: 1024 * 1024,
            tail_bytes: 64 * 1024 * 1024,
            tombstone_retention: Duration::from_secs(24 * 3600),
            maintenance_interval: Duration::from_secs(30),
            maintenance_step_bytes: 1024 * 1024,
            compaction_min_offsets: 10_000,
            open_transactions: false,
            transaction_timeout: Duration::from_secs(10),
            faults: None,
        }
    }
}

impl EmbeddedOptions {
    /// Nothing happens but what the caller does: no thread, no wall clock, an
    /// identity made of `seed`.
    pub fn simulation(clock: Clock, seed: u64) -> Self {
        Self { clock, background: false, seed: Some(seed), ..Self::default() }
    }
}

impl fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedOptions")
            .field("background", &self.background)
            .field("seed", &self.seed)
            .field("sync_interval", &self.sync_interval)
            .field("max_record_bytes", &self.max_record_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .finish_non_exhaustive()
    }
}

fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as the log counts: whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
