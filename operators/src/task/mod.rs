//! A task: one sub-topology on one partition. Synchronous; owns no thread and no clock.
//!
//! Invariants:
//! * buffered records and due timers are taken in timestamp order; with a table join also
//!   records that are in the log and not yet buffered;
//! * a timer due at T fires only after everything below the end offsets read at
//!   or after T was processed;
//! * what a failed record did is undone before its policy is followed.

mod buffer;
mod call_queue;
mod calls;
mod dead_letter;
mod error;
mod figures;
mod in_time;
mod policy;
mod run;
mod topic_marks;
mod waiting;

use std::sync::Arc;

use state_stores::{StoreIndex, TaskState};

pub use self::buffer::InputRecord;
pub use self::dead_letter::DEAD_LETTERS;
pub use self::error::{FailedAt, TaskError};
pub use self::figures::Figures;
pub use self::waiting::{WaitingCalls, WaitingKeys};
use crate::assembly::Assembly;
use crate::context::{Dropped, PendingRows, TaskContext};
use crate::globals::Globals;
use crate::graph::NodeId;
use crate::outputs::Outputs;
use crate::process::TimerHandler;
use crate::punctuation::Punctuators;
use crate::source::SourceProcess;
use crate::timers::Timers;
use crate::topology::{SubTopology, TaskId, Topology};
use buffer::Buffer;
use calls::Calls;
use in_time::InTime;
use waiting::Parkings;

/// What one call of [`Task::run_once`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// Processed one buffered record.
    Record,
    /// Fired one timer or punctuation, or scheduled the first ones.
    Timer,
    /// A timer is due: read the end offsets of all sources now and call [`Task::observe_ends`].
    NeedsEnds,
    /// A record may have to wait for an earlier one of another source: read the end offsets of all
    /// sources now and call [`Task::observe_level`]. Only tasks with a table join say so.
    NeedsLevel,
    /// The head record waits for these global tables: read their end offsets now, wait until
    /// the reader of global tables has reached them, then call [`Task::globals_reached`].
    NeedsGlobals(Vec<usize>),
    /// What was tried names this topic ([`KStream::to_named`](crate::KStream::to_named)): find out whether it exists, and
    /// call [`Task::topic_described`].
    NeedsTopic(Arc<str>),
    /// Still waiting for [`Task::globals_reached`].
    Held,
    /// A node has as many pending calls as it may: nothing goes on before a call is answered and that is committed or,
    /// at least, processed.
    WaitsForCalls,
    /// Nothing to do until a record is pushed or [`Task::next_timer`] is due.
    Idle,
}

struct SourceSlot {
    topic: Arc<str>,
    node: NodeId,
    process: Box<dyn SourceProcess>,
    buffer: Buffer,
}

/// End offsets and when they were read.
struct Ends {
    offsets: Vec<i64>,
    read_at_ms: i64,
}

/// What a task was about to take.
#[derive(Clone, Copy)]
enum Head {
    Source(usize),
    Reply,
}

struct Held {
    head: Head,
    waiting: bool,
}

/// A running copy of one sub-topology.
pub struct Task {
    id: TaskId,
    topology: Topology,
    sources: Vec<SourceSlot>,
    positions: Vec<Option<i64>>,
    handlers: Vec<Box<dyn TimerHandler>>,
    punctuators: Punctuators,
    calls: Calls,
    parkings: Parkings,
    ctx: TaskContext,
    ends: Option<Ends>,
    held: Option<Held>,
    /// Whether some source makes its own timestamps.
    stamps: bool,
    /// Set where the order of records of different sources matters.
    in_time: Option<InTime>,
    timer_key: Vec<u8>,
    dead_letters: u32,
    uncommitted: bool,
    figures: Figures,
    /// As it was when figures were taken last.
    dropped_before: Dropped,
}

