//! The test driver's engine room: feeds tasks, commits, crashes and restores them.
//!
//! Invariant: like the runtime, it moves only bytes between the log and
//! production [`Task`]s, and a commit makes outputs, changelog records and
//! offsets visible together, before the state is applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::partition::partition_for_key;
use state_stores::{MemoryEngine, StateDir, StateOptions, StoreIndex};

use super::DriverOptions;
use super::log::{MemoryLog, Stored};
use crate::context::Dropped;
use crate::globals::Globals;
use crate::task::{InputRecord, Ran, Task, TaskError};
use crate::topology::{TaskId, Topology};

/// A task with where it is in its input.
struct Running {
    task: Task,
    /// Per source: the next offset to feed.
    fetched: Vec<usize>,
}

pub(super) struct Core {
    pub(super) topology: Topology,
    pub(super) log: MemoryLog,
    pub(super) now_ms: i64,
    pub(super) auto_commit: bool,
    pub(super) globals_paused: bool,
    fetch: usize,
    globals: Arc<Globals>,
    /// Per global table: records of its topic that were applied.
    globals_seen: Vec<usize>,
    dir: Arc<StateDir>,
    tasks: BTreeMap<TaskId, Running>,
    /// Committed input positions.
    offsets: BTreeMap<(TaskId, usize), i64>,
    /// Outputs of the open transaction.
    pending: Vec<(Arc<str>, Option<u32>, Stored)>,
}

fn memory_state() -> Arc<StateDir> {
    let opened = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("test-driver"));
    opened.expect("an empty memory engine opens")
}

impl Core {
    pub(super) fn new(topology: &Topology, options: DriverOptions) -> Self {
        let mut counts = options.topic_partitions;
        for topic in topology.internal_topics() {
            let like = counts.get(&topic.partitions_like).copied();
            let count = topic.partitions.or(like).unwrap_or(options.partitions);
            counts.entry(topic.name).or_insert(count);
        }
        let mut core = Self {
            topology: topology.clone(),
            log: MemoryLog::new(options.partitions, counts),
            now_ms: options.now_ms,
            auto_commit: true,
            globals_paused: false,
            fetch: options.fetch,
            globals: Arc::new(Globals::new(topology)),
            globals_seen: vec![0; topology.global_tables().len()],
            dir: memory_state(),
            tasks: BTreeMap::new(),
            offsets: BTreeMap::new(),
            pending: Vec::new(),
        };
        core.start();
        // Schedules count from now on. There is no record yet that could fail.
        core.run().expect("an idle flow runs");
        core
    }

