//! One worker thread of one application: member of the group, owner of tasks,
//! the only writer of its transactions.
//!
//! Invariant: [`Worker::step`] does one bounded piece of work and never waits;
//! between any two steps the process may die and the next owner goes on from
//! what the log holds. The table of what happens then is in `commit`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log::record::TopicPartition;
use log::traits::{Admin, GroupConsumer, GroupMetadata, Log, Polled, TxnProducer, Waker};
use operators::{FailedAt, Task, TaskId, Topology};
use state_stores::StateDir;

use crate::backoff::Backoff;
use crate::calls::Calls;
use crate::catch_up::CatchUp;
use crate::commit::CommitStage;
use crate::drops::Drops;
use crate::error::WorkerError;
use crate::globals::GlobalReader;
use crate::guarantee::Failures;
use crate::level::Waits;
use crate::members::{Announcements, Announcer, Members};
use crate::observed::Observed;
use crate::pace::{NodeTotals, Pace, TaskPace};
use crate::purge::Purge;
use crate::queries::{Peers, Publisher, Queries, Render};
use crate::restore::{Restore, RestoringStatus};
use crate::restored::Restored;
use crate::settings::WorkerSettings;
use crate::standby::{StandbyStatus, Standbys};
use crate::topics::TopicPlan;
use crate::turn::Turn;
use crate::waiting::{CallsStatus, ParkingStatus};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more to do at once.
    Busy,
    /// Nothing to do before this time (milliseconds of the caller's clock), or
    /// before something arrives.
    IdleUntil(i64),
    /// Closed: all committed, group left.
    Stopped,
}

/// The clients of a started worker.
pub(crate) struct Clients {
    pub(crate) admin: Box<dyn Admin>,
    pub(crate) consumer: Box<dyn GroupConsumer>,
    pub(crate) producer: Box<dyn TxnProducer>,
    pub(crate) globals: GlobalReader,
    pub(crate) plan: TopicPlan,
}

/// A task with what the worker knows about its inputs.
pub(crate) struct Slot {
    pub(crate) id: TaskId,
    pub(crate) task: Task,
    pub(crate) inputs: Vec<TopicPartition>,
    pub(crate) changelogs: Vec<TopicPartition>,
    /// Next offset to read per input, as last committed (or at assignment).
    pub(crate) committed: Vec<i64>,
    pub(crate) paused: Vec<bool>,
    /// Ends of its inputs that it is to reach before it goes on.
    pub(crate) waits: Waits,
    /// Ends of global tables a held record waits for.
    pub(crate) held_for: Option<HeldFor>,
    /// Failures that were answered by an abort and a replay, and may come back.
    pub(crate) failed_once: Vec<FailedAt>,
    /// The failure that came back: the task stands still, its neighbours go on.
    pub(crate) stopped: Option<String>,
    pub(crate) pace: Pace,
    /// As told last.
    pub(crate) told: TaskPace,
}

/// Global tables that a held record needs, and the ends they must reach.
pub(crate) struct HeldFor {
    pub(crate) tables: Vec<usize>,
    pub(crate) ends: Vec<(TopicPartition, i64)>,
}

/// How a restored assignment is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeUp {
    /// Answer the pending assignment.
    Assign,
    /// The assignment stands; only move the read positions.
    Seek,
}

/// What follows a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Run,
    Revoke,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// No clients yet.
    Starting,
    /// Not in the group: follows the state of what it will have, until this time at the latest.
    WarmingUp(i64),
    /// Global tables are read before anything joins them.
    Bootstrap,
    Running,
    /// A new producer is needed before these tasks may be restored.
    Replacing(Vec<(TaskId, Vec<TopicPartition>)>),
    Restoring(Box<Restore>, TakeUp),
    /// Tasks stand where they should read; the consumer doesn't yet.
    TakingUp(TakeUp),
    Committing(CommitStage, Then),
    /// Left the group; waiting for the last revoke.
    Closed,
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WarmingUp(_) => "warming up",
            Self::Bootstrap => "reading global tables",
            Self::Running | Self::Committing(..) => "running",
            Self::Replacing(_) => "replacing its producer",
            Self::Restoring(..) | Self::TakingUp(_) => "restoring",
            Self::Closed => "closed",
        }
    }
}