impl Task {
    pub(crate) fn new(
        topology: &Topology,
        sub: &SubTopology,
        nodes: &[NodeId],
        id: TaskId,
        state: TaskState,
        globals: Arc<Globals>,
    ) -> Self {
        let graph = topology.graph();
        let stores: Vec<Arc<str>> =
            sub.stores.iter().map(|store| Arc::clone(&store.name)).collect();
        let mut outputs = Outputs::default();
        let dead_letters = outputs.topic(&Arc::from(DEAD_LETTERS));
        let mut assembly = Assembly::new(graph, &stores, &mut outputs);
        for node in nodes.iter().rev() {
            (graph.nodes[node.0].build)(&mut assembly, *node);
        }
        let (timed, mut built) = (assembly.timers, assembly.sources);
        let (punctuators, calls) = (assembly.punctuators, assembly.calls);
        built.sort_by_key(|(_, node, _)| *node);
        let timers = Timers::new(timed.iter().map(|(store, _)| *store));
        let slot =
            |(topic, node, process)| SourceSlot { topic, node, process, buffer: Buffer::default() };
        let sources: Vec<SourceSlot> = built.into_iter().map(slot).collect();
        let count = sources.len();
        let stamps = sources.iter().any(|source| source.process.stamps());
        let by_time = count > 1 && nodes.iter().any(|node| graph.nodes[node.0].by_time);
        let topics: Vec<_> = sources.iter().map(|source| Arc::clone(&source.topic)).collect();
        let ctx = TaskContext {
            id,
            topic_marks: topic_marks::of(&topics),
            topics,
            partitions: None,
            state,
            outputs,
            timers,
            pending: calls.iter().map(|call| PendingRows::new(call.options.pending)).collect(),
            globals,
            settled: Vec::new(),
            now_ms: 0,
            stream_time: None,
            origin: None,
            derived: 0,
            arrivals: 0,
            to_park: Vec::new(),
            dropped: Dropped::default(),
            observed: Vec::new(),
            passed: vec![0; graph.nodes.len()],
        };
        Self {
            id,
            topology: topology.clone(),
            positions: vec![None; sources.len()],
            sources,
            handlers: timed.into_iter().map(|(_, handler)| handler).collect(),
            punctuators,
            parkings: Parkings::new(graph, nodes, &stores),
            calls: Calls::new(calls, |call| Arc::clone(&graph.nodes[call.node.0].name)),
            ctx,
            ends: None,
            held: None,
            stamps,
            in_time: by_time.then(|| InTime::new(count)),
            timer_key: Vec::new(),
            dead_letters,
            uncommitted: false,
            figures: Figures::default(),
            dropped_before: Dropped::default(),
        }
    }

    /// Which sub-topology and partition it runs.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Says how many partitions topics have: what checks or chooses partitions needs it. Without it keys aren't
    /// checked, and a topic counts as one partition.
    pub fn set_partitions(&mut self, of: &dyn Fn(&str) -> Option<u32>) {
        self.ctx.outputs.set_partitions(of);
        self.ctx.partitions = self.sources.first().and_then(|source| of(&source.topic));
    }

    /// Copies a record into the buffer of a source (numbered as [`SubTopology::sources`]). One that came before is dropped:
    /// clients may deliver a record twice.
    pub fn push(&mut self, source: usize, record: InputRecord<'_>) {
        self.sources[source].buffer.push(record);
    }

    /// Records that wait in the buffer of a source.
    pub fn buffered(&self, source: usize) -> usize {
        self.sources[source].buffer.len()
    }

    /// Memory of the records that wait in the buffer of a source.
    pub fn buffered_bytes(&self, source: usize) -> usize {
        self.sources[source].buffer.bytes()
    }

    /// How much memory of processed records each source may keep for the next ones. As much as it likes unless set.
    pub fn keep_spare(&mut self, bytes_max: usize) {
        self.sources.iter_mut().for_each(|source| source.buffer.keep_spare(bytes_max));
    }

