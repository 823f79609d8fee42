//! The test driver's engine room: feeds tasks and runs them to quiet.
//!
//! Invariant: like the runtime, it moves only bytes between the log and
//! production [`Task`]s, and a commit makes outputs, changelog records and
//! offsets visible together, before the state is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use state_stores::partition::partition_for_key;
use state_stores::{MemoryEngine, StateDir, StoreIndex};

use super::DriverOptions;
use super::chaos::{Chaos, Event};
use super::log::{MemoryLog, Stored};
use super::transactions::open_state;
use crate::calls::Call;
use crate::context::Dropped;
use crate::globals::Globals;
use crate::observed::Observation;
use crate::task::{InputRecord, Ran, Task, TaskError};
use crate::topology::{TaskId, Topology};

/// A task with where it is in its input.
pub(super) struct Running {
    pub(super) task: Task,
    /// Per source: the next offset to feed.
    pub(super) fetched: Vec<usize>,
}

pub(super) struct Core {
    pub(super) topology: Topology,
    pub(super) log: MemoryLog,
    pub(super) now_ms: i64,
    pub(super) auto_commit: bool,
    pub(super) globals_paused: bool,
    missing_topics: BTreeSet<Arc<str>>,
    fetch: usize,
    /// Set when a seed decides what happens when.
    pub(super) chaos: Option<Chaos>,
    pub(super) globals: Arc<Globals>,
    /// Per global table: records of its topic that were applied.
    pub(super) globals_seen: Vec<usize>,
    /// What survives the process, unless the disk is lost.
    pub(super) base: Arc<MemoryEngine>,
    pub(super) dir: Arc<StateDir>,
    pub(super) tasks: BTreeMap<TaskId, Running>,
    /// Calls that were started and not answered, oldest first.
    pub(super) in_flight: Vec<(TaskId, Call)>,
    /// Committed input positions.
    pub(super) offsets: BTreeMap<(TaskId, usize), i64>,
    /// Outputs of the open transaction: the task, topic and partition.
    pub(super) pending: Vec<(TaskId, Arc<str>, u32, Stored)>,
}

impl Core {
    pub(super) fn new(topology: &Topology, options: DriverOptions) -> Self {
        let mut counts = options.topic_partitions;
        for topic in topology.internal_topics() {
            let like = counts.get(&topic.partitions_like).copied();
            let count = topic.partitions.or(like).unwrap_or(options.partitions);
            counts.entry(topic.name).or_insert(count);
        }
        let base = options.seed.map_or_else(MemoryEngine::new, |_| MemoryEngine::with_crashes());
        let base = Arc::new(base);
        let mut core = Self {
            topology: topology.clone(),
            log: MemoryLog::new(options.partitions, counts),
            now_ms: options.now_ms,
            auto_commit: true,
            globals_paused: false,
            missing_topics: options.missing_topics,
            fetch: options.fetch,
            globals: Arc::new(Globals::new(topology)),
            globals_seen: vec![0; topology.global_tables().len()],
            dir: open_state(&base),
            base,
            chaos: options.seed.map(Chaos::new),
            tasks: BTreeMap::new(),
            in_flight: Vec::new(),
            offsets: BTreeMap::new(),
            pending: Vec::new(),
        };
        core.start();
        // Schedules count from now on. There is no record yet that could fail.
        core.run().expect("an idle flow runs");
        core
    }

    /// Applies what the global tables' topics hold.
    fn read_globals(&mut self) {
        if self.globals_paused {
            return;
        }
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
        if self.chaos.is_some() {
            self.run_in_chaos()?;
            return self.start_calls();
        }
        self.read_globals();
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for id in &ids {
                while self.step(*id, self.fetch)? {
                    busy = true;
                    if self.auto_commit {
                        self.commit(None, true);
                    }
                }
            }
        }
        self.start_calls()
    }

    /// As the seed says, until nothing is left to do and all is committed.
    fn run_in_chaos(&mut self) -> Result<(), TaskError> {
        let Some(chaos) = &mut self.chaos else { return Ok(()) };
        chaos.begin();
        let mut awake: Vec<TaskId> = self.tasks.keys().copied().collect();
        loop {
            self.read_globals();
            let Some(chaos) = &mut self.chaos else { return Ok(()) };
            let mut event = chaos.event();
            if awake.is_empty() {
                if !self.tasks.values().any(|running| running.task.uncommitted()) {
                    return Ok(());
                }
                event = Event::CommitAll;
            } else {
                let (chosen, fetch) = (chaos.below(awake.len()), chaos.fetch());
                let id = awake[chosen];
                if !self.step(id, fetch)? {
                    awake.swap_remove(chosen);
                }
                if event == Event::CommitOne {
                    self.commit(Some(id), true);
                }
            }
            match event {
                Event::Nothing => continue,
                Event::CommitOne => {}
                Event::CommitAll => self.commit(None, true),
                Event::WriteBack => self.write_back(),
                Event::Abort => self.abort(),
                Event::Crash => self.restart(),
                Event::CrashInCommit => {
                    self.commit(None, false);
                    self.restart();
                }
            }
            awake = self.tasks.keys().copied().collect();
        }
    }

    /// One record or timer of one task; false when it has nothing to do.
    fn step(&mut self, id: TaskId, fetch: usize) -> Result<bool, TaskError> {
        let sources = &self.topology.subtopologies()[id.subtopology as usize].sources;
        let Some(running) = self.tasks.get_mut(&id) else { return Ok(false) };
        for (source, topic) in sources.iter().enumerate() {
            let records = self.log.records(topic, id.partition);
            while running.task.buffered(source) < fetch && running.fetched[source] < records.len() {
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
                    pending.push((id, Arc::from(output.topic), partition, record));
                });
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
            Ran::NeedsTopic(name) => {
                let exists = !self.missing_topics.contains(&name);
                let partitions = exists.then(|| self.log.partitions(&name));
                running.task.topic_described(&name, partitions);
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
            Ran::NeedsGlobals(_) | Ran::Held | Ran::WaitsForCalls | Ran::Idle => Ok(false),
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

    /// What all tasks observed.
    pub(super) fn observed(&self) -> Vec<Observation> {
        self.tasks.values().flat_map(|running| running.task.observed()).copied().collect()
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
