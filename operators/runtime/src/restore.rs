//! Bringing the state of new tasks level with the log, in the order that
//! loses nothing (`ARCHITECTURE.md`, *Invariants*).
//!
//! Invariant: a task is handed out only when its committed state stands for
//! everything below T, the changelogs' ends *without isolation*, read after the
//! group's stable committed offsets were. A transaction of a former owner is
//! then either wholly in the state and the offsets, or in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log, Reader, Visibility};
use operators::{OffsetReset, TaskId};
use rayon::{ThreadPool, ThreadPoolBuilder};
use state_stores::{ChangelogRange, StoreError, StoreIndex, TaskState};

use crate::restore_rows::RestoreRows;
use crate::topics;

/// Rows that may be read in vain before there is another reader.
const SKIPPED_MAX: usize = 50_000;

/// A task whose state is being brought level.
#[derive(Debug)]
pub(crate) struct Restoring {
    pub(crate) id: TaskId,
    /// Source partitions with the offset to start reading at, once that is known.
    pub(crate) inputs: Vec<(TopicPartition, i64)>,
    /// It is: where nothing was committed, it stays what it was.
    pub(crate) is_placed: bool,
    /// Where these begin if nothing was committed.
    pub(crate) resets: Vec<OffsetReset>,
    pub(crate) changelogs: Vec<TopicPartition>,
    pub(crate) state: TaskState,
}

impl AsMut<TaskState> for Restoring {
    fn as_mut(&mut self) -> &mut TaskState {
        &mut self.state
    }
}

/// How far the state of a task is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RestoringStatus {
    /// `<sub-topology>_<partition>`.
    pub id: String,
    /// Offsets of its changelogs that were read.
    pub read: i64,
    /// Of so many; 0 until that is known.
    pub total: i64,
    /// How long the rest of all tasks restored together will take at the pace so far.
    pub remaining_ms: Option<i64>,
}

/// What can go wrong on the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

enum Stage {
    /// Committed offsets and ends not read yet.
    Offsets,
    /// Waiting until the last stable offset of every changelog reaches its end.
    Stable,
    /// Reading rows.
    Rows(Box<dyn Reader>),
    Done,
}

