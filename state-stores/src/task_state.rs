//! The state of one task: its stores on one partition, with the writes of the open transaction on top.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Visit;
use crate::holder::Holder;
use crate::overlay::{Overlay, Savepoint};
use crate::rebuild::{ChangelogRange, Rebuild, needs_rebuild};
use crate::rows::Hashed;
use crate::shelf::Shelf;
use crate::state_dir::Shared;
use crate::{Direction, StoreError, StoreIndex, StoreSpec};

/// What [`TaskState::dirty`] calls for each row: store, full store key, value (`None`: deleted).
pub type VisitDirty<'a> = dyn FnMut(StoreIndex, &[u8], Option<&[u8]>) + 'a;

/// The stores of one task. Owned by it and used from one thread at a time.
///
/// Reads look through three layers: the *overlay* of the open transaction, the *committed layer* in memory, the *base*
/// in the engine. What a transaction wrote becomes committed all at once by [`apply`](Self::apply), after the log's
/// transaction did, or disappears by [`discard`](Self::discard).
///
/// A [`StoreIndex`] is a place in the list of stores it was opened with; any other one panics.
///
/// # A store of your own
///
/// Whatever keeps its rows here is a store: transactions, savepoints, changelog and restore come with it. Here is one
/// that knows which members each group has, one row a member:
///
/// ```
/// # use std::ops::ControlFlow;
/// # use std::sync::Arc;
/// # use state_stores::{Direction, MemoryEngine, StateDir, StateOptions, StoreError, StoreIndex, StoreKind, StoreSpec, TaskState, keys};
/// struct Members(StoreIndex);
///
/// impl Members {
///     fn row(group: &str, member: &str) -> Vec<u8> {
///         let mut row = Vec::new();
///         keys::prefix(group.as_bytes(), &mut row);
///         row.extend_from_slice(member.as_bytes());
///         row
///     }
///
///     fn join(&self, state: &mut TaskState, group: &str, member: &str) {
///         state.put(self.0, &Self::row(group, member), Some(&[]));
///     }
///
///     fn leave(&self, state: &mut TaskState, group: &str, member: &str) {
///         state.put(self.0, &Self::row(group, member), None);
///     }
///
///     fn count(&self, state: &TaskState, group: &str) -> Result<usize, StoreError> {
///         let (from, mut members) = (Self::row(group, ""), 0);
///         let to = keys::after_prefix(&from);
///         state.scan(self.0, &from, to.as_deref(), Direction::Forward, &mut |_row, _value| {
///             members += 1;
///             ControlFlow::Continue(())
///         })?;
///         Ok(members)
///     }
/// }
///
/// # let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log"))?;
/// # let spec = StoreSpec { name: "m".into(), changelog_topic: "c".into(), kind: StoreKind::KeyValue };
/// # let mut state = dir.task_state(0, &[spec])?;
/// let members = Members(StoreIndex(0));
/// members.join(&mut state, "a", "anna");
/// members.join(&mut state, "a", "bob");
/// members.join(&mut state, "ab", "carl");
/// state.apply(&[(StoreIndex(0), 3)]);
/// members.leave(&mut state, "a", "anna");
/// assert_eq!(members.count(&state, "a")?, 1);
/// state.discard(); // the transaction was aborted
/// assert_eq!(members.count(&state, "a")?, 2);
/// # Ok::<(), StoreError>(())
/// ```
///
/// `operators` opens it for a processor through the trait `StoreBuilder`.
#[derive(Debug)]
pub struct TaskState {
    shared: Arc<Shared>,
    partition: u32,
    holder: Holder,
    shelves: Vec<Arc<Shelf>>,
    overlay: Overlay,
}

impl TaskState {
    /// `shelves` are held by `holder` already, and let go of when this is dropped.
    pub(crate) fn new(
        shared: Arc<Shared>,
        partition: u32,
        holder: Holder,
        shelves: Vec<Arc<Shelf>>,
    ) -> Self {
        let overlay = Overlay::new(shelves.len());
        Self { shared, partition, holder, shelves, overlay }
    }

