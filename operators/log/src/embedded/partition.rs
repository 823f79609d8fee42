//! One partition: its numbers, its newest records in memory, and who waits for
//! more.
//!
//! Invariants: every record at or above `tail_from` is in the tail; `start ≤
//! durable ≤ stable ≤ next`; numbers change only under the log's write lock, so what a
//! writer read before its engine write still holds after it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use state_stores::{Direction, Engine};

use super::batch::Batch;
use super::keys::{self, Bounds};
use crate::signal::Signal;
use crate::{Isolation, LogError, TopicPartition, Visibility};

/// Bytes one load hands to a reader, at least one batch.
const LOAD: usize = 512 * 1024;
/// Most of the tail budget that one partition may hold.
const SHARE: usize = 8;

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) at: TopicPartition,
    pub(super) topic: u32,
    state: Mutex<State>,
    listeners: Mutex<Vec<(Visibility, Arc<Signal>)>>,
    durable_listeners: AtomicUsize,
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    durable: i64,
    tail: VecDeque<Arc<Batch>>,
    tail_bytes: usize,
    tail_from: i64,
    /// First offsets of the transactions that are open here, by their number.
    open: Vec<(u64, i64)>,
}

/// What one write is for the transactions of its partition.
#[derive(Debug)]
pub(super) enum Mark {
    /// Nothing: plain records, or all of a transaction with its marker.
    Whole,
    /// Records of this transaction, which is open.
    Opens(u64),
    /// The marker of this transaction; the batches with these bases are no more.
    Ends { number: u64, aborted: Vec<i64> },
}

/// What a reader gets from one load.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) batches: VecDeque<Arc<Batch>>,
    /// Where the reader stands when it is through with them.
    pub(super) next: i64,
}

/// Memory of all tails together.
#[derive(Debug)]
pub(super) struct TailBudget {
    used: AtomicUsize,
    limit: usize,
}

impl TailBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }
}