/// Restores a set of tasks together, with one reader.
pub(crate) struct Restore {
    tasks: Vec<Restoring>,
    ends: BTreeMap<TopicPartition, i64>,
    /// Of the changelogs' topics.
    ids: BTreeMap<Arc<str>, String>,
    /// Which store of which task a changelog partition feeds.
    targets: BTreeMap<TopicPartition, (usize, StoreIndex)>,
    /// Where reading a changelog partition began.
    starts: BTreeMap<TopicPartition, i64>,
    stage: Stage,
    delete_retention_ms: i64,
    /// What the last poll brought.
    batch: RestoreRows,
    /// None: the worker's own thread does it all.
    pool: Option<ThreadPool>,
    rows: u64,
    /// How many of them were told of.
    told: u64,
    began: Option<i64>,
    /// When reading began, and the last step.
    times: Option<(i64, i64)>,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore")
            .field("tasks", &self.tasks.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Restore {
    pub(crate) fn new(tasks: Vec<Restoring>, delete_retention_ms: i64, threads: usize) -> Self {
        let name = |number| format!("restore-{number}");
        let pool = || ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        Self {
            // A system without a thread to spare restores all the same.
            pool: (threads > 1 && tasks.len() > 1).then(pool).and_then(Result::ok),
            batch: RestoreRows::default(),
            tasks,
            ends: BTreeMap::new(),
            ids: BTreeMap::new(),
            targets: BTreeMap::new(),
            starts: BTreeMap::new(),
            stage: Stage::Offsets,
            delete_retention_ms,
            rows: 0,
            told: 0,
            began: None,
            times: None,
        }
    }

    /// Does one bounded piece of work; true when every task is level. `poll`: so many records at most, and how long to wait
    /// for the first.
    pub(crate) fn step(
        &mut self,
        log: &dyn Log,
        admin: &dyn Admin,
        group: &str,
        poll: (usize, Duration),
        now: i64,
    ) -> Result<bool, RestoreError> {
        self.began.get_or_insert(now);
        self.times = self.times.map(|(began, _)| (began, now));
        match &mut self.stage {
            Stage::Offsets => {
                self.read_offsets(admin, group)?;
                self.stage = Stage::Stable;
            }
            Stage::Stable => {
                if self.is_stable(admin)? {
                    self.stage = self.start_reading(log, admin, now)?;
                    self.times = Some((now, now));
                }
            }
            Stage::Rows(reader) => {
                self.rows += self.batch.read(reader.as_mut(), poll)? as u64;
                self.batch.hand_over(&mut self.tasks, self.pool.as_ref());
                if self
                    .ends
                    .iter()
                    .all(|(at, end)| !self.targets.contains_key(at) || reader.reached(at, *end))
                {
                    self.settle(&|_| true);
                    self.stage = Stage::Done;
                } else if self.batch.take_skipped(SKIPPED_MAX) {
                    self.stage = self.read_on(log)?;
                }
            }
            Stage::Done => {}
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    /// How far each task is.
    pub(crate) fn progress(&self) -> Vec<RestoringStatus> {
        let reader = match &self.stage {
            Stage::Rows(reader) => Some(reader),
            _ => None,
        };
        // Of one changelog partition: read, of how many.
        let of = |(at, start): (&TopicPartition, &i64)| {
            let end = self.ends.get(at).copied().unwrap_or(*start);
            let next = reader.and_then(|reader| reader.position(at)).unwrap_or(*start);
            (next.clamp(*start, end) - start, end - start)
        };
        let add = |(read, total): (i64, i64), (more, of): (i64, i64)| (read + more, total + of);
        let (read, total) = self.starts.iter().map(of).fold((0, 0), add);
        let elapsed = self.times.map_or(0, |(began, now)| now - began);
        let remaining_ms = (read > 0).then(|| elapsed.saturating_mul(total - read) / read);
        let task = |(number, task): (usize, &Restoring)| {
            let own = self
                .starts
                .iter()
                .filter(|(at, _)| self.targets.get(*at).is_some_and(|(owner, _)| *owner == number));
            let (read, total) = own.map(of).fold((0, 0), add);
            RestoringStatus { id: task.id.to_string(), read, total, remaining_ms }
        };
        self.tasks.iter().enumerate().map(task).collect()
    }

    /// Begins anew: offsets, ends and what the state already stands for.
    pub(crate) fn again(&mut self) {
        self.stage = Stage::Offsets;
        self.targets.clear();
        self.starts.clear();
    }

    /// Rows that were read since this was asked last.
    pub(crate) fn fresh_rows(&mut self) -> u64 {
        self.rows - std::mem::replace(&mut self.told, self.rows)
    }

    /// Since the first step.
    pub(crate) fn took_ms(&self, now: i64) -> i64 {
        now - self.began.unwrap_or(now)
    }

    /// True without tasks.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Its tasks.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.iter().map(|task| task.id)
    }

    /// Inputs of its tasks, and where to begin to read them.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicPartition, i64)> + '_ {
        self.tasks.iter().flat_map(|task| task.inputs.iter().cloned())
    }

    /// Those of these tasks.
    pub(crate) fn positions_of<'r>(
        &'r self,
        ids: &'r BTreeSet<TaskId>,
    ) -> impl Iterator<Item = (TopicPartition, i64)> + 'r {
        let tasks = self.tasks.iter().filter(move |task| ids.contains(&task.id));
        tasks.flat_map(|task| task.inputs.iter().cloned())
    }

