//! Durable timers, one store per node that sets them, ordered by (due, key).
//!
//! ```text
//! key    due (8 bytes, order-preserving) | the timer's key
//! value  one byte
//! ```
//!
//! The store is the truth. The timers that are due next are also kept in memory, so that
//! looking for the first one is no scan, and removed ones cost nothing after that.
//!
//! Invariant: `near` holds exactly the store's timers that are due before `horizon`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use state_stores::{Direction, StoreError, StoreIndex, StoreKind, TaskState, keys};

use crate::graph::StoreDecl;

const PRESENT: &[u8] = &[1];

/// How many timers a queue reads into memory at a time; it keeps at most twice as many.
const NEAR: usize = 1024;

type Timer = (i64, Box<[u8]>);

struct Queue {
    store: StoreIndex,
    near: BTreeSet<Timer>,
    horizon: i64,
    /// Changes of `near` since the savepoint: added (true) or removed.
    journal: Vec<(bool, Timer)>,
}

impl Queue {
    fn new(store: StoreIndex) -> Self {
        Self { store, near: BTreeSet::new(), horizon: i64::MIN, journal: Vec::new() }
    }

    /// The first timer's due time; the outer `None`: it must be read first.
    fn first(&self) -> Option<Option<i64>> {
        match self.near.first() {
            Some((due, _)) => Some(Some(*due)),
            None => (self.horizon == i64::MAX).then_some(None),
        }
    }

    /// Reads the next timers from the store: a number of them, and all that are due with the last.
    fn read(&mut self, state: &TaskState) -> Result<(), StoreError> {
        let from = keys::ordered(self.horizon);
        let (near, mut horizon) = (&mut self.near, i64::MAX);
        let mut last = None;
        state.scan(self.store, &from, None, Direction::Forward, &mut |row, _| {
            let Some((due, key)) = row.split_first_chunk() else {
                return ControlFlow::Continue(());
            };
            let due = keys::from_ordered(*due);
            if near.len() >= NEAR && last != Some(due) {
                horizon = due;
                return ControlFlow::Break(());
            }
            last = Some(due);
            near.insert((due, key.into()));
            ControlFlow::Continue(())
        })?;
        self.horizon = horizon;
        Ok(())
    }

    /// Forgets the later half when there are too many.
    fn trim(&mut self) {
        if self.near.len() <= 2 * NEAR {
            return;
        }
        let middle = self.near.iter().nth(NEAR).map(|(due, _)| *due);
        let first = self.near.first().map(|(due, _)| *due);
        if let (Some(middle), Some(first)) = (middle, first)
            && first < middle
        {
            self.near.split_off(&(middle, Box::default()));
            self.horizon = middle;
        }
    }
}

/// The timer queues of one task.
#[derive(Default)]
pub(crate) struct Timers {
    queues: Vec<Queue>,
    row: Vec<u8>,
}

impl Timers {
    pub(crate) fn new(stores: impl IntoIterator<Item = StoreIndex>) -> Self {
        Self { queues: stores.into_iter().map(Queue::new).collect(), row: Vec::new() }
    }

    /// The store `<operator>-timers`.
    pub(crate) fn declare(operator: &str) -> StoreDecl {
        let formats = ("timer".to_owned(), "bytes".to_owned());
        StoreDecl::internal(format!("{operator}-timers"), StoreKind::KeyValue, formats)
    }

    /// The queue kept in this store.
    pub(crate) fn queue_of(&self, store: StoreIndex) -> usize {
        let place = self.queues.iter().position(|queue| queue.store == store);
        place.expect("a timed node's store has a queue")
    }

    fn row(&mut self, due: i64, key: &[u8]) {
        self.row.clear();
        keys::time(due, &mut self.row);
        self.row.extend_from_slice(key);
    }

    pub(crate) fn set(&mut self, state: &mut TaskState, queue: usize, due: i64, key: &[u8]) {
        self.row(due, key);
        let queue = &mut self.queues[queue];
        state.put(queue.store, &self.row, Some(PRESENT));
        if due < queue.horizon && queue.near.insert((due, key.into())) {
            queue.journal.push((true, (due, key.into())));
        }
    }

    pub(crate) fn cancel(&mut self, state: &mut TaskState, queue: usize, due: i64, key: &[u8]) {
        self.row(due, key);
        let queue = &mut self.queues[queue];
        state.put(queue.store, &self.row, None);
        if due < queue.horizon
            && let Some(timer) = queue.near.take(&(due, key.into()))
        {
            queue.journal.push((false, timer));
        }
    }

    pub(crate) fn savepoint(&mut self) {
        for queue in &mut self.queues {
            queue.journal.clear();
            queue.trim();
        }
    }

    /// Undoes what was done to `near` since the savepoint; the store is rolled back by itself.
    pub(crate) fn rollback(&mut self) {
        for queue in &mut self.queues {
            while let Some((added, timer)) = queue.journal.pop() {
                if added {
                    queue.near.remove(&timer);
                } else {
                    queue.near.insert(timer);
                }
            }
        }
    }