impl Partition {
    pub(super) fn new(at: TopicPartition, topic: u32, bounds: Bounds) -> Self {
        let state = State {
            bounds,
            durable: bounds.next,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_from: bounds.next,
            open: Vec::new(),
        };
        Self {
            at,
            topic,
            state: Mutex::new(state),
            listeners: Mutex::default(),
            durable_listeners: AtomicUsize::new(0),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.state.lock().bounds
    }

    /// The next offset a reader of this visibility and isolation can't see yet. What is durable is committed too.
    pub(super) fn visible(&self, visibility: Visibility, isolation: Isolation) -> i64 {
        self.state.lock().visible(visibility, isolation)
    }

    /// A transaction was open from this offset on when the log was ended.
    pub(super) fn reopen(&self, number: u64, first: i64) {
        let mut state = self.state.lock();
        state.open.push((number, first));
        state.durable = state.stable();
    }

    /// True when a reader waits for what isn't synced yet.
    pub(super) fn wants_sync(&self) -> bool {
        self.durable_listeners.load(Ordering::Relaxed) > 0
    }

    pub(super) fn row(&self, base: i64) -> [u8; 17] {
        keys::row(self.topic, self.at.partition, base)
    }

    pub(super) fn bounds_key(&self) -> [u8; 9] {
        keys::partition(self.topic, self.at.partition)
    }

    /// Shows what the engine holds now. Caller has the write lock.
    pub(super) fn publish(&self, batches: Vec<Batch>, next: i64, mark: &Mark, budget: &TailBudget) {
        {
            let state = &mut *self.state.lock();
            state.mark(mark, budget);
            state.bounds.next = next;
            for batch in batches {
                state.tail_bytes += batch.bytes.len();
                budget.used.fetch_add(batch.bytes.len(), Ordering::Relaxed);
                state.tail.push_back(Arc::new(batch));
            }
            while state.tail.len() > 1
                && (state.tail_bytes > budget.limit / SHARE
                    || budget.used.load(Ordering::Relaxed) > budget.limit)
            {
                state.forget_oldest(budget);
            }
        }
        self.notify(Visibility::Written);
    }

    /// Everything below `stable` is synced, and how it ended.
    pub(super) fn synced(&self, stable: i64) {
        {
            let mut state = self.state.lock();
            state.durable = state.durable.max(stable);
        }
        self.notify(Visibility::Durable);
    }

    /// Retention, deletion or compaction changed what there is below the end. Caller has
    /// the write lock.
    pub(super) fn cleaned(&self, bounds: Bounds, budget: &TailBudget) {
        let state = &mut *self.state.lock();
        state.bounds = Bounds { next: state.bounds.next, ..bounds };
        while state.tail.front().is_some_and(|batch| batch.last < bounds.start) {
            state.forget_oldest(budget);
        }
    }

    /// The topic was deleted: nothing is left, and whoever reads here is told so. Caller has the write lock.
    pub(super) fn deleted(&self, budget: &TailBudget) {
        {
            let state = &mut *self.state.lock();
            while !state.tail.is_empty() {
                state.forget_oldest(budget);
            }
            state.bounds.next += 1;
            state.bounds.start = state.bounds.next;
            state.open.clear();
            (state.tail_from, state.durable) = (state.bounds.next, state.bounds.next);
        }
        self.notify_all();
    }

    /// The records from `position` on, from memory or from the engine. Nothing
    /// is skipped: a position below the start is an error.
    pub(super) fn load(
        &self,
        engine: &dyn Engine,
        position: i64,
        (visibility, isolation): (Visibility, Isolation),
    ) -> Result<Loaded, LogError> {
        let (position, upper) = {
            let state = self.state.lock();
            let visible = state.visible(visibility, isolation);
            let start = state.bounds.start;
            if position < start {
                return Err(LogError::OffsetOutOfRange { at: self.at.clone(), position });
            }
            if position >= visible {
                return Ok(Loaded { batches: VecDeque::new(), next: position });
            }
            if position >= state.tail_from {
                return Ok(state.load_tail(position, visible));
            }
            (position, visible.min(state.tail_from))
        };
        self.load_engine(engine, position, upper)
    }

    fn load_engine(
        &self,
        engine: &dyn Engine,
        position: i64,
        upper: i64,
    ) -> Result<Loaded, LogError> {
        let mut loaded = Loaded { batches: VecDeque::new(), next: upper };
        let mut damaged = None;
        let (mut bytes, mut from) = (0, position);
        let mut take = |key: &[u8], value: &[u8]| {
            let Some(batch) = keys::row_base(key).and_then(|base| Batch::decode(base, value))
            else {
                damaged =
                    Some(format!("a row of {} is damaged; restore {}", self.at, "the data folder"));
                return ControlFlow::Break(());
            };
            if batch.last < from {
                return ControlFlow::Continue(());
            }
            from = batch.last + 1;
            bytes += value.len();
            loaded.next = batch.last + 1;
            loaded.batches.push_back(Arc::new(batch));
            if bytes >= LOAD { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let failed = |error| LogError::Fatal(format!("reading {}: {error}", self.at));
        let mut holder = |key: &[u8], value: &[u8]| {
            let _ = take(key, value);
            ControlFlow::Break(())
        };
        engine
            .scan(&self.row(0), Some(&self.row(position + 1)), Direction::Reverse, &mut holder)
            .map_err(failed)?;
        engine
            .scan(&self.row(position + 1), Some(&self.row(upper)), Direction::Forward, &mut take)
            .map_err(failed)?;
        if let Some(damaged) = damaged {
            return Err(LogError::Fatal(damaged));
        }
        if bytes < LOAD {
            loaded.next = upper;
        }
        Ok(loaded)
    }

    pub(super) fn listen(&self, visibility: Visibility, signal: &Arc<Signal>) {
        self.listeners.lock().push((visibility, Arc::clone(signal)));
        if visibility == Visibility::Durable {
            self.durable_listeners.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn unlisten(&self, signal: &Arc<Signal>) {
        self.listeners.lock().retain(|(visibility, listener)| {
            let gone = Arc::ptr_eq(listener, signal);
            if gone && *visibility == Visibility::Durable {
                self.durable_listeners.fetch_sub(1, Ordering::Relaxed);
            }
            !gone
        });
    }

    /// Lets every reader look again, e.g. because the log has ended.
    pub(super) fn notify_all(&self) {
        for (_, signal) in &*self.listeners.lock() {
            signal.raise();
        }
    }

    fn notify(&self, seen_by: Visibility) {
        for (visibility, signal) in &*self.listeners.lock() {
            if *visibility == seen_by {
                signal.raise();
            }
        }
    }
}

impl State {
    fn visible(&self, visibility: Visibility, isolation: Isolation) -> i64 {
        match (visibility, isolation) {
            (Visibility::Durable, _) => self.durable,
            (Visibility::Written, Isolation::ReadCommitted) => self.stable(),
            (Visibility::Written, Isolation::ReadUncommitted) => self.bounds.next,
        }
    }

    /// Below it, every transaction has ended.
    fn stable(&self) -> i64 {
        self.open.iter().map(|(_, first)| *first).min().unwrap_or(self.bounds.next)
    }

    fn mark(&mut self, mark: &Mark, budget: &TailBudget) {
        match mark {
            Mark::Whole => {}
            Mark::Opens(number) if self.open.iter().any(|(open, _)| open == number) => {}
            Mark::Opens(number) => self.open.push((*number, self.bounds.next)),
            Mark::Ends { number, aborted } => {
                self.open.retain(|(open, _)| open != number);
                let bytes = &mut self.tail_bytes;
                self.tail.retain(|batch| {
                    let gone = aborted.contains(&batch.base);
                    if gone {
                        *bytes -= batch.bytes.len();
                        budget.used.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
                    }
                    !gone
                });
            }
        }
    }

    fn load_tail(&self, position: i64, visible: i64) -> Loaded {
        let mut loaded = Loaded { batches: VecDeque::new(), next: visible };
        let first = self.tail.partition_point(|batch| batch.last < position);
        let mut bytes = 0;
        for batch in self.tail.range(first..).take_while(|batch| batch.base < visible) {
            if bytes >= LOAD {
                loaded.next = batch.base;
                break;
            }
            bytes += batch.bytes.len();
            loaded.batches.push_back(Arc::clone(batch));
        }
        loaded
    }

    fn forget_oldest(&mut self, budget: &TailBudget) {
        if let Some(batch) = self.tail.pop_front() {
            self.tail_bytes -= batch.bytes.len();
            self.tail_from = batch.last + 1;
            budget.used.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
        }
    }
}
