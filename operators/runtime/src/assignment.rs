//! Joining, taking up and giving up partitions.
//!
//! Invariant: no record is processed between an assignment's arrival and its
//! acknowledgement, none is carried over a revoke, and a task whose source
//! partitions are not all present doesn't start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{GroupOptions, Polled};
use operators::{Globals, Task, TaskId};
use state_stores::StoreError;

use crate::catch_up::CatchUp;
use crate::commit::CommitStage;
use crate::error::WorkerError;
use crate::globals::GlobalReader;
use crate::guarantee::Failures;
use crate::level::Waits;
use crate::pace::{Pace, TaskPace};
use crate::restore::{Restore, RestoreError, Restoring};
use crate::standby::Standbys;
use crate::tasks::names;
use crate::topics;
use crate::worker::{Clients, Phase, Progress, Slot, TakeUp, Then, Worker, client_id};

impl Worker {
    pub(crate) fn start(&mut self, now: i64) -> Result<Progress, WorkerError> {
        self.check_handlers()?;
        let application = self.topology.application_id().to_owned();
        let admin = self.log.admin().map_err(|e| self.log_failed(e))?;
        let plan = topics::plan(&self.topology, admin.as_ref(), self.replication)?;
        let agreed = self.agree(admin.as_ref(), &plan.partitions)?;
        plan.create(admin.as_ref(), self.settings.delete_retention_ms)
            .map_err(|e| self.log_failed(e))?;
        let transactional_id = self.settings.transactional_id(&application);
        let client_id = client_id(&application, &self.settings.instance, self.settings.thread);
        let mut producer = self.open_producer().map_err(|e| self.log_failed(e))?;
        self.keep(&agreed, producer.as_mut(), now)?;
        self.life = agreed.life;
        self.announcer = self.announcer();
        let consumer = self
            .log
            .group_consumer(&GroupOptions {
                group: self.group.clone(),
                client_id,
                session_timeout: self.settings.session_timeout,
                max_poll_interval: self.settings.max_poll_interval,
                instance_id: self.settings.static_member(),
            })
            .map_err(|e| self.log_failed(e))?;
        let globals =
            GlobalReader::open(&self.topology, self.log.as_ref(), admin.as_ref(), &plan.partitions)
                .map_err(|e| self.log_failed(e))?;
        self.publisher.started(&plan.tasks);
        self.clients = Some(Clients { admin, consumer, producer, globals, plan });
        tracing::info!(application, transactional_id, "worker started");
        self.phase = self.before_joining(now);
        Ok(Progress::Busy)
    }

    /// Joins the group.
    pub(crate) fn join(&mut self) -> Result<Progress, WorkerError> {
        let parts = self.topology.subtopologies().iter();
        let sources: BTreeSet<&str> =
            parts.flat_map(|part| part.sources.iter().map(AsRef::as_ref)).collect();
        if let Some(clients) = &mut self.clients {
            let joined = clients.consumer.subscribe(&sources.into_iter().collect::<Vec<_>>());
            joined.map_err(|e| self.log_failed(e))?;
        }
        self.phase = Phase::Bootstrap;
        Ok(Progress::Busy)
    }

    pub(crate) fn bootstrap(&mut self, now: i64) -> Result<Progress, WorkerError> {
        if self.read_globals(Duration::ZERO)? {
            self.phase = Phase::Running;
            return Ok(Progress::Busy);
        }
        Ok(Progress::IdleUntil(now + 1))
    }

    /// Takes what there is for the global tables; true once they hold what they held at
    /// the start.
    pub(crate) fn read_globals(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        let Some(clients) = &mut self.clients else { return Ok(false) };
        match clients.globals.step(wait, self.settings.poll_records_max) {
            Ok(level) => Ok(level),
            Err(LogError::Retriable(reason)) => {
                let application = self.topology.application_id();
                tracing::warn!(application, reason, "reading global tables failed; trying again");
                Ok(false)
            }
            Err(error) => Err(self.log_failed(error)),
        }
    }

    /// Handles an assignment event.
    pub(crate) fn assignment_event(
        &mut self,
        event: Polled,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        match event {
            Polled::Records(_) => {}
            Polled::Revoke { lost, partitions } => self.begin_revoke(lost, partitions)?,
            Polled::Assign(partitions) => {
                match self.confirm() {
                    Ok(true) => {}
                    Ok(false) => {
                        let application = self.topology.application_id().to_owned();
                        return Err(WorkerError::InReset { application });
                    }
                    Err(error) => {
                        self.pending = Some(Polled::Assign(partitions));
                        return self.log_trouble(error, now);
                    }
                }
                let is_begun = self.begin_assign(&partitions)?;
                if !is_begun && !self.held_up {
                    let application = self.topology.application_id();
                    tracing::warn!(
                        application,
                        "an assignment waits: another thread of this process hasn't let go of a task's state yet"
                    );
                }
                self.held_up = !is_begun;
                if !is_begun {
                    self.pending = Some(Polled::Assign(partitions));
                    return Ok(Progress::IdleUntil(now + 1));
                }
            }
        }
        Ok(Progress::Busy)
    }