/// See the module page.
pub struct Worker {
    pub(crate) topology: Topology,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) state_dir: Arc<StateDir>,
    pub(crate) settings: WorkerSettings,
    pub(crate) group: String,
    pub(crate) replication: i32,
    pub(crate) clients: Option<Clients>,
    pub(crate) phase: Phase,
    pub(crate) slots: Vec<Slot>,
    /// Slot and source number by topic, then partition.
    pub(crate) routes: HashMap<Arc<str>, Vec<Option<(usize, usize)>>>,
    pub(crate) membership: Option<GroupMetadata>,
    /// Tasks that aren't level yet, while the slots run.
    pub(crate) catching_up: Option<CatchUp>,
    /// An event that `wait` met; the next step handles it.
    pub(crate) pending: Option<Polled>,
    pub(crate) revoking: Option<(bool, Vec<TopicPartition>)>,
    /// A read position that the log doesn't have; judged by the next step that runs.
    pub(crate) out_of_range: Option<(TopicPartition, i64)>,
    /// Without transactions: something was sent since the last commit.
    pub(crate) in_transaction: bool,
    /// The broker refused a record of the last transaction: until the next
    /// commit each task's records are flushed alone, to learn whose it is.
    pub(crate) one_by_one: bool,
    /// Of tasks that are on their way through the log.
    pub(crate) failures: HashMap<TaskId, Failures>,
    pub(crate) dirty_since: Option<i64>,
    /// When the last commit began, and when its transaction was ended.
    pub(crate) commit_began: i64,
    pub(crate) commit_ending: i64,
    /// It was made because there was nothing else to do.
    pub(crate) drained: bool,
    /// The next commit doesn't begin before, unless it must; nor does the next transaction.
    pub(crate) commit_not_before: i64,
    pub(crate) settled_at: i64,
    pub(crate) fenced_at: Option<i64>,
    pub(crate) closing: bool,
    pub(crate) retry_at: i64,
    pub(crate) backoff: Backoff,
    pub(crate) purge: Purge,
    pub(crate) calls: Calls,
    pub(crate) publisher: Publisher,
    pub(crate) totals: NodeTotals,
    pub(crate) drops: Drops,
    pub(crate) observed: Observed,
    /// None where nobody is to know of this member, and before the start.
    pub(crate) announcer: Option<Announcer>,
    /// The way that the workers of the process share; none: each has its own.
    pub(crate) announcements: Option<Arc<Announcements>>,
    /// The life of the application in which it started.
    pub(crate) life: String,
    /// Since it joined the group, it has made sure that this life goes on.
    pub(crate) is_confirmed: bool,
    /// An assignment waits for state that another thread of the process has.
    pub(crate) held_up: bool,
    /// None where there are to be none.
    pub(crate) standbys: Option<Standbys>,
    /// Read from changelogs to bring tasks level.
    pub(crate) restored_rows: u64,
    pub(crate) restored: Restored,
    /// Tasks that took their state over from a standby here.
    pub(crate) takeovers: u64,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("application", &self.topology.application_id())
            .field("phase", &self.phase)
            .field("tasks", &self.slots.iter().map(|slot| slot.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that hasn't joined yet. `replication` is for internal topics.
    #[must_use]
    pub fn new(
        topology: Topology,
        log: Arc<dyn Log>,
        state_dir: Arc<StateDir>,
        settings: WorkerSettings,
        replication: i32,
    ) -> Self {
        let (purge, totals, drops) =
            (Purge::new(&topology), NodeTotals::new(&topology), Drops::new(&topology));
        let observed = Observed::new(topology.application_id());
        let group = group_of(&topology);
        let publisher = Publisher::default();
        let id = settings.transactional_id(topology.application_id());
        let backoff = Backoff::new(&id, settings.retry_min_ms, settings.retry_max_ms);
        let restored = Restored::new(topology.application_id());
        let standbys = Standbys::new(topology.application_id(), &settings, publisher.serving());
        Self {
            topology,
            log,
            state_dir,
            settings,
            group,
            replication,
            clients: None,
            phase: Phase::Starting,
            slots: Vec::new(),
            routes: HashMap::new(),
            membership: None,
            catching_up: None,
            pending: None,
            revoking: None,
            out_of_range: None,
            in_transaction: false,
            one_by_one: false,
            failures: HashMap::new(),
            dirty_since: None,
            commit_began: i64::MIN / 2,
            commit_ending: i64::MIN / 2,
            commit_not_before: i64::MIN,
            drained: false,
            settled_at: i64::MIN,
            fenced_at: None,
            closing: false,
            retry_at: i64::MIN,
            backoff,
            purge,
            calls: Calls::new(),
            publisher,
            totals,
            drops,
            observed,
            announcer: None,
            announcements: None,
            life: String::new(),
            is_confirmed: false,
            held_up: false,
            standbys,
            restored_rows: 0,
            restored,
            takeovers: 0,
        }
    }

    /// Does one bounded piece of work. `now` in milliseconds; may not go back.
    ///
    /// # Errors
    /// [`WorkerError`] when only a person can help. The worker is then dead;
    /// dropping it leaves everything uncommitted to its successor.
    pub fn step(&mut self, now: i64) -> Result<Progress, WorkerError> {
        if now < self.retry_at {
            return Ok(Progress::IdleUntil(self.retry_at));
        }
        self.stand(now);
        match &self.phase {
            Phase::Starting if self.closing => self.leave(now),
            Phase::Starting => {
                let started = self.start(now);
                self.or_again(started, now)
            }
            Phase::WarmingUp(_) | Phase::Bootstrap if self.closing => self.leave(now),
            Phase::WarmingUp(until) => {
                let until = *until;
                self.announce_again(now);
                let joined = self.warm_up(until, now);
                self.or_again(joined, now)
            }
            Phase::Bootstrap => self.bootstrap(now),
            Phase::Running if self.closing => self.wind_up(now),
            Phase::Running => {
                self.announce_again(now);
                self.run(now)
            }
            Phase::Replacing(_) | Phase::Restoring(..) | Phase::TakingUp(_) if self.closing => {
                self.leave_at_once(now)
            }
            Phase::Replacing(_) => self.replace(now),
            Phase::Restoring(..) => self.restore(now),
            Phase::TakingUp(how) => {
                let how = *how;
                self.take_positions(how, now)
            }
            Phase::Committing(stage, then) => {
                let (stage, then) = (*stage, *then);
                self.commit_step(stage, then, now)
            }
            Phase::Closed => Ok(Progress::Stopped),
        }
    }

    /// Waits until something arrives or `timeout` is over; the only wait of a
    /// worker, called by its thread between steps.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), WorkerError> {
        if self.pending.is_some() || !matches!(self.phase, Phase::Running) {
            std::thread::sleep(timeout.min(Duration::from_millis(5)));
            return Ok(());
        }
        if self.slots.iter().any(|slot| slot.held_for.is_some()) {
            return self.read_globals(timeout).map(|_level| ());
        }
        self.poll(timeout)
    }

    /// What asks the stores of this application, here and, with the help of `peers`, at its other members. Values are
    /// shown as `render` has them, for instance by [`render_plain`](crate::render_plain).
    #[must_use]
    pub fn queries(&self, peers: Arc<dyn Peers>, render: Arc<Render>) -> Queries {
        let stores = self.topology.stores().into_iter();
        Queries {
            stores: stores.map(|info| (Arc::clone(&info.spec.name), info)).collect(),
            topology: self.topology.clone(),
            state_dir: Arc::clone(&self.state_dir),
            serving: vec![self.publisher.serving()],
            instance: self.settings.instance.clone(),
            members: Members::new(Arc::clone(&self.log), self.topology.application_id()),
            silence_ms: self.settings.presence_ms(),
            log: Arc::clone(&self.log),
            offsets: Turn::default(),
            peers,
            render,
        }
    }

    /// Asks the worker to commit, leave the group and stop.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Ends a wait from another thread. None before the worker has started.
    #[must_use]
    pub fn waker(&self) -> Option<Waker> {
        self.clients.as_ref().map(|clients| clients.consumer.waker())
    }

    /// What the worker is doing, for people and for `/tasks`.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        WorkerStatus {
            application: self.topology.application_id().to_owned(),
            thread: self.settings.thread,
            phase: (if self.held_up { "waiting for state" } else { self.phase_name() }).into(),
            ready: matches!(self.phase, Phase::Running | Phase::Committing(..))
                && self.membership.is_some()
                && self.catching_up.is_none(),
            tasks: self.slots.iter().map(Slot::status).collect(),
            restoring: match (&self.phase, &self.catching_up) {
                (Phase::Restoring(restore, _), _) => restore.progress(),
                (_, Some(catching_up)) => catching_up.progress(),
                _ => Vec::new(),
            },
            standbys: self.standbys.as_ref().map(Standbys::status).unwrap_or_default(),
            restored_rows: self.restored_rows,
            takeovers: self.takeovers,
        }
    }

    /// Brings the rates in [`Self::status`] up to `now`, and says in the log what is to be said now and then.
    pub fn refresh(&mut self, now: i64) {
        self.drops.warn(now);
        for slot in &mut self.slots {
            slot.told = slot.pace.look(now);
        }
    }

    /// Its phase in words; `running` covers commits, `restoring` also that some tasks run already.
    pub(crate) fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Running | Phase::Committing(..) if self.catching_up.is_some() => "restoring",
            phase => phase.name(),
        }
    }

    /// Which phase of a commit the next step does, if it is one.
    #[must_use]
    pub fn commit_stage(&self) -> Option<CommitStage> {
        match &self.phase {
            Phase::Committing(stage, _) => Some(*stage),
            _ => None,
        }
    }

    /// True while anything processed is not committed yet.
    pub(crate) fn uncommitted(&self) -> bool {
        self.in_transaction || self.slots.iter().any(|slot| slot.task.uncommitted())
    }
}

