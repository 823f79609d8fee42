//! How the test driver's application begins, commits, aborts, dies and begins again.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{Crash, MemoryEngine, StateDir, StateOptions, StoreIndex};

use super::core::{Core, Running};
use super::log::Stored;
use crate::globals::Globals;
use crate::task::Task;
use crate::topology::{SubTopology, TaskId};

/// State in the memory of the process, over a base that may outlive it.
pub(super) fn open_state(base: &Arc<MemoryEngine>) -> Arc<StateDir> {
    let opened = StateDir::open(Arc::clone(base) as _, StateOptions::new("test-driver"));
    opened.expect("a memory engine opens")
}

impl Core {
    /// Builds all tasks; their state comes from the base and the changelogs. False: the seed let the application die
    /// meanwhile.
    pub(super) fn start(&mut self) -> bool {
        let topology = self.topology.clone();
        let counts = topology.check_partitions(&|topic| Some(self.log.partitions(topic)));
        let counts = counts.unwrap_or_else(|error| panic!("{error}"));
        for sub in topology.subtopologies() {
            for partition in 0..counts.get(&sub.id).copied().unwrap_or(1) {
                if !self.start_task(sub, partition) {
                    return false;
                }
            }
        }
        true
    }

    fn start_task(&mut self, sub: &SubTopology, partition: u32) -> bool {
        let state = self.dir.task_state(partition, &sub.stores);
        let mut state = state.unwrap_or_else(|error| panic!("{error}"));
        for (place, store) in sub.stores.iter().enumerate() {
            let place = StoreIndex(place);
            let records = self.log.records(&store.changelog_topic, partition);
            let mut from = state.changelog_position(place).unwrap_or(0) as usize;
            loop {
                let left = records.len() - from;
                let read = self.chaos.as_mut().map_or(left, |chaos| left.min(chaos.fetch()));
                let rows = records[from..from + read].iter().map(|record| {
                    (record.key.as_deref().unwrap_or_default(), record.value.as_deref())
                });
                from += read;
                state.restore(place, rows, from as i64);
                if self.chaos.as_mut().is_some_and(|chaos| left > 0 && chaos.dies()) {
                    drop(state);
                    self.write_back();
                    return false;
                }
                if read == 0 || read == left {
                    break;
                }
            }
        }
        let id = TaskId { subtopology: sub.id, partition };
        let task = self.topology.task(id, state, Arc::clone(&self.globals));
        self.begin(id, task);
        true
    }

    /// Sets a new task to the committed positions.
    fn begin(&mut self, id: TaskId, mut task: Task) {
        task.set_partitions(&|topic| Some(self.log.partitions(topic)));
        let sources = task.positions().len();
        let position = |source| self.offsets.get(&(id, source)).copied().unwrap_or(0);
        let fetched = (0..sources).map(|source| {
            task.set_position(source, position(source));
            position(source) as usize
        });
        let fetched = fetched.collect();
        self.tasks.insert(id, Running { task, fetched });
    }

    /// Drops all that isn't in the log and begins again from it. With a seed, the disk may have survived.
    pub(super) fn restart(&mut self) {
        loop {
            self.tasks.clear();
            self.pending.clear();
            self.in_flight.clear();
            match self.chaos.as_mut().map(|chaos| (chaos.coin(), chaos)) {
                Some((true, chaos)) => {
                    let volatile = self.base.volatile_batches();
                    self.base.crash(Crash::AfterPrefix(chaos.below(volatile + 1)));
                }
                Some((false, _)) => self.base = Arc::new(MemoryEngine::with_crashes()),
                None => self.base = Arc::new(MemoryEngine::new()),
            }
            self.dir = open_state(&self.base);
            self.globals = Arc::new(Globals::new(&self.topology));
            self.globals_seen.fill(0);
            if self.start() {
                return;
            }
        }
    }

    /// Writes what is committed to the base.
    pub(super) fn write_back(&self) {
        self.dir.write_back(self.now_ms).expect("a memory engine is written to");
    }

    /// Aborts the open transaction as the runtime does: state stays, tasks are built anew.
    pub(super) fn abort(&mut self) {
        self.pending.clear();
        for (id, running) in std::mem::take(&mut self.tasks) {
            let mut state = running.task.into_state();
            state.discard();
            let mut task = self.topology.task(id, state, Arc::clone(&self.globals));
            task.resume_calls(self.calls_of(id).map(Into::into));
            self.begin(id, task);
        }
    }

    /// Commits one task or all (`None`) to the log; the state is applied unless the process "dies" between the two.
    pub(super) fn commit(&mut self, only: Option<TaskId>, apply: bool) {
        let chosen = |id: TaskId| only.is_none_or(|only| only == id);
        for (id, topic, partition, record) in std::mem::take(&mut self.pending) {
            if chosen(id) {
                self.log.append(&topic, Some(partition), record);
            } else {
                self.pending.push((id, topic, partition, record));
            }
        }
        for (id, running) in self.tasks.iter_mut().filter(|(id, _)| chosen(**id)) {
            let stores = &self.topology.subtopologies()[id.subtopology as usize].stores;
            let mut next_offsets = BTreeMap::new();
            let (log, timestamp) = (&mut self.log, self.now_ms);
            running.task.state().dirty(&mut |store, key, value| {
                let topic = &stores[store.0].changelog_topic;
                let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
                let record = Stored { key, value, timestamp, headers: Default::default() };
                log.append(topic, Some(id.partition), record);
                next_offsets.insert(store, log.records(topic, id.partition).len() as i64);
            });
            for (source, position) in running.task.positions().iter().enumerate() {
                self.offsets.insert((*id, source), position.unwrap_or(0));
            }
            if apply {
                running.task.committed(&next_offsets.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
