//! What a worker is told: identity, intervals and bounds.

use std::time::Duration;

use crate::guarantee::ProcessingGuarantee;

/// Settings of one worker thread. All intervals are in milliseconds of the
/// clock that is passed to [`Worker::step`](crate::Worker::step).
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Stable name of this process among the instances of the application:
    /// part of the transactional id, so two live processes must never share
    /// one.
    pub instance: String,
    /// Number of this thread within the process.
    pub thread: u32,
    /// Exactly once, unless told otherwise. The same for all members.
    pub guarantee: ProcessingGuarantee,
    /// Makes the threads of this process static members of their groups (`group.instance.id`, KIP-345), each by this name
    /// and its number: one that is restarted within [`Self::session_timeout`] has its tasks again and disturbs nobody; one
    /// that goes for good is missed only after that time.
    pub group_instance_id: Option<String>,
    /// At least this long from the beginning of a commit to that of the next, and at least twice what the commit took
    /// (`commit.min.interval.ms`).
    pub commit_min_interval_ms: i64,
    /// At most this long with something uncommitted (`commit.interval.ms`).
    pub commit_interval_ms: i64,
    /// A commit is due when the overlays of all tasks hold this many bytes.
    pub staged_bytes_max: usize,
    /// Records buffered per source before its partition is paused; resumed at
    /// half.
    pub buffered_records_max: usize,
    /// Memory for the buffered records of all sources of this worker. A source with an equal part of it is paused too, and
    /// resumed at half; a larger record is taken all the same, one at a time.
    pub buffered_bytes_max: usize,
    /// Records taken from the log in one step.
    pub poll_records_max: usize,
    /// Threads that fill the stores of several tasks at once while their state is restored. 1: the worker's own.
    pub restore_threads: usize,
    /// Records processed in one step.
    pub process_records_max: usize,
    /// After about so long a task gives way to its neighbours, whatever is left of its share: one whose records take long
    /// doesn't stop the others, nor the commit. Never after less than one record, and up to seven
    /// records later, or more where it has to look at other inputs between them. None: only the number of records counts, and
    /// no clock is looked at.
    pub turn: Option<Duration>,
    /// How long a record of a join waits at most for rows of its other inputs that lie in a transaction which isn't ended
    /// there: it may be the one that brought the record. A transaction that stays open for longer holds up a join once.
    pub open_transaction_wait_ms: i64,
    /// A member that is silent for this long is dead.
    pub session_timeout: Duration,
    /// A member that doesn't poll for this long is dead.
    pub max_poll_interval: Duration,
    /// Fenced twice within this time by the same transactional id: stop.
    pub fenced_twice_ms: i64,
    /// What failed is tried again at once the first time. Before the second time it waits for about so long, then for twice
    /// as long each time...
    pub retry_min_ms: i64,
    /// ... up to this, both less up to a half that differs from member to member (`reconnect.backoff.ms` and
    /// `reconnect.backoff.max.ms` are the clients' own). A commit, an assignment that was
    /// taken up, or ten times so long without a failure, begins anew.
    pub retry_max_ms: i64,
    /// How long tombstones live in changelogs; state older than half of it is
    /// rebuilt.
    pub delete_retention_ms: i64,
    /// Changes of the topology that somebody agreed to: the tokens that refusals named
    /// ([`Comparison::token`](operators::manifest::Comparison::token)).
    pub accepted_changes: Vec<String>,
    /// Host and port under which other members reach the admin endpoint of this process (`application.server`), told in
    /// the topic `<application.id>-members`. Empty: it can't be reached. None: nothing is told. Queries aren't passed on to
    /// this member then.
    pub advertised: Option<String>,
    /// How many other instances keep a copy of each task's stores, ready to take over (`num.standby.replicas`). The same
    /// for all members: each keeps what falls to it.
    pub num_standby_replicas: u32,
    /// Where there are standbys, a member that comes to others joins when none of the tasks that it will have lacks more
    /// records than this (`acceptable.recovery.lag`).
    pub acceptable_recovery_lag: u64,
    /// At the latest it joins after this long; 0: at once.
    pub warmup_max_ms: i64,
    /// Standbys are placed, and measured against their changelogs' ends, this often.
    pub standby_interval_ms: i64,
    /// Committed records of repartition topics are deleted this often
    /// (`repartition.purge.interval.ms`).
    pub repartition_purge_interval_ms: i64,
}

impl WorkerSettings {
    /// The defaults for a named instance.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            thread: 0,
            guarantee: ProcessingGuarantee::default(),
            group_instance_id: None,
            commit_min_interval_ms: 5,
            commit_interval_ms: 100,
            staged_bytes_max: 16 << 20,
            buffered_records_max: 2_000,
            buffered_bytes_max: 8 << 20,
            poll_records_max: 1_000,
            restore_threads: 1,
            process_records_max: 256,
            turn: Some(Duration::from_millis(10)),
            open_transaction_wait_ms: 1_000,
            session_timeout: Duration::from_secs(6),
            max_poll_interval: Duration::from_secs(300),
            fenced_twice_ms: 60_000,
            retry_min_ms: 10,
            retry_max_ms: 1_000,
            delete_retention_ms: 86_400_000,
            accepted_changes: Vec::new(),
            advertised: None,
            num_standby_replicas: 0,
            acceptable_recovery_lag: 10_000,
            warmup_max_ms: 600_000,
            standby_interval_ms: 1_000,
            repartition_purge_interval_ms: 30_000,
        }
    }

    /// A member that tells nothing for so long isn't there, as far as the members' topic is concerned.
    pub(crate) fn presence_ms(&self) -> i64 {
        let session_ms = i64::try_from(self.session_timeout.as_millis()).unwrap_or(i64::MAX);
        session_ms.saturating_mul(2)
    }

    /// The name of a static member.
    pub(crate) fn static_member(&self) -> Option<String> {
        self.group_instance_id.as_ref().map(|id| format!("{id}-{}", self.thread))
    }

    /// `<application.id>-<instance>-<thread>`: stable over restarts, so that a
    /// successor ends its predecessor's open transaction at once.
    #[must_use]
    pub fn transactional_id(&self, application_id: &str) -> String {
        format!("{application_id}-{}-{}", self.instance, self.thread)
    }
}