/// The consumer group of an application.
pub(crate) fn group_of(topology: &Topology) -> String {
    format!("{}-group", topology.application_id())
}

/// The client id of a member, by which the group orders its members.
pub(crate) fn client_id(application: &str, instance: &str, thread: u32) -> String {
    format!("{thread:04}-{application}-{instance}")
}

/// What a worker is doing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct WorkerStatus {
    /// `application.id`.
    pub application: String,
    /// Number of its thread within the process.
    pub thread: u32,
    /// In words.
    pub phase: Cow<'static, str>,
    /// Has an assignment and all of its state.
    pub ready: bool,
    /// Its tasks.
    pub tasks: Vec<TaskStatus>,
    /// Tasks whose state is being brought level with the log.
    #[serde(default)]
    pub restoring: Vec<RestoringStatus>,
    /// Its copies of others' tasks.
    #[serde(default)]
    pub standbys: Vec<StandbyStatus>,
    /// Rows read from changelogs since its start to bring tasks level that it took up.
    #[serde(default)]
    pub restored_rows: u64,
    /// How many of them took their state over from a standby that was here.
    #[serde(default)]
    pub takeovers: u64,
}

/// What a task is doing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct TaskStatus {
    /// `<sub-topology>_<partition>`.
    pub id: String,
    /// Committed position per input.
    pub inputs: Vec<(String, i64)>,
    /// Why it stands still, with the record's coordinates.
    pub stopped: Option<String>,
    /// Calls that wait for their answers, by node.
    pub calls: Vec<CallsStatus>,
    /// Keys that wait to be let go, by parking.
    pub parked: Vec<ParkingStatus>,
    /// How much it does.
    #[serde(default)]
    pub pace: TaskPace,
    /// Memory of the records that wait in it.
    #[serde(default)]
    pub buffered_bytes: u64,
}

impl Slot {
    fn status(&self) -> TaskStatus {
        TaskStatus {
            id: format!("{}_{}", self.id.subtopology, self.id.partition),
            inputs: self
                .inputs
                .iter()
                .map(ToString::to_string)
                .zip(self.committed.iter().copied())
                .collect(),
            stopped: self.stopped.clone(),
            calls: self.task.waiting_calls().into_iter().map(Into::into).collect(),
            parked: self.task.waiting_keys().into_iter().map(Into::into).collect(),
            pace: self.told.clone(),
            buffered_bytes: (0..self.inputs.len())
                .map(|source| self.task.buffered_bytes(source) as u64)
                .sum(),
        }
    }
}