    /// Builds all tasks; their state comes from the changelogs.
    fn start(&mut self) {
        let topology = self.topology.clone();
        let counts = topology.check_partitions(&|topic| Some(self.log.partitions(topic)));
        let counts = counts.unwrap_or_else(|error| panic!("{error}"));
        for sub in topology.subtopologies() {
            for partition in 0..counts.get(&sub.id).copied().unwrap_or(1) {
                let state = self.dir.task_state(partition, &sub.stores);
                let mut state = state.unwrap_or_else(|error| panic!("{error}"));
                for (place, store) in sub.stores.iter().enumerate() {
                    let records = self.log.records(&store.changelog_topic, partition);
                    let rows = records.iter().map(|record| {
                        (record.key.as_deref().unwrap_or_default(), record.value.as_deref())
                    });
                    state.restore(StoreIndex(place), rows, records.len() as i64);
                }
                let id = TaskId { subtopology: sub.id, partition };
                let task = topology.task(id, state, Arc::clone(&self.globals));
                self.begin(id, task);
            }
        }
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

    /// Drops all that isn't in the log and begins again from it.
    pub(super) fn restart(&mut self) {
        self.tasks.clear();
        self.pending.clear();
        self.dir = memory_state();
        self.globals = Arc::new(Globals::new(&self.topology));
        self.globals_seen.fill(0);
        self.start();
    }

    /// Aborts the open transaction as the runtime does: state stays, tasks are built anew.
    pub(super) fn abort(&mut self) {
        self.pending.clear();
        for (id, running) in std::mem::take(&mut self.tasks) {
            let mut state = running.task.into_state();
            state.discard();
            let task = self.topology.task(id, state, Arc::clone(&self.globals));
            self.begin(id, task);
        }
    }

    /// Commits to the log; the state is applied unless the process "dies" between the two.
    pub(super) fn commit(&mut self, apply: bool) {
        for (topic, partition, record) in std::mem::take(&mut self.pending) {
            self.log.append(&topic, partition, record);
        }
        for (id, running) in &mut self.tasks {
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

    /// Applies what the global tables' topics hold.
    pub(super) fn read_globals(&mut self) {
        for (number, table) in self.topology.global_tables().iter().enumerate() {
            for (_, record) in self.log.after(&table.topic, self.globals_seen[number]) {
                self.globals_seen[number] += 1;
                if let Some(key) = &record.key {
                    self.globals.apply(number, key, record.value.as_deref());
                }
            }
        }
    }

    /// Runs every task until nothing is left to do.
    pub(super) fn run(&mut self) -> Result<(), TaskError> {
        if !self.globals_paused {
            self.read_globals();
        }
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for id in &ids {
                while self.step(*id)? {
                    busy = true;
                }
            }
        }
        Ok(())
    }

    /// One record or timer of one task; false when it has nothing to do.
    fn step(&mut self, id: TaskId) -> Result<bool, TaskError> {
        let sources = &self.topology.subtopologies()[id.subtopology as usize].sources;
        let Some(running) = self.tasks.get_mut(&id) else { return Ok(false) };
        for (source, topic) in sources.iter().enumerate() {
            let records = self.log.records(topic, id.partition);
            while running.task.buffered(source) < self.fetch
                && running.fetched[source] < records.len()
            {
                let offset = running.fetched[source];
                push(&mut running.task, source, offset as i64, &records[offset]);
                running.fetched[source] += 1;
            }
        }
        match running.task.run_once(self.now_ms)? {
            Ran::Record | Ran::Timer => {
                let (pending, log) = (&mut self.pending, &self.log);
                running.task.outputs().drain(|output| {
                    let (key, value) =
                        (output.key.map(<[u8]>::to_vec), output.value.map(<[u8]>::to_vec));
                    let record = Stored {
                        key,
                        value,
                        timestamp: output.timestamp,
                        headers: output.headers.clone(),
                    };
                    // As the runtime does: what has no key stays on its task's partition.
                    let count = log.partitions(output.topic);
                    let chosen = output
                        .partition_key
                        .map_or(id.partition % count, |key| partition_for_key(key, count));
                    let partition = output.partition.unwrap_or(chosen);
                    pending.push((Arc::from(output.topic), Some(partition), record));
                });
                if self.auto_commit {
                    self.commit(true);
                }
                Ok(true)
            }
            Ran::NeedsEnds => {
                let end = |topic: &Arc<str>| self.log.records(topic, id.partition).len() as i64;
                let ends: Vec<i64> = sources.iter().map(end).collect();
                running.task.observe_ends(&ends, self.now_ms);
                Ok(true)
            }
            Ran::NeedsLevel => {
                let end = |topic: &Arc<str>| self.log.records(topic, id.partition).len() as i64;
                let ends: Vec<i64> = sources.iter().map(end).collect();
                running.task.observe_level(&ends);
                Ok(true)
            }
            Ran::NeedsGlobals(_) | Ran::Held if !self.globals_paused => {
                self.read_globals();
                let all: Vec<usize> = (0..self.globals_seen.len()).collect();
                if let Some(running) = self.tasks.get_mut(&id) {
                    running.task.globals_reached(&all);
                }
                Ok(true)
            }
            Ran::NeedsGlobals(_) | Ran::Held | Ran::Idle => Ok(false),
        }
    }

    /// The tasks that have a store, with its place.
    pub(super) fn tasks_with<'a>(
        &'a mut self,
        store: &'a str,
    ) -> impl Iterator<Item = (&'a mut Task, StoreIndex)> {
        let subs = self.topology.subtopologies();
        self.tasks.iter_mut().filter_map(move |(id, running)| {
            let stores = &subs[id.subtopology as usize].stores;
            let place = stores.iter().position(|spec| &*spec.name == store)?;
            Some((&mut running.task, StoreIndex(place)))
        })
    }

    /// What all tasks dropped.
    pub(super) fn dropped(&self) -> Dropped {
        let tasks = self.tasks.values().map(|running| running.task.dropped());
        tasks.fold(Dropped::default(), |sum, task| Dropped {
            incomplete: sum.incomplete + task.incomplete,
            late: sum.late + task.late,
            duplicates: sum.duplicates + task.duplicates,
            skipped: sum.skipped + task.skipped,
            dead_letters: sum.dead_letters + task.dead_letters,
        })
    }

    /// The earliest durable timer of all tasks.
    pub(super) fn next_timer(&self) -> Option<i64> {
        self.tasks.values().filter_map(|running| running.task.next_timer()).min()
    }
}

fn push(task: &mut Task, source: usize, offset: i64, record: &Stored) {
    let headers: Vec<(&str, &[u8])> = record.headers.iter().collect();
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    task.push(
        source,
        InputRecord { offset, timestamp: record.timestamp, key, value, headers: &headers },
    );
}