    /// True while it reads rows: what each task lacks is known.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Rows(_))
    }

    /// True before that, while it asks the log for offsets.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Offsets | Stage::Stable)
    }

    /// Tasks that lack nothing any more.
    pub(crate) fn level(&self) -> BTreeSet<TaskId> {
        let behind: BTreeSet<usize> = match &self.stage {
            Stage::Offsets | Stage::Stable => return BTreeSet::new(),
            Stage::Done => BTreeSet::new(),
            Stage::Rows(reader) => {
                let lacks = |at: &TopicPartition| {
                    self.ends.get(at).is_some_and(|end| !reader.reached(at, *end))
                };
                let targets = self.targets.iter().filter(|(at, _)| lacks(at));
                targets.map(|(_, (task, _))| *task).collect()
            }
        };
        let tasks = self.tasks.iter().enumerate();
        tasks.filter(|(number, _)| !behind.contains(number)).map(|(_, task)| task.id).collect()
    }

    /// Hands out tasks that are [level](Self::level).
    pub(crate) fn take_level(&mut self, level: &BTreeSet<TaskId>) -> Vec<Restoring> {
        self.settle(&|task| level.contains(&task.id));
        self.remove(&|task| level.contains(&task.id))
    }

    /// Lets go of tasks as they are.
    pub(crate) fn drop_those(&mut self, which: &dyn Fn(&Restoring) -> bool) {
        drop(self.remove(which));
    }

    fn remove(&mut self, which: &dyn Fn(&Restoring) -> bool) -> Vec<Restoring> {
        let (mut places, mut taken, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for task in std::mem::take(&mut self.tasks) {
            let stays = !which(&task);
            places.push(stays.then_some(left.len()));
            if stays { left.push(task) } else { taken.push(task) }
        }
        self.tasks = left;
        let place = |task: usize| places.get(task).copied().flatten();
        self.targets.retain(|_, (task, _)| place(*task).is_some());
        for (task, _) in self.targets.values_mut() {
            *task = place(*task).unwrap_or(*task);
        }
        self.starts.retain(|at, _| self.targets.contains_key(at));
        for at in taken.iter().flat_map(|task: &Restoring| &task.changelogs) {
            self.ends.remove(at);
        }
        self.batch = RestoreRows::new(&self.targets);
        taken
    }

    /// A reader of what is still lacking, from where its stores are, in place of one that reads in vain what tasks write
    /// that were handed out. A new one: what the old one has fetched is of other positions.
    fn read_on(&self, log: &dyn Log) -> Result<Stage, LogError> {
        let next = |(at, start): (&TopicPartition, &i64)| {
            let (task, store) = self.targets.get(at)?;
            let next = self.tasks.get(*task)?.state.changelog_position(*store);
            Some((at.clone(), next.unwrap_or(*start)))
        };
        let positions: Vec<_> = self.starts.iter().filter_map(next).collect();
        let mut reader = log.reader("restore", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&positions)?;
        Ok(Stage::Rows(reader))
    }

    /// How many rows were read.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The tasks, as far as they are.
    pub(crate) fn finish(self) -> Vec<Restoring> {
        self.tasks
    }

    fn read_offsets(&mut self, admin: &dyn Admin, group: &str) -> Result<(), LogError> {
        for task in &mut self.tasks {
            let partitions: Vec<TopicPartition> =
                task.inputs.iter().map(|(at, _)| at.clone()).collect();
            let committed = admin.committed_offsets(group, &partitions)?;
            let starts = admin.start_offsets(&partitions)?;
            let firsts = first_offsets(admin, &partitions, &task.resets, &starts)?;
            let begin = committed.into_iter().zip(firsts).zip(starts);
            for (input, ((committed, first), start)) in task.inputs.iter_mut().zip(begin) {
                if let Some(lost) = committed.and_then(|next| gone(next, start)) {
                    let at = &input.0;
                    tracing::error!(task = %task.id, %at, committed, start, lost, "records were deleted that the application hadn't processed; it goes on behind them: keep them for longer, or make room");
                    metrics::counter!("stream_records_lost_total", "topic" => at.topic.to_string())
                        .increment(lost);
                }
                let first = if task.is_placed { input.1 } else { first };
                input.1 = committed.unwrap_or(first).max(start);
            }
            task.is_placed = true;
        }
        let changelogs: Vec<TopicPartition> =
            self.tasks.iter().flat_map(|task| task.changelogs.clone()).collect();
        // Before the ends: a topic's end is never taken for that of one which was made anew under its name.
        self.ids = topics::ids(admin, &changelogs)?;
        let ends = admin.end_offsets(&changelogs, Isolation::ReadUncommitted)?;
        self.ends = changelogs.into_iter().zip(ends).collect();
        Ok(())
    }

    fn is_stable(&self, admin: &dyn Admin) -> Result<bool, LogError> {
        let partitions: Vec<TopicPartition> = self.ends.keys().cloned().collect();
        let stable = admin.end_offsets(&partitions, Isolation::ReadCommitted)?;
        Ok(self.ends.values().zip(stable).all(|(end, stable)| stable >= *end))
    }

    fn start_reading(
        &mut self,
        log: &dyn Log,
        admin: &dyn Admin,
        now: i64,
    ) -> Result<Stage, RestoreError> {
        let mut positions = Vec::new();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let starts = admin.start_offsets(&task.changelogs)?;
            for (store, (at, start)) in task.changelogs.iter().zip(starts).enumerate() {
                let store = StoreIndex(store);
                let end = self.ends.get(at).copied().unwrap_or(start);
                let id = self.ids.get(&at.topic).map(String::as_str);
                let changelog = ChangelogRange {
                    id,
                    start,
                    end,
                    delete_retention_ms: Some(self.delete_retention_ms),
                };
                if let Some(why) = task.state.needs_rebuild(store, &changelog, now) {
                    tracing::warn!(task = %task.id, changelog = %at, %why, "rebuilding a store from its changelog");
                    task.state.rebuild(store)?;
                }
                if let Some(id) = id {
                    task.state.set_changelog_id(store, id);
                }
                let from = task.state.changelog_position(store).unwrap_or(start);
                if from < end {
                    positions.push((at.clone(), from));
                    self.starts.insert(at.clone(), from);
                    self.targets.insert(at.clone(), (number, store));
                }
            }
        }
        if positions.is_empty() {
            self.settle(&|_| true);
            return Ok(Stage::Done);
        }
        let mut reader = log.reader("restore", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&positions)?;
        self.batch = RestoreRows::new(&self.targets);
        Ok(Stage::Rows(reader))
    }

    /// Every store of these tasks now stands for its changelog's end.
    fn settle(&mut self, which: &dyn Fn(&Restoring) -> bool) {
        for task in self.tasks.iter_mut().filter(|task| which(task)) {
            for (store, at) in task.changelogs.iter().enumerate() {
                if let Some(end) = self.ends.get(at) {
                    task.state.restore(StoreIndex(store), std::iter::empty(), *end);
                }
            }
        }
    }
}

/// How many offsets retention took before they were processed. Our own purge stays below what is committed.
fn gone(committed: i64, start: i64) -> Option<u64> {
    u64::try_from(start - committed).ok().filter(|lost| *lost > 0)
}

/// Where partitions begin of which nothing was committed.
fn first_offsets(
    admin: &dyn Admin,
    partitions: &[TopicPartition],
    resets: &[OffsetReset],
    starts: &[i64],
) -> Result<Vec<i64>, LogError> {
    if !resets.contains(&OffsetReset::Latest) {
        return Ok(starts.to_vec());
    }
    let ends = admin.end_offsets(partitions, Isolation::ReadCommitted)?;
    let first = |((start, end), reset): ((&i64, i64), &OffsetReset)| match reset {
        OffsetReset::Earliest => *start,
        OffsetReset::Latest => end,
    };
    Ok(starts.iter().zip(ends).zip(resets).map(first).collect())
}
