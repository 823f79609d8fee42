//! Warm before it takes over (A03; the idea of KIP-441): a member that comes to others joins the group only when it has
//! copies of the tasks that `range` will give it, level but for [`WorkerSettings::acceptable_recovery_lag`].
//!
//! With `range` there is no way to leave a task where it is once the new member has joined, so it stays outside until its
//! state is there: it stands with the others as one that warms up, works out what will be dealt to it among them, and
//! follows the changelogs of that as standbys. Whoever has the tasks works on meanwhile, and keeps what it gives up as its
//! standby. Waits for nobody else: where nobody who is there has a task, or the task was its own, it is not waited for.
//!
//! Invariant: nobody waits for ever: no longer than [`WorkerSettings::warmup_max_ms`], nor when those it would wait for
//! are gone.
//!
//! [`WorkerSettings::acceptable_recovery_lag`]: crate::WorkerSettings::acceptable_recovery_lag
//! [`WorkerSettings::warmup_max_ms`]: crate::WorkerSettings::warmup_max_ms

use std::collections::BTreeSet;

use operators::TaskId;

use super::placement::dealt_to;
use super::{Around, Standbys};
use crate::error::WorkerError;
use crate::restore::RestoreError;
use crate::worker::{Phase, Progress, Worker};

/// How far a warm-up is.
#[derive(Debug)]
pub(super) struct WarmUp {
    /// There is a members' topic.
    is_known: bool,
    /// When the next look was due at the last judgement: there is nothing new before it.
    judged: Option<i64>,
    /// Tasks whose state another thread of the process has.
    pub(super) elsewhere: BTreeSet<TaskId>,
    lag_max: u64,
}

impl WarmUp {
    pub(super) fn new(lag_max: u64) -> Self {
        Self { is_known: false, judged: None, elsewhere: BTreeSet::new(), lag_max }
    }
}

impl Standbys {
    /// True once this member need not wait any longer before it joins.
    fn is_warm(&mut self, around: &Around<'_>, now: i64) -> Result<bool, RestoreError> {
        let has_reached_aim = self.has_reached_aim();
        let Some(warm_up) = &mut self.warm_up else { return Ok(true) };
        if !warm_up.is_known && around.admin.describe(&[&self.members.topic])? == [None] {
            // Nobody was ever there.
            return Ok(true);
        }
        warm_up.is_known = true;
        if self.heard_ms.is_none() {
            if has_reached_aim {
                self.look_at = now;
            }
            return Ok(false);
        }
        if warm_up.judged.replace(self.look_at) == Some(self.look_at) {
            return Ok(false);
        }
        let to_come = self.to_come(around);
        let Some(warm_up) = &self.warm_up else { return Ok(true) };
        let is_level = |id: &TaskId| {
            let lag = self.copies.get(id).and_then(|copy| copy.lag);
            lag.is_some_and(|lag| lag <= warm_up.lag_max) || warm_up.elsewhere.contains(id)
        };
        Ok(to_come.iter().all(is_level))
    }

    /// Tasks of others who are there that will be this member's when all who are there have joined.
    pub(super) fn to_come(&self, around: &Around<'_>) -> BTreeSet<TaskId> {
        let there: BTreeSet<&str> =
            self.present().map(|standing| standing.instance.as_str()).collect();
        let mut all = self.places_of(around, true);
        if !all.contains(&self.me) {
            all.push(self.me.clone());
            all.sort();
        }
        let owners = self.roll.owners();
        let is_others = |id: &TaskId| {
            owners.get(id.to_string().as_str()).is_some_and(|owner| {
                owner.instance != self.me.instance && there.contains(owner.instance.as_str())
            })
        };
        let all = all.as_slice();
        let parts = around.topology.subtopologies().iter().filter(|part| !part.stores.is_empty());
        parts
            .flat_map(|part| {
                let count = around.tasks.get(&part.id).copied().unwrap_or(0);
                let mine = move |at: &u32| dealt_to(*at, count, all) == Some(&self.me);
                let ids = (0..count).filter(mine);
                ids.map(|partition| TaskId { subtopology: part.id, partition })
            })
            .filter(is_others)
            .collect()
    }

    /// The copies become ordinary standbys, but for the tasks that have taken their state.
    pub(crate) fn end_warm_up(&mut self) {
        if self.warm_up.take().is_some() {
            // The others may give it standbys from now on.
            self.stand_at = i64::MIN;
        }
    }
}

impl Worker {
    /// Outside the group: follows what is to come, and joins when that is warm, or at `until` at the latest.
    pub(crate) fn warm_up(&mut self, until: i64, now: i64) -> Result<Progress, WorkerError> {
        if now < until {
            self.look_round(now)?;
            let more = self.follow(true, now)?;
            if !self.is_warm(now)? {
                return Ok(if more { Progress::Busy } else { Progress::IdleUntil(now + 1) });
            }
        }
        self.join()
    }

    fn is_warm(&mut self, now: i64) -> Result<bool, WorkerError> {
        let Some((standbys, around)) = self.standbys_and_around() else { return Ok(true) };
        match standbys.is_warm(&around, now) {
            Ok(is_warm) => Ok(is_warm),
            Err(RestoreError::Store(error)) => Err(self.state_failed(error)),
            // It is looked at again.
            Err(RestoreError::Log(_)) => Ok(false),
        }
    }

    /// The phase before joining.
    pub(crate) fn before_joining(&self, now: i64) -> Phase {
        let ms = if self.standbys.is_some() { self.settings.warmup_max_ms } else { 0 };
        Phase::WarmingUp(now.saturating_add(ms))
    }
}