    /// The partition these stores belong to; also their changelogs' partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Number of stores.
    pub fn store_count(&self) -> usize {
        self.shelves.len()
    }

    /// What the store is.
    pub fn spec(&self, store: StoreIndex) -> &StoreSpec {
        &self.shelves[store.0].spec
    }

    /// The store of this name.
    pub fn store(&self, name: &str) -> Option<StoreIndex> {
        self.shelves.iter().position(|shelf| &*shelf.spec.name == name).map(StoreIndex)
    }

    /// Calls `read` with the value of the full store key, or `None`; copies nothing.
    ///
    /// `read` may read other rows of the same state.
    pub fn get_with<R>(
        &self,
        store: StoreIndex,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        let key = Hashed::new(key);
        match self.overlay.stores[store.0].rows.get(key) {
            Some(value) => Ok(read(value.as_deref())),
            None => self.shelves[store.0].get_with(&*self.shared.engine, key, read),
        }
    }

    /// A copy of the value of the full store key.
    pub fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_with(store, key, |value| value.map(<[u8]>::to_vec))
    }

    /// Sets (or, with `None`, deletes) the row of the full store key, in the open transaction.
    pub fn put(&mut self, store: StoreIndex, key: &[u8], value: Option<&[u8]>) {
        self.overlay.put(&self.shelves[store.0].spec, store, Hashed::new(key), value);
    }

    /// Visits the rows of `[from, to)` in order or in reverse until `visit` breaks; `to = None`: to the end.
    ///
    /// A write-back that begins meanwhile waits for the scan.
    pub fn scan(
        &self,
        store: StoreIndex,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.scan_since(store, (from, to, direction), None, visit)
    }

    /// As [`Self::scan`]; rows of times below `since` may be left out. What is newer than the last write-back but one
    /// is found without asking the base.
    pub(crate) fn scan_since(
        &self,
        store: StoreIndex,
        range: (&[u8], Option<&[u8]>, Direction),
        since: Option<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let overlay = &self.overlay.stores[store.0].rows;
        self.shelves[store.0].scan(&*self.shared.engine, overlay, range, since, visit)
    }

    /// The highest time of any row put into the store, the open transaction included (windows: start, sessions:
    /// end, versions: beginning).
    pub fn stream_time(&self, store: StoreIndex) -> Option<i64> {
        self.overlay.stores[store.0].stream_time.max(self.shelves[store.0].stream_time())
    }

    /// Rows of this time and below have expired: they are invisible and may be gone.
    pub fn horizon(&self, store: StoreIndex) -> Option<i64> {
        self.spec(store).kind.horizon(self.stream_time(store)?)
    }

    /// Remembers the overlay as it is now. Ends the savepoint before it.
    pub fn savepoint(&mut self) -> Savepoint {
        self.overlay.savepoint()
    }

    /// Undoes all puts since `savepoint` and ends it.
    ///
    /// # Panics
    /// When the savepoint has ended: by a later one, by apply or by discard.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        self.overlay.rollback_to(savepoint);
    }

    /// Visits each full store key that the open transaction wrote, with its last value: the changelog records of this
    /// commit, by store and in the order of each key's first put.
    pub fn dirty(&self, visit: &mut VisitDirty<'_>) {
        for (index, store) in self.overlay.stores.iter().enumerate() {
            for (key, value) in store.rows.iter() {
                visit(StoreIndex(index), key, value);
            }
        }
    }

    /// [`dirty`](Self::dirty) of one store, in key order.
    pub fn dirty_of(&self, store: StoreIndex, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in self.overlay.stores[store.0].rows.sorted().iter() {
            visit(key, value);
        }
    }

    /// Memory of the open transaction's rows, for a cap.
    pub fn dirty_bytes(&self) -> usize {
        self.overlay.bytes()
    }

    /// True when the open transaction wrote something.
    pub fn is_dirty(&self) -> bool {
        self.overlay.stores.iter().any(|store| !store.rows.is_empty())
    }

    /// The log committed the transaction: its rows become committed, together with the next offset to read of the
    /// changelogs named (highest acknowledged + 1). Only moves memory, so it can't fail half-way.
    pub fn apply(&mut self, next_offsets: &[(StoreIndex, i64)]) {
        let (shelves, shared) = (&self.shelves, &self.shared);
        self.overlay.take(|index, store| {
            let position =
                next_offsets.iter().rev().find(|(of, _)| *of == index).map(|(_, offset)| *offset);
            if position.is_some() || !store.rows.is_empty() {
                shelves[index.0].commit(
                    &mut store.rows,
                    store.stream_time,
                    position,
                    &shared.layers,
                );
            }
        });
    }

    /// The transaction was aborted: its writes are forgotten.
    pub fn discard(&mut self) {
        self.overlay.take(|_, _| {});
    }

    /// The next changelog offset that the committed rows stand for; `None`: never restored nor written.
    pub fn changelog_position(&self, store: StoreIndex) -> Option<i64> {
        self.shelves[store.0].position()
    }

    /// Takes rows read from the changelog into the committed layer; `next_offset` follows the last of them.
    ///
    /// For a store that expires the rows' times advance its stream time. Call it with no rows when there is
    /// nothing left to read: only that confirms that the state is the changelog's as of now, see
    /// [`needs_rebuild`](Self::needs_rebuild). A write-back between two calls is safe.
    pub fn restore<'r>(
        &mut self,
        store: StoreIndex,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
    ) {
        self.shelves[store.0].restore(rows, next_offset, &self.shared.layers);
    }

    pub(crate) fn follow<'r>(
        &self,
        store: StoreIndex,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
    ) {
        self.shelves[store.0].follow(self.holder, rows, next_offset, &self.shared.layers);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.shelves.iter().all(|shelf| shelf.is_held_by(self.holder))
    }

    pub(crate) fn as_of_ms(&self, store: StoreIndex) -> Option<i64> {
        self.shelves[store.0].as_of_ms()
    }

    pub(crate) fn set_as_of(&self, store: StoreIndex, at_ms: i64) {
        self.shelves[store.0].set_as_of(self.holder, at_ms);
    }

    /// Whether the store must be rebuilt from the start of its changelog rather than continued, and why.
    pub fn needs_rebuild(
        &self,
        store: StoreIndex,
        changelog: &ChangelogRange<'_>,
        now_ms: i64,
    ) -> Option<Rebuild> {
        let shelf = &self.shelves[store.0];
        let topic_id = shelf.topic_id();
        let at = (shelf.position(), topic_id.as_deref());
        needs_rebuild(at, shelf.as_of_ms(), changelog, now_ms)
    }

    /// The rows are those of the changelog with this id; to be said once nothing needs to be rebuilt, or was.
    pub fn set_changelog_id(&self, store: StoreIndex, id: &str) {
        self.shelves[store.0].set_topic_id(self.holder, id);
    }

    /// Forgets the rows and the position of the store on this partition, and the whole open transaction.
    ///
    /// Waits for a write-back that is under way.
    pub fn rebuild(&mut self, store: StoreIndex) -> Result<(), StoreError> {
        self.discard();
        let _no_write_back = self.shared.writing.lock();
        self.shelves[store.0].clear(self.holder, &self.shared)
    }

    /// Number of rows, counted one by one: for tests and small stores.
    pub fn count(&self, store: StoreIndex) -> Result<usize, StoreError> {
        let mut rows = 0;
        self.scan(store, &[], None, Direction::Forward, &mut |_, _| {
            rows += 1;
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

impl Drop for TaskState {
    fn drop(&mut self) {
        let now_ms = self.shared.clock_ms.load(Ordering::Relaxed);
        for shelf in &self.shelves {
            shelf.close(self.holder, (now_ms != i64::MIN).then_some(now_ms));
        }
    }
}