    /// False: the application was reset, or a reset was announced, after this worker had looked and before it joined, or
    /// while it was out of the group.
    fn confirm(&mut self) -> Result<bool, LogError> {
        if !self.is_confirmed
            && let Some(clients) = &self.clients
        {
            self.is_confirmed = !self.is_reset(clients.admin.as_ref())?;
        }
        Ok(self.is_confirmed)
    }

    /// False: another thread of this process hasn't let go of a task yet. It was put out of the group and will hear of it.
    fn begin_assign(&mut self, partitions: &[TopicPartition]) -> Result<bool, WorkerError> {
        let owned: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let tasks = self.tasks_of(&owned);
        let mut kept = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            if tasks.contains_key(&slot.id) {
                kept.push(slot);
            }
        }
        let present: BTreeSet<TaskId> = kept.iter().map(|slot| slot.id).collect();
        self.slots = kept;
        self.publisher.tell(&self.slots, false);
        let mut under_way = self.catching_up.take().map(CatchUp::into_restore).map(Restore::finish);
        let mut restoring = Vec::new();
        for (id, inputs) in tasks.into_iter().filter(|(id, _)| !present.contains(id)) {
            let held = under_way.iter_mut().flatten().position(|task| task.id == id);
            if let (Some(under_way), Some(held)) = (&mut under_way, held) {
                restoring.push(under_way.swap_remove(held));
                continue;
            }
            let Some(task) = self.restoring(id, inputs)? else { return Ok(false) };
            restoring.push(task);
        }
        tracing::info!(
            application = self.topology.application_id(),
            new = %names(restoring.iter().map(|task| task.id)),
            kept = %names(self.slots.iter().map(|slot| slot.id)),
            "partitions assigned"
        );
        self.phase = self.restoring_phase(restoring, TakeUp::Assign);
        Ok(true)
    }

    pub(crate) fn restoring_phase(&self, tasks: Vec<Restoring>, take_up: TakeUp) -> Phase {
        let (retention_ms, threads) =
            (self.settings.delete_retention_ms, self.settings.restore_threads);
        Phase::Restoring(Box::new(Restore::new(tasks, retention_ms, threads)), take_up)
    }

    /// Tasks whose source partitions are all ours.
    fn tasks_of(&self, owned: &BTreeSet<&TopicPartition>) -> BTreeMap<TaskId, Vec<TopicPartition>> {
        let mut tasks = BTreeMap::new();
        let Some(clients) = &self.clients else { return tasks };
        for part in self.topology.subtopologies() {
            let count = clients.plan.tasks.get(&part.id).copied().unwrap_or(0);
            for partition in 0..count {
                let inputs: Vec<TopicPartition> = part
                    .sources
                    .iter()
                    .map(|topic| TopicPartition::new(topic.clone(), partition))
                    .collect();
                let present = inputs.iter().filter(|at| owned.contains(at)).count();
                if present == inputs.len() && present > 0 {
                    tasks.insert(TaskId { subtopology: part.id, partition }, inputs);
                } else if present > 0 {
                    tracing::warn!(
                        application = self.topology.application_id(),
                        subtopology = part.id,
                        partition,
                        "only {present} of {} source partitions are assigned: the task waits for the next assignment",
                        inputs.len()
                    );
                }
            }
        }
        tasks
    }

    /// `None` while another thread of this process has the task's state. A standby gives it up.
    pub(crate) fn restoring(
        &mut self,
        id: TaskId,
        inputs: Vec<TopicPartition>,
    ) -> Result<Option<Restoring>, WorkerError> {
        let stores = self
            .topology
            .subtopologies()
            .iter()
            .find(|part| part.id == id.subtopology)
            .map(|part| part.stores.as_slice())
            .unwrap_or_default();
        let state = match self.state_dir.task_state(id.partition, stores) {
            Ok(state) => state,
            Err(StoreError::InUse { .. }) => return Ok(None),
            Err(error) => return Err(self.state_failed(error)),
        };
        let changelogs: Vec<_> = stores
            .iter()
            .map(|store| TopicPartition::new(store.changelog_topic.clone(), id.partition))
            .collect();
        // It has lost the state to the task by now: what is in memory stays there.
        if self.standbys.as_mut().is_some_and(|standbys| standbys.give_up(id)) {
            self.count_takeover();
        }
        Ok(Some(Restoring {
            id,
            resets: inputs.iter().map(|at| self.topology.offset_reset(&at.topic)).collect(),
            inputs: inputs.into_iter().map(|at| (at, 0)).collect(),
            is_placed: false,
            changelogs,
            state,
        }))
    }

    pub(crate) fn restore(&mut self, now: i64) -> Result<Progress, WorkerError> {
        let Phase::Restoring(restore, take_up) = &mut self.phase else { return Ok(Progress::Busy) };
        let take_up = *take_up;
        let Some(clients) = &mut self.clients else { return Ok(Progress::Busy) };
        let poll = (self.settings.poll_records_max, Duration::ZERO);
        let admin = clients.admin.as_ref();
        match restore.step(self.log.as_ref(), admin, &self.group, poll, now) {
            Ok(true) => {}
            Ok(false) if restore.is_reading() => return self.take_up_level(now),
            Ok(false) => return self.hear_group(Progress::IdleUntil(now + 1), now),
            Err(RestoreError::Log(error @ LogError::OffsetOutOfRange { .. })) => {
                // Retention has cut the changelog after its start was read.
                restore.again();
                tracing::warn!(application = self.topology.application_id(), %error, "restoring anew");
                return Ok(Progress::Busy);
            }
            Err(RestoreError::Log(error)) => {
                let again = self.log_trouble(error, now)?;
                return self.hear_group(again, now);
            }
            Err(RestoreError::Store(error)) => return Err(self.state_failed(error)),
        }
        let Phase::Restoring(restore, _) = std::mem::replace(&mut self.phase, Phase::Running)
        else {
            return Ok(Progress::Busy);
        };
        self.take_up(*restore, take_up, now)
    }

    /// Membership goes on while state is restored, also while that fails; records are not ours to take yet.
    fn hear_group(&mut self, otherwise: Progress, now: i64) -> Result<Progress, WorkerError> {
        let Some(clients) = &mut self.clients else { return Ok(otherwise) };
        match clients.consumer.poll(Duration::ZERO, 1, &mut |_| {}) {
            Ok(Polled::Records(_)) => {
                // A changelog may be larger than the memory it passes through.
                self.write_back(now)?;
                Ok(otherwise)
            }
            Ok(event) => self.assignment_event(event, now),
            Err(LogError::OffsetOutOfRange { at, position }) => {
                self.out_of_range = Some((at, position));
                Ok(Progress::Busy)
            }
            Err(error @ LogError::Retriable(_)) => self.log_trouble(error, now),
            // Said once: whoever goes on takes up what is another's by now.
            Err(error) => Err(self.log_failed(error)),
        }
    }

    /// Moves the consumer to where the tasks read on. Repeated until it has
    /// moved: records from anywhere else would be skipped or doubled.
    pub(crate) fn take_positions(
        &mut self,
        how: TakeUp,
        now: i64,
    ) -> Result<Progress, WorkerError> {
        let mut positions: Vec<(TopicPartition, i64)> = self
            .slots
            .iter()
            .flat_map(|slot| {
                let next = slot.task.positions().iter().zip(&slot.committed);
                let next = next.map(|(at, committed)| at.unwrap_or(*committed));
                slot.inputs.iter().cloned().zip(next)
            })
            .collect();
        if how == TakeUp::Assign {
            positions.extend(self.catching_up.iter().flat_map(CatchUp::positions));
        }
        let Some(clients) = &mut self.clients else { return Ok(Progress::Busy) };
        let taken = match how {
            TakeUp::Assign => clients
                .consumer
                .ack_assign(&positions)
                .map(|membership| self.membership = Some(membership)),
            TakeUp::Seek if positions.is_empty() => Ok(()),
            TakeUp::Seek => clients.consumer.seek(&positions),
        };
        match taken {
            Ok(()) => {
                if how == TakeUp::Seek {
                    // It was a position of before.
                    self.out_of_range = None;
                }
                self.phase = Phase::Running;
                self.publisher.tell(&self.slots, self.membership.is_some());
                if how == TakeUp::Assign {
                    self.backoff.succeeded();
                    self.announce(now);
                    self.standbys.iter_mut().for_each(Standbys::end_warm_up);
                }
                // Whatever was paused isn't any more.
                self.slots.iter_mut().for_each(|slot| slot.paused.fill(false));
                self.pause_catching_up()?;
                Ok(Progress::Busy)
            }
            // The group has gone on without this member: its next event says how.
            Err(error @ (LogError::Abort(_) | LogError::Unknown(_))) => {
                self.phase = Phase::Running;
                self.log_trouble(error, now)
            }
            // What can't be read any more may be somebody else's by now, which the next event says. What this poll
            // throws away is read again after the seek.
            Err(error @ LogError::Retriable(_)) if how == TakeUp::Seek => {
                match clients.consumer.poll(Duration::ZERO, 1, &mut |_| {}) {
                    Ok(event @ (Polled::Revoke { .. } | Polled::Assign(_))) => {
                        self.assignment_event(event, now)
                    }
                    Ok(Polled::Records(_))
                    | Err(LogError::Retriable(_) | LogError::OffsetOutOfRange { .. }) => {
                        self.log_trouble(error, now)
                    }
                    Err(told) => Err(self.log_failed(told)),
                }
            }
            Err(error @ LogError::Fenced(_)) => Err(self.log_failed(error)),
            Err(error) => self.log_trouble(error, now),
        }
    }

    /// The tables every task may look into; none without clients.
    pub(crate) fn globals(&self) -> Arc<Globals> {
        match &self.clients {
            Some(clients) => clients.globals.globals().clone(),
            None => Arc::new(Globals::new(&self.topology)),
        }
    }

    /// Tells a new task how many partitions its topics have.
    pub(crate) fn set_partitions(&self, task: &mut Task) {
        if let Some(clients) = &self.clients {
            task.set_partitions(&|topic| clients.plan.partitions.get(topic).copied());
        }
    }

    pub(crate) fn slot(&mut self, restored: Restoring) -> Slot {
        let globals = self.globals();
        let mut task = self.topology.task(restored.id, restored.state, globals);
        self.set_partitions(&mut task);
        task.resume_calls(self.calls.of(restored.id));
        for (source, (_, offset)) in restored.inputs.iter().enumerate() {
            task.set_position(source, *offset);
        }
        let (inputs, committed): (Vec<_>, Vec<_>) = restored.inputs.into_iter().unzip();
        let (pace, told) = (Pace::new(&self.topology, restored.id), TaskPace::default());
        let Failures { failed_once, stopped } =
            self.failures.remove(&restored.id).unwrap_or_default();
        Slot {
            pace,
            told,
            id: restored.id,
            task,
            paused: vec![false; inputs.len()],
            inputs,
            changelogs: restored.changelogs,
            committed,
            waits: Waits::default(),
            held_for: None,
            failed_once,
            stopped,
        }
    }

    /// Rebuilds the way from partitions to tasks.
    pub(crate) fn route(&mut self) {
        self.routes.clear();
        for (number, slot) in self.slots.iter().enumerate() {
            for (source, at) in slot.inputs.iter().enumerate() {
                let partitions = self.routes.entry(at.topic.clone()).or_default();
                let index = at.partition as usize;
                if partitions.len() <= index {
                    partitions.resize(index + 1, None);
                }
                if let Some(route) = partitions.get_mut(index) {
                    *route = Some((number, source));
                }
            }
        }
    }

    fn begin_revoke(
        &mut self,
        lost: bool,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), WorkerError> {
        self.revoking = Some((lost, partitions));
        if lost {
            self.is_confirmed = false;
            self.abandon();
            return self.finish_revoke();
        }
        if self.uncommitted() && matches!(self.phase, Phase::Running) {
            self.phase = Phase::Committing(CommitStage::Stage, Then::Revoke);
            return Ok(());
        }
        self.finish_revoke()
    }

    /// Drops the revoked tasks and answers the log.
    pub(crate) fn finish_revoke(&mut self) -> Result<(), WorkerError> {
        let Some((_, partitions)) = self.revoking.take() else { return Ok(()) };
        let gone: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        // Whoever gets them tries them anew.
        self.failures.clear();
        self.slots.retain(|slot| !slot.inputs.iter().any(|at| gone.contains(at)));
        self.catch_up_without(&gone);
        self.publisher.tell(&self.slots, false);
        self.route();
        self.out_of_range = None;
        self.phase = match std::mem::replace(&mut self.phase, Phase::Running) {
            _ if self.closing => Phase::Closed,
            Phase::Replacing(mut left) => {
                left.retain(|(_, inputs)| !inputs.iter().any(|at| gone.contains(at)));
                Phase::Replacing(left)
            }
            Phase::Restoring(restore, TakeUp::Seek) => {
                let mut left = restore.finish();
                left.retain(|task| !task.inputs.iter().any(|(at, _)| gone.contains(at)));
                self.restoring_phase(left, TakeUp::Seek)
            }
            Phase::TakingUp(TakeUp::Seek) => Phase::TakingUp(TakeUp::Seek),
            _ => Phase::Running,
        };
        // KIP-848 takes partitions one by one: with what is left this is still a member.
        let left = match &self.phase {
            Phase::Replacing(tasks) => !tasks.is_empty(),
            Phase::Restoring(restore, _) => !restore.is_empty(),
            _ => false,
        };
        if self.slots.is_empty() && !left && self.catching_up.is_none() {
            self.membership = None;
        }
        match &mut self.clients {
            Some(clients) => clients.consumer.ack_revoke().map_err(|e| self.log_failed(e)),
            None => Ok(()),
        }
    }
}
