//! The engine without files: for tests, the simulation and `TopologyTestDriver`.
//!
//! With [`MemoryEngine::with_crashes`] it also remembers which writes a crash would lose, and can lose them.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::engine::Visit;
use crate::{BatchOp, Direction, Durability, Engine, Extent, Horizons, StoreError, WriteBatch};

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// How a simulated crash ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died: writes with [`Durability::Wal`] survive.
    Process,
    /// The machine died: only what was synced or flushed survives.
    Machine,
    /// The process died just after the engine had, by itself, put this many of the volatile batches into files.
    ///
    /// What survives of unsynced writes is always such a prefix.
    AfterPrefix(usize),
}

/// A sorted map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Map,
    /// What a crash leaves, and the batches since; `None` when crashes aren't simulated.
    durable: Option<(Map, Vec<(WriteBatch, Durability)>)>,
    /// Operations since expired rows were looked for.
    written: usize,
    horizons: Arc<Horizons>,
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty engine whose [`crash`](Self::crash) loses what real files would lose. Keeps every row twice.
    pub fn with_crashes() -> Self {
        let inner = Inner { durable: Some(Default::default()), ..Inner::default() };
        Self { inner: RwLock::new(inner) }
    }

    /// Loses what wasn't durable. Does nothing unless made by [`with_crashes`](Self::with_crashes).
    pub fn crash(&self, how: Crash) {
        let mut inner = self.inner.write();
        let Inner { now, durable: Some((files, pending)), .. } = &mut *inner else { return };
        for (index, (batch, durability)) in pending.drain(..).enumerate() {
            let survives = match how {
                Crash::Process => durability >= Durability::Wal,
                Crash::Machine => durability >= Durability::Synced,
                Crash::AfterPrefix(kept) => index < kept || durability >= Durability::Wal,
            };
            if survives {
                apply(files, &batch);
            }
        }
        now.clone_from(files);
    }

    /// A copy of what a crash would leave now. All of it unless made by [`with_crashes`](Self::with_crashes).
    #[must_use]
    pub fn after(&self, how: Crash) -> Self {
        let inner = self.inner.read();
        let (now, durable) = (inner.now.clone(), inner.durable.clone());
        let copy = Inner { now, durable, ..Inner::default() };
        drop(inner);
        let copy = Self { inner: RwLock::new(copy) };
        copy.crash(how);
        copy
    }

    /// Batches that a crash of the machine would lose; 0 unless made by [`with_crashes`](Self::with_crashes).
    pub fn volatile_batches(&self) -> usize {
        let inner = self.inner.read();
        let Some((_, pending)) = &inner.durable else { return 0 };
        pending.iter().filter(|(_, durability)| *durability < Durability::Synced).count()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.inner.read().now.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Engine for MemoryEngine {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        // Recursive: `read` may look at another row while a writer is already waiting.
        let inner = self.inner.read_recursive();
        let value = inner.now.get(key);
        if let Some(value) = value {
            read(value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let inner = self.inner.read_recursive();
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = inner.now.range::<[u8], _>((Bound::Included(from), upper));
        loop {
            let row = match direction {
                Direction::Forward => rows.next(),
                Direction::Reverse => rows.next_back(),
            };
            match row {
                Some((key, value)) if visit(key, value).is_continue() => {}
                _ => return Ok(()),
            }
        }
    }

    fn extent(&self, from: &[u8], to: &[u8]) -> Option<Extent> {
        let (mut bytes, mut rows) = (0, 0);
        let mut visit = |key: &[u8], value: &[u8]| {
            bytes += (key.len() + value.len()) as u64;
            rows += 1;
            ControlFlow::Continue(())
        };
        self.scan(from, Some(to), Direction::Forward, &mut visit).ok()?;
        Some(Extent { bytes, rows: Some(rows) })
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        apply(&mut inner.now, batch);
        inner.written += batch.len();
        if let Some((_, pending)) = &mut inner.durable {
            pending.push((batch.clone(), durability));
            if durability == Durability::Synced {
                mark_synced(pending);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        if let Some((_, pending)) = &mut self.inner.write().durable {
            mark_synced(pending);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        if let Some((files, pending)) = &mut self.inner.write().durable {
            for (batch, _) in pending.drain(..) {
                apply(files, &batch);
            }
        }
        Ok(())
    }

    fn expire_by(&self, horizons: &Arc<Horizons>) {
        self.inner.write().horizons = Arc::clone(horizons);
    }

    fn drop_expired(&self) {
        drop_expired(&mut self.inner.write());
    }
}

/// Not before half as much was written as there is to look through: that bounds what it costs for each row.
fn drop_expired(inner: &mut Inner) {
    let Inner { horizons, .. } = inner;
    if horizons.is_empty() || inner.written < inner.now.len() / 2 {
        return;
    }
    inner.written = 0;
    inner.now.retain(|key, _| !horizons.is_expired(key));
    if let Some((files, _)) = &mut inner.durable {
        files.retain(|key, _| !horizons.is_expired(key));
    }
}

/// One sync of the write-ahead log covers all that was written to it before.
fn mark_synced(pending: &mut [(WriteBatch, Durability)]) {
    for (_, durability) in pending {
        if *durability == Durability::Wal {
            *durability = Durability::Synced;
        }
    }
}

fn apply(map: &mut Map, batch: &WriteBatch) {
    for op in batch.iter() {
        match op {
            BatchOp::Put(key, value) => match map.get_mut(key) {
                Some(slot) => *slot = value.into(),
                None => {
                    map.insert(key.into(), value.into());
                }
            },
            BatchOp::Delete(key) => {
                map.remove(key);
            }
            BatchOp::DeleteRange(from, to) if from < to => {
                let bounds = (Bound::Included(from), Bound::Excluded(to));
                let doomed: Vec<_> =
                    map.range::<[u8], _>(bounds).map(|(key, _)| key.clone()).collect();
                for key in doomed {
                    map.remove(&key);
                }
            }
            BatchOp::DeleteRange(..) => {}
        }
    }
}
