//! What a worker serves: its tasks with their committed positions, told by the worker, read by queries.
//!
//! Invariants: a task is here only while its member owns it and its state is level with the log; it is gone before the
//! revoke is answered, so before another member can have it. Positions are told after the rows they stand for, so rows
//! that are read after a position cover it. A standby is here from when it was level first to when it isn't this worker's
//! any more, or its task is served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::record::TopicPartition;
use operators::TaskId;

use crate::worker::Slot;

/// Shared between a worker and those who query its stores.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    state: Mutex<State>,
    changed: Condvar,
    /// A query waits for the standbys to move on.
    is_awaited: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Tasks of each sub-topology; empty until the worker has started.
    tasks: BTreeMap<u32, u32>,
    served: BTreeMap<TaskId, Served>,
    taken_up: u64,
    kept: BTreeMap<TaskId, Kept>,
}

/// A standby that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Differs each time it is opened.
    pub(crate) term: u64,
    /// Next offsets of its changelogs when it said so, in the order of the task's stores.
    pub(crate) positions: Vec<i64>,
    /// Where the committed parts of its changelogs ended at the last look, in the order of the task's stores.
    pub(crate) ends: Vec<i64>,
    /// It holds at least what could be read then, by the worker's clock.
    pub(crate) as_of_ms: i64,
    /// The worker's clock when it said so, and the machine's.
    pub(crate) told: (i64, Instant),
}

/// A pause of who waits for what nobody tells.
const PAUSE: Duration = Duration::from_millis(20);

/// A task that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Differs each time the task is taken up.
    pub(crate) term: u64,
    /// With the next offset to read, as last committed.
    pub(crate) inputs: Vec<(TopicPartition, i64)>,
}

/// Why a task can't be asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It isn't this worker's.
    Elsewhere,
    /// It hasn't committed this offset yet; its position.
    Behind(TopicPartition, i64),
}

impl Serving {
    /// How many tasks a sub-topology has; `None` until the worker has started.
    pub(crate) fn partitions(&self, subtopology: u32) -> Option<u32> {
        self.state().tasks.get(&subtopology).copied()
    }

    /// The task, if it is served.
    pub(crate) fn served(&self, id: TaskId) -> Option<Served> {
        self.state().served.get(&id).cloned()
    }

    /// The task, once it has committed these offsets of its inputs; waits for that, but not beyond `until`.
    pub(crate) fn wait_for(
        &self,
        id: TaskId,
        offsets: &[(TopicPartition, i64)],
        until: Instant,
    ) -> Result<Served, Absent> {
        let mut state = self.state();
        loop {
            let served = state.served.get(&id).ok_or(Absent::Elsewhere)?;
            let Some((at, position)) = first_behind(served, offsets) else {
                return Ok(served.clone());
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Absent::Behind(at, position));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The standby, if it can be asked.
    pub(crate) fn kept(&self, id: TaskId) -> Option<Kept> {
        self.state().kept.get(&id).cloned()
    }

    /// These are the worker's standbys, and no others but those of which `stays` says so.
    pub(crate) fn keep(&self, kept: BTreeMap<TaskId, Kept>, stays: &dyn Fn(&TaskId) -> bool) {
        let mut state = self.state();
        state.kept.retain(|id, _| stays(id));
        state.kept.extend(kept);
        drop(state);
        self.changed.notify_all();
    }

    /// No standby but those can be asked any more.
    pub(crate) fn keep_only(&self, stays: &dyn Fn(&TaskId) -> bool) {
        self.state().kept.retain(|id, _| stays(id));
    }

    /// Whether a query has waited for a standby since the last call.
    pub(crate) fn take_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed)
    }

    /// A short wait for the standbys, not beyond `until`; false: that is over.
    pub(crate) fn pause(&self, until: Instant) -> bool {
        self.is_awaited.store(true, Ordering::Relaxed);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout(self.state(), left.min(PAUSE));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        !left.is_zero()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first that isn't covered. What the task doesn't read never is.
fn first_behind(
    served: &Served,
    offsets: &[(TopicPartition, i64)],
) -> Option<(TopicPartition, i64)> {
    offsets.iter().find_map(|(at, offset)| {
        let input = served.inputs.iter().find(|(input, _)| input == at);
        let position = input.map_or(0, |(_, position)| *position);
        (input.is_none() || position <= *offset).then(|| (at.clone(), position))
    })
}

/// The worker's end. When it is dropped, so with its worker, nothing is served any more.
#[derive(Debug, Default)]
pub(crate) struct Publisher(Arc<Serving>);

impl Publisher {
    pub(crate) fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.0)
    }

    /// The worker has started, with so many tasks per sub-topology.
    pub(crate) fn started(&self, tasks: &BTreeMap<u32, u32>) {
        self.0.state().tasks.clone_from(tasks);
    }

    /// These tasks are the worker's, and no others; new ones only where `is_level`.
    pub(crate) fn tell(&self, slots: &[Slot], is_level: bool) {
        let mut state = self.0.state();
        state.served.retain(|id, _| slots.iter().any(|slot| slot.id == *id));
        for slot in slots {
            let known = state.served.get(&slot.id).map(|served| served.term);
            if known.is_none() && !is_level {
                continue;
            }
            let term = known.unwrap_or(state.taken_up + 1);
            state.taken_up = state.taken_up.max(term);
            let inputs = slot.inputs.iter().cloned().zip(slot.committed.iter().copied()).collect();
            state.served.insert(slot.id, Served { term, inputs });
        }
        let State { served, kept, .. } = &mut *state;
        kept.retain(|id, _| !served.contains_key(id));
        drop(state);
        self.0.changed.notify_all();
    }

    /// The task has committed these positions.
    pub(crate) fn committed(&self, id: TaskId, positions: &[i64]) {
        let mut state = self.0.state();
        if let Some(served) = state.served.get_mut(&id) {
            for ((_, next), position) in served.inputs.iter_mut().zip(positions) {
                *next = *position;
            }
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.served.clear();
        state.kept.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}
