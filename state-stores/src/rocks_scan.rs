//! Scans of a RocksDB database, with iterators that are kept from one scan to the next.
//!
//! Making an iterator costs more than finding the first ten rows with it, and the base is written to only now and then:
//! between two writes any iterator sees what a new one would.
//!
//! Invariant: no scan that begins after a write has ended uses an iterator that was made before that end. None outlives
//! a write or flush for long either, for it holds on to the memory and files that were current when it was made.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ouroboros::self_referencing;
use parking_lot::Mutex;
use rocksdb::{DB, DBRawIterator, Error, ErrorKind, ReadOptions};

use crate::Direction;
use crate::engine::Visit;

/// Scans that may run at once without making an iterator: one a thread, and those nested in another's visitor.
const KEPT: usize = 8;

/// A kept iterator has no bounds, so it may look beyond them for the next row. Over more deleted rows than these it is
/// cheaper to make one that has.
const MOST_SKIPPED: u64 = 32;

/// What an iterator can be used for.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    /// Rows that have one prefix in common, forward. Files whose filter doesn't know it are left out.
    OnePrefix,
    /// Any range.
    Any,
}

impl Reach {
    fn options(self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(matches!(self, Self::Any));
        options.set_prefix_same_as_start(matches!(self, Self::OnePrefix));
        options
    }
}

#[self_referencing]
struct Kept {
    db: Arc<DB>,
    /// [`Scans::writes`] before it was made.
    writes: u64,
    /// The key that was visited last.
    last: Vec<u8>,
    #[borrows(db)]
    #[covariant]
    rows: DBRawIterator<'this>,
}

/// What scans of one database share.
pub(crate) struct Scans {
    /// Iterators by [`Reach`]; none when rows are written all the time.
    kept: Option<[Mutex<Vec<Kept>>; 2]>,
    /// Number of writes and flushes that have ended.
    writes: AtomicU64,
}

impl Scans {
    /// `keep`: the database is written to seldom enough for iterators to be kept.
    pub(crate) fn new(keep: bool) -> Self {
        Self { kept: keep.then(Default::default), writes: AtomicU64::new(0) }
    }

    /// To be called when a write or flush has ended, whatever came of it.
    pub(crate) fn written(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
        for kept in self.kept.iter().flatten() {
            let outdated = std::mem::take(&mut *kept.lock());
            drop(outdated);
        }
    }

    /// Visits the rows of `[from, to)`.
    pub(crate) fn scan(
        &self,
        db: &Arc<DB>,
        (from, to, direction): (&[u8], Option<&[u8]>, Direction),
        reach: Reach,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let Some(kept) = self.kept.as_ref().map(|kept| &kept[reach as usize]) else {
            return bounded(db, (from, to, direction), reach, visit);
        };
        let mut iterator = self.take(kept).unwrap_or_else(|| self.make(db, reach));
        let mut any = false;
        let result = iterator.with_mut(|kept| {
            let mut visit = |key: &[u8], value: &[u8]| {
                any = true;
                kept.last.clear();
                kept.last.extend_from_slice(key);
                visit(key, value)
            };
            walk(kept.rows, (from, to, direction), &mut visit)
        });
        match result {
            Err(error) if error.kind() == ErrorKind::Incomplete => {
                let mut last = iterator.with_last_mut(std::mem::take);
                drop(iterator);
                match direction {
                    _ if !any => bounded(db, (from, to, direction), reach, visit),
                    Direction::Forward => {
                        last.push(0);
                        bounded(db, (&last, to, direction), reach, visit)
                    }
                    Direction::Reverse => bounded(db, (from, Some(&last), direction), reach, visit),
                }
            }
            result => {
                self.put_back(kept, iterator);
                result
            }
        }
    }

    fn take(&self, kept: &Mutex<Vec<Kept>>) -> Option<Kept> {
        kept.lock().pop().filter(|kept| self.is_current(kept))
    }

    fn put_back(&self, kept: &Mutex<Vec<Kept>>, iterator: Kept) {
        let mut kept = kept.lock();
        // Under the lock: a write that ends from now on empties the list after this.
        if self.is_current(&iterator) && kept.len() < KEPT {
            kept.push(iterator);
        }
    }

    fn is_current(&self, kept: &Kept) -> bool {
        *kept.borrow_writes() == self.writes.load(Ordering::Acquire)
    }

    fn make(&self, db: &Arc<DB>, reach: Reach) -> Kept {
        let writes = self.writes.load(Ordering::Acquire);
        let mut options = reach.options();
        options.set_max_skippable_internal_keys(MOST_SKIPPED);
        Kept::new(Arc::clone(db), writes, Vec::new(), |db| db.raw_iterator_opt(options))
    }
}

/// A scan with an iterator of its own.
fn bounded(
    db: &DB,
    (from, to, direction): (&[u8], Option<&[u8]>, Direction),
    reach: Reach,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    if to.is_some_and(|to| to <= from) {
        return Ok(());
    }
    let mut options = reach.options();
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    walk(&mut db.raw_iterator_opt(options), (from, to, direction), visit)
}

fn walk(
    rows: &mut DBRawIterator<'_>,
    (from, to, direction): (&[u8], Option<&[u8]>, Direction),
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    match (direction, to) {
        (Direction::Forward, _) => rows.seek(from),
        (Direction::Reverse, None) => rows.seek_to_last(),
        (Direction::Reverse, Some(to)) => {
            rows.seek_for_prev(to);
            if rows.key() == Some(to) {
                rows.prev();
            }
        }
    }
    while let Some((key, value)) = rows.item() {
        let inside = match direction {
            Direction::Forward => to.is_none_or(|to| key < to),
            Direction::Reverse => key >= from,
        };
        if !inside || visit(key, value) == ControlFlow::Break(()) {
            return Ok(());
        }
        match direction {
            Direction::Forward => rows.next(),
            Direction::Reverse => rows.prev(),
        }
    }
    rows.status()
}