    /// Takes the buffered record or due timer with the lowest timestamp. `now_ms` is
    /// the task's clock (milliseconds since 1970) and must not go back.
    pub fn run_once(&mut self, now_ms: i64) -> Result<Ran, TaskError> {
        self.ctx.now_ms = now_ms;
        self.calls.load(&mut self.ctx)?;
        self.parkings.load(&self.ctx.state)?;
        self.calls.expire(now_ms);
        let ran = match self.punctuators.start(&mut self.ctx)? {
            true => {
                self.uncommitted = true;
                Ran::Timer
            }
            false => self.step()?,
        };
        self.ctx.timers.earliest(&self.ctx.state)?;
        Ok(ran)
    }

    /// End offsets of all sources (next offset to be written), read at `read_at_ms` or later:
    /// timers due until then may fire once everything below is processed.
    pub fn observe_ends(&mut self, ends: &[i64], read_at_ms: i64) {
        self.ends = Some(Ends { offsets: ends.to_vec(), read_at_ms });
    }

    /// End offsets of all sources, read after [`Ran::NeedsLevel`]. The head record goes on once
    /// every source with an empty buffer has reached its end.
    pub fn observe_level(&mut self, ends: &[i64]) {
        if let Some(in_time) = &mut self.in_time {
            in_time.observe(&self.sources, ends);
        }
    }

    /// The global tables the head record waits for have reached the ends that were read after
    /// [`Ran::NeedsGlobals`]; it is tried again as settled.
    pub fn globals_reached(&mut self, tables: &[usize]) {
        if let Some(held) = &mut self.held
            && self.ctx.settled.iter().all(|table| tables.contains(table))
        {
            held.waiting = false;
        }
    }

    /// Whether a topic exists that [`Ran::NeedsTopic`] asked for: how many partitions it has. What named it is tried again.
    pub fn topic_described(&mut self, name: &Arc<str>, partitions: Option<u32>) {
        self.ctx.outputs.describe(name, partitions, self.ctx.now_ms);
    }

    /// The earliest durable timer (ms since 1970). `Some(i64::MIN)` before the first
    /// [`Self::run_once`]: it isn't known yet.
    pub fn next_timer(&self) -> Option<i64> {
        self.ctx.timers.cached().unwrap_or(Some(i64::MIN))
    }

    /// Per source: the next offset after everything processed. `None`: nothing known yet.
    pub fn positions(&self) -> &[Option<i64>] {
        &self.positions
    }

    /// Where a source begins, at assignment.
    pub fn set_position(&mut self, source: usize, next_offset: i64) {
        self.positions[source] = Some(next_offset);
        self.sources[source].buffer.begin_at(next_offset);
    }

    /// The log has nothing more for this source below `next_offset` (markers, aborted
    /// records): without that, holes would block timers. Ignored while records are buffered.
    pub fn advance(&mut self, source: usize, next_offset: i64) {
        if self.buffered(source) == 0
            && self.positions[source].is_none_or(|position| position < next_offset)
        {
            self.positions[source] = Some(next_offset);
        }
    }

    /// What is to be sent. Complete for all records processed so far.
    pub fn outputs(&mut self) -> &mut Outputs {
        &mut self.ctx.outputs
    }

    /// True when something was processed since the last [`Self::committed`].
    pub fn uncommitted(&self) -> bool {
        self.uncommitted
    }

    /// Bytes of staged state.
    pub fn staged_bytes(&self) -> usize {
        self.ctx.state.dirty_bytes()
    }

    /// The log's transaction committed: staged state becomes committed, together with the
    /// next offset of each changelog written.
    pub fn committed(&mut self, next_offsets: &[(StoreIndex, i64)]) {
        self.calls.committed(&self.ctx.state);
        self.parkings.committed(&self.ctx.state);
        self.ctx.state.apply(next_offsets);
        self.uncommitted = false;
    }

    /// The task's state: its dirty rows are the commit's changelog records.
    pub fn state(&mut self) -> &mut TaskState {
        &mut self.ctx.state
    }

    /// Ends the task; the state goes on without it (abort: discard it, then build a new task on it).
    pub fn into_state(self) -> TaskState {
        self.ctx.state
    }

    /// Records dropped so far, by reason.
    pub fn dropped(&self) -> Dropped {
        self.ctx.dropped
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