    /// The earliest timer as far as known: `None` unknown, `Some(None)` there is none.
    pub(crate) fn cached(&self) -> Option<Option<i64>> {
        let mut earliest = None;
        for queue in &self.queues {
            earliest = [earliest, queue.first()?].into_iter().flatten().min();
        }
        Some(earliest)
    }

    /// The earliest timer of all queues: due time and queue. Not between savepoint and rollback.
    pub(crate) fn earliest(
        &mut self,
        state: &TaskState,
    ) -> Result<Option<(i64, usize)>, StoreError> {
        let mut earliest: Option<(i64, usize)> = None;
        for (number, queue) in self.queues.iter_mut().enumerate() {
            if queue.first().is_none() {
                queue.read(state)?;
            }
            if let Some(Some(due)) = queue.first()
                && earliest.is_none_or(|(other, _)| due < other)
            {
                earliest = Some((due, number));
            }
        }
        Ok(earliest)
    }

    /// Removes the queue's first timer, which [`Self::earliest`] found, and puts its key in `key`.
    pub(crate) fn take(&mut self, state: &mut TaskState, queue: usize, key: &mut Vec<u8>) {
        key.clear();
        let Some((due, first)) = self.queues[queue].near.first() else { return };
        key.extend_from_slice(first);
        let due = *due;
        self.cancel(state, queue, due, key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;
    use state_stores::{MemoryEngine, StateDir, StateOptions, StoreSpec};

    use super::*;

    fn state() -> (TaskState, Arc<StateDir>) {
        let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
        let timers =
            StoreSpec { name: "t".into(), changelog_topic: "t".into(), kind: StoreKind::KeyValue };
        (dir.task_state(0, &[timers]).unwrap(), dir)
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(i64, u8),
        Cancel(i64, u8),
        Fire,
        RolledBack(Vec<(bool, i64, u8)>),
        NewTask,
    }

    fn op() -> impl Strategy<Value = Op> {
        let timer = || (0i64..40, 0u8..4);
        prop_oneof![
            5 => timer().prop_map(|(due, key)| Op::Set(due, key)),
            2 => timer().prop_map(|(due, key)| Op::Cancel(due, key)),
            3 => Just(Op::Fire),
            1 => prop::collection::vec((any::<bool>(), 0i64..40, 0u8..4), 1..5).prop_map(Op::RolledBack),
            1 => Just(Op::NewTask),
        ]
    }

    proptest! {
        #[test]
        fn the_first_is_always_the_first(ops in prop::collection::vec(op(), 1..80)) {
            let (mut state, _dir) = state();
            let mut timers = Timers::new([StoreIndex(0)]);
            let mut model: BTreeSet<(i64, u8)> = BTreeSet::new();
            for op in ops {
                timers.savepoint();
                let savepoint = state.savepoint();
                match op {
                    Op::Set(due, key) => {
                        timers.set(&mut state, 0, due, &[key]);
                        model.insert((due, key));
                    }
                    Op::Cancel(due, key) => {
                        timers.cancel(&mut state, 0, due, &[key]);
                        model.remove(&(due, key));
                    }
                    Op::Fire => {
                        let mut key = Vec::new();
                        if timers.earliest(&state).unwrap().is_some() {
                            timers.take(&mut state, 0, &mut key);
                        }
                        prop_assert_eq!(model.pop_first().map(|(_, key)| vec![key]).unwrap_or_default(), key);
                    }
                    Op::RolledBack(changes) => {
                        for (set, due, key) in changes {
                            if set {
                                timers.set(&mut state, 0, due, &[key]);
                            } else {
                                timers.cancel(&mut state, 0, due, &[key]);
                            }
                        }
                        state.rollback_to(savepoint);
                        timers.rollback();
                    }
                    Op::NewTask => timers = Timers::new([StoreIndex(0)]),
                }
                let earliest = timers.earliest(&state).unwrap().map(|(due, _)| due);
                prop_assert_eq!(earliest, model.first().map(|(due, _)| *due));
            }
        }
    }

    #[test]
    fn more_timers_than_are_kept_in_memory_fire_in_order() {
        let (mut state, _dir) = state();
        let mut timers = Timers::new([StoreIndex(0)]);
        assert_eq!(timers.earliest(&state).unwrap(), None);
        let mut model = BTreeMap::new();
        for n in 0..10_000i64 {
            timers.savepoint();
            let (due, key) = (n * 7919 % 10_000 / 3, n.to_be_bytes());
            timers.set(&mut state, 0, due, &key);
            model.insert((due, key), ());
        }
        assert!(timers.queues[0].near.len() <= 2 * NEAR + 1);
        for (due, key) in model.into_keys() {
            timers.savepoint();
            assert_eq!(timers.earliest(&state).unwrap(), Some((due, 0)));
            let mut taken = Vec::new();
            timers.take(&mut state, 0, &mut taken);
            assert_eq!(taken, key);
        }
        assert_eq!((timers.earliest(&state).unwrap(), timers.cached()), (None, Some(None)));
    }
}
