//! Durable timers, one store per node that sets them, ordered by (due, key).
//!
//! ```text
//! key    due (8 bytes, order-preserving) | the timer's key
//! value  one byte
//! ```
//!
//! Invariant: `floor` is a lower bound of the store's live timers, so that a
//! scan skips each removed timer's tombstone once and not for ever.

use std::ops::ControlFlow;

use state_stores::{Direction, StoreError, StoreIndex, StoreKind, TaskState, keys};

use crate::graph::StoreDecl;

const PRESENT: &[u8] = &[1];

struct Queue {
    store: StoreIndex,
    floor: i64,
    floor_at_savepoint: i64,
    /// The earliest due time; the outer `None` means it must be looked up.
    next: Option<Option<i64>>,
}

/// The timer queues of one task.
#[derive(Default)]
pub(crate) struct Timers {
    queues: Vec<Queue>,
    row: Vec<u8>,
}

impl Timers {
    pub(crate) fn new(stores: impl IntoIterator<Item = StoreIndex>) -> Self {
        let queue =
            |store| Queue { store, floor: i64::MIN, floor_at_savepoint: i64::MIN, next: None };
        Self { queues: stores.into_iter().map(queue).collect(), row: Vec::new() }
    }

    /// The store `<operator>-timers`.
    pub(crate) fn declare(operator: &str) -> StoreDecl {
        let formats = ("timer".to_owned(), "bytes".to_owned());
        StoreDecl { name: format!("{operator}-timers").into(), kind: StoreKind::KeyValue, formats }
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
        queue.floor = queue.floor.min(due);
        if let Some(next) = &mut queue.next {
            *next = Some(next.map_or(due, |next| next.min(due)));
        }
    }

    pub(crate) fn cancel(&mut self, state: &mut TaskState, queue: usize, due: i64, key: &[u8]) {
        self.row(due, key);
        let queue = &mut self.queues[queue];
        state.put(queue.store, &self.row, None);
        if queue.next.flatten() == Some(due) {
            queue.next = None;
        }
    }

    pub(crate) fn savepoint(&mut self) {
        for queue in &mut self.queues {
            queue.floor_at_savepoint = queue.floor;
        }
    }

    pub(crate) fn rollback(&mut self) {
        for queue in &mut self.queues {
            queue.floor = queue.floor_at_savepoint;
            queue.next = None;
        }
    }

    /// The earliest timer as far as known: `None` unknown, `Some(None)` there is none.
    pub(crate) fn cached(&self) -> Option<Option<i64>> {
        let mut earliest = None;
        for queue in &self.queues {
            earliest = [earliest, queue.next?].into_iter().flatten().min();
        }
        Some(earliest)
    }

    /// The earliest timer of all queues: due time and queue.
    pub(crate) fn earliest(
        &mut self,
        state: &TaskState,
    ) -> Result<Option<(i64, usize)>, StoreError> {
        let mut earliest: Option<(i64, usize)> = None;
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let next = match queue.next {
                Some(next) => next,
                None => {
                    let mut found = None;
                    state.scan(
                        queue.store,
                        &keys::ordered(queue.floor),
                        None,
                        Direction::Forward,
                        &mut |row, _| {
                            found = due_of(row);
                            ControlFlow::Break(())
                        },
                    )?;
                    queue.floor = found.unwrap_or(i64::MAX);
                    queue.next = Some(found);
                    found
                }
            };
            if let Some(due) = next
                && earliest.is_none_or(|(other, _)| due < other)
            {
                earliest = Some((due, number));
            }
        }
        Ok(earliest)
    }

    /// Removes the first timer due at `due` and puts its key in `key`.
    pub(crate) fn take(
        &mut self,
        state: &mut TaskState,
        queue: usize,
        due: i64,
        key: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        key.clear();
        let from = keys::ordered(due);
        state.scan(self.queues[queue].store, &from, None, Direction::Forward, &mut |row, _| {
            key.extend_from_slice(&row[keys::TIME_LEN..]);
            ControlFlow::Break(())
        })?;
        self.cancel(state, queue, due, key);
        Ok(())
    }
}

fn due_of(row: &[u8]) -> Option<i64> {
    row.first_chunk().copied().map(keys::from_ordered)
}
