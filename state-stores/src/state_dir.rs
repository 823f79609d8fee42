//! The state of one application instance: one engine, shared by all its tasks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::{self, Place, Replaced};
use crate::committed::CommittedStore;
use crate::holder::Holder;
use crate::layer_budget::{LayerBudget, LayerShare};
use crate::left_over;
use crate::shelf::Shelf;
use crate::write_back::WriteBack;
use crate::{
    Durability, Engine, EngineMemory, Extent, Horizons, StandbyState, StoreError, StoreSpec,
    TaskState, WriteBatch,
};

/// A quiet instance renews the age of its state this many times less often than a busy one writes it.
const QUIET_FACTOR: i64 = 10;

/// Left-over state is looked for so often, by a write-back; the first time so long after the first one.
const LEFT_OVER_LOOK_MS: i64 = 3_600_000;

/// Settings of a [`StateDir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOptions {
    /// Identity of the log that holds the changelogs; state of another log is removed at opening.
    pub log_id: String,
    /// Which life of the application this is, if that is known: state of a former one, from before a reset, is removed at
    /// opening as that of another log is.
    pub incarnation: Option<String>,
    /// Memory for committed layers over all tasks: a quarter for rows read from the base, half of the rest for rows that
    /// aren't there yet, half for those of the last write-back. 64 MiB unless set. Of no account where folders share a
    /// [`LayerBudget`].
    pub layer_bytes: usize,
    /// Age at which rows are written to the base although there is room left. 60 s unless set.
    pub max_layer_age_ms: i64,
    /// State that no task and no standby here has had for so long is removed (`state.cleanup.delay.ms`), that of stores
    /// which no topology has any more with it. A day unless set: when tombstones may be gone it would be built anew in any
    /// case, where its changelog has gone on.
    pub left_over_ms: i64,
}

impl StateOptions {
    /// Settings for the log of this identity.
    pub fn new(log_id: impl Into<String>) -> Self {
        let log_id = log_id.into();
        Self {
            log_id,
            incarnation: None,
            layer_bytes: 64 << 20,
            max_layer_age_ms: 60_000,
            left_over_ms: 24 * 3_600_000,
        }
    }
}

/// The state of one application instance.
///
/// Tasks come and go with the assignment; the committed layers of their stores stay here, so a task that returns finds
/// its state as it left it, and opening one touches no files.
#[derive(Debug)]
pub struct StateDir {
    shared: Arc<Shared>,
    options: StateOptions,
    shelves: Mutex<Shelves>,
    replaced_log: Option<String>,
    last_write_back_ms: AtomicI64,
    /// When left-over state was looked for.
    last_look_ms: AtomicI64,
    /// How many have held something.
    holders: AtomicU64,
}

/// What the base holds of one store on one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreExtent {
    /// The store's name.
    pub store: Arc<str>,
    /// The task's partition.
    pub partition: u32,
    /// How much it is.
    pub extent: Extent,
}

/// What a state folder holds in memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateMemory {
    /// Committed rows that aren't in the base yet.
    pub live: usize,
    /// Those of the last write-back, kept for reading.
    pub settled: usize,
    /// Rows read from the base, of all folders that share the budget.
    pub clean: usize,
    /// Of the engine.
    pub engine: EngineMemory,
}

/// What the stores of all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    /// Memory of the committed layers.
    pub(crate) layers: LayerShare,
    pub(crate) horizons: Arc<Horizons>,
    /// The latest time anybody told us; `i64::MIN` before that.
    pub(crate) clock_ms: AtomicI64,
    /// Held during a write-back.
    pub(crate) writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shelves {
    numbers: HashMap<Arc<str>, u32>,
    /// In the order of the engine's keys.
    by_place: BTreeMap<Place, Arc<Shelf>>,
}

impl StateDir {
    /// Opens the state kept in `engine`. State of another log is removed, see [`replaced_log`](Self::replaced_log).
    ///
    /// # Errors
    /// [`StoreError::Format`] for state of another version; the engine fails.
    pub fn open(engine: Arc<dyn Engine>, options: StateOptions) -> Result<Arc<Self>, StoreError> {
        let layers = LayerBudget::new(options.layer_bytes);
        Self::open_within(engine, options, &layers)
    }

    /// As [`open`](Self::open), with a bound for the committed layers that other folders of the process have a part of.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_within(
        engine: Arc<dyn Engine>,
        options: StateOptions,
        layers: &Arc<LayerBudget>,
    ) -> Result<Arc<Self>, StoreError> {
        let replaced = base::open(&*engine, &options.log_id, options.incarnation.as_deref())?;
        let replaced_log = match replaced {
            Some(Replaced::Log(was)) => {
                let now = &options.log_id;
                tracing::warn!(was, now, "the state belongs to another log: it is rebuilt");
                Some(was)
            }
            Some(Replaced::Incarnation) => {
                tracing::warn!(
                    "the state is from before a reset of the application: it is built anew"
                );
                None
            }
            None => None,
        };
        let horizons = Arc::default();
        engine.expire_by(&horizons);
        let shared = Shared {
            engine,
            horizons,
            layers: LayerShare::new(layers),
            clock_ms: AtomicI64::new(i64::MIN),
            writing: Mutex::new(()),
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            options,
            shelves: Mutex::default(),
            replaced_log,
            last_write_back_ms: AtomicI64::new(i64::MIN),
            last_look_ms: AtomicI64::new(i64::MIN),
            holders: AtomicU64::new(0),
        }))
    }

    /// The identity of the log whose state was found and removed at opening.
    pub fn replaced_log(&self) -> Option<&str> {
        self.replaced_log.as_deref()
    }

    /// What [`keep_manifest`](Self::keep_manifest) kept last, if this log's state was ever described.
    pub fn manifest(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.engine.get(&base::manifest_row())
    }

    /// Keeps a description of the state beside it, in place of the former one: whole or not at all, and for good once
    /// this returns. Forgotten with the state of another log.
    pub fn keep_manifest(&self, manifest: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        batch.put(&base::manifest_row(), manifest);
        self.shared.engine.write(&batch, Durability::None)?;
        // What else this brings to disk is a prefix of the rows, which the changelogs' tails complete.
        self.shared.engine.flush()
    }

    /// The stores of a task on one partition. Cheap: opens no file. A [`StandbyState`] that has them loses them to the
    /// task, with the rows it has read so far.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another `TaskState` has one of them; [`StoreError::Spec`] for a name given twice or
    /// with two meanings.
    pub fn task_state(
        &self,
        partition: u32,
        stores: &[StoreSpec],
    ) -> Result<TaskState, StoreError> {
        let holder = Holder::task(self.holder_number());
        let own = self.take_shelves(holder, partition, stores)?;
        Ok(TaskState::new(Arc::clone(&self.shared), partition, holder, own))
    }

    /// The same stores for a standby, which follows their changelogs until a task takes them.
    ///
    /// # Errors
    /// As [`task_state`](Self::task_state); [`StoreError::InUse`] also while another standby has one of them.
    pub fn standby_state(
        &self,
        partition: u32,
        stores: &[StoreSpec],
        now_ms: i64,
    ) -> Result<StandbyState, StoreError> {
        let holder = Holder::standby(self.holder_number());
        let own = self.take_shelves(holder, partition, stores)?;
        let state = TaskState::new(Arc::clone(&self.shared), partition, holder, own);
        Ok(StandbyState::new(state, now_ms))
    }

    fn holder_number(&self) -> u64 {
        self.holders.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// All of them, or none.
    fn take_shelves(
        &self,
        holder: Holder,
        partition: u32,
        stores: &[StoreSpec],
    ) -> Result<Vec<Arc<Shelf>>, StoreError> {
        let mut shelves = self.shelves.lock();
        let mut own: Vec<Arc<Shelf>> = Vec::with_capacity(stores.len());
        for (index, spec) in stores.iter().enumerate() {
            if stores[..index].iter().any(|other| other.name == spec.name) {
                return Err(spec_error(spec, "named twice in one task"));
            }
            own.push(self.shelf(&mut shelves, partition, spec)?);
        }
        if let Some(taken) = own.iter().find(|shelf| !shelf.is_free_for(holder)) {
            return Err(StoreError::InUse {
                store: taken.spec.name.as_ref().to_owned(),
                partition,
            });
        }
        // No other caller can open one between the check and here: the lock is held.
        for shelf in &own {
            shelf.hold(holder);
        }
        Ok(own)
    }

    /// Committed rows of a store, for queries from other threads; `None` if no task of this instance ever had it.
    pub fn committed(&self, store: &str, partition: u32) -> Option<CommittedStore> {
        let shelves = self.shelves.lock();
        let store = *shelves.numbers.get(store)?;
        let shelf = shelves.by_place.get(&Place { store, partition })?;
        Some(CommittedStore::new(Arc::clone(&self.shared), Arc::clone(shelf)))
    }

    /// How much of each store and partition lies in the base, as far as the engine can tell without reading it. Only of
    /// those that a task of this instance had since it was opened.
    pub fn extents(&self) -> Vec<StoreExtent> {
        let shelves: Vec<_> = self.shelves.lock().by_place.values().cloned().collect();
        let extent = |shelf: &Arc<Shelf>| {
            let (from, to) = (shelf.place.rows(), shelf.place.rows_end());
            let extent = self.shared.engine.extent(&from, &to)?;
            let (store, partition) = (Arc::clone(&shelf.spec.name), shelf.place.partition);
            Some(StoreExtent { store, partition, extent })
        };
        shelves.iter().filter_map(extent).collect()
    }

    /// Memory of the committed layers, in bytes; with the clean rows of all folders that share the budget.
    pub fn layer_bytes(&self) -> usize {
        let memory = self.memory();
        memory.live + memory.settled + memory.clean
    }

    /// What is held in memory, and where.
    pub fn memory(&self) -> StateMemory {
        let layers = &self.shared.layers;
        StateMemory {
            live: layers.live(),
            settled: layers.settled(),
            clean: layers.clean().used(),
            engine: self.shared.engine.memory(),
        }
    }

    /// Lets go of rows that are in the base as well when other folders need their memory. Cheap when they don't.
    pub fn make_room(&self) {
        if self.shared.layers.is_in_the_way() {
            let shelves: Vec<_> = self.shelves.lock().by_place.values().cloned().collect();
            shelves.iter().for_each(|shelf| shelf.let_settled_go());
            self.count_settled(&shelves);
        }
    }

    fn count_settled(&self, shelves: &[Arc<Shelf>]) {
        self.shared.layers.settled_is(shelves.iter().map(|shelf| shelf.settled_bytes()).sum());
    }

    /// True when the committed layers are full or old, so that [`write_back`](Self::write_back) should run. While a folder of
    /// the same budget is written back only when they are twice as full.
    ///
    /// Cheap enough to ask at every step.
    pub fn write_back_due(&self, now_ms: i64) -> bool {
        self.shared.clock_ms.fetch_max(now_ms, Ordering::Relaxed);
        if self.shared.layers.is_full() {
            return true;
        }
        if self.shared.layers.is_being_written() {
            return false;
        }
        let last = self.last_write_back_ms.load(Ordering::Relaxed);
        if last == i64::MIN {
            self.last_write_back_ms.store(now_ms, Ordering::Relaxed);
            return false;
        }
        let factor = if self.shared.layers.live() > 0 { 1 } else { QUIET_FACTOR };
        now_ms.saturating_sub(last) >= self.options.max_layer_age_ms.saturating_mul(factor)
    }

    /// Writes the committed layers to the base: rows sorted, then the offsets they stand for, then a flush.
    ///
    /// The log must hold durably everything applied so far, by any task. Where that takes a sync while tasks go on
    /// applying, use [`write_back_after`](Self::write_back_after).
    pub fn write_back(&self, now_ms: i64) -> Result<(), StoreError> {
        self.write_back_after(now_ms, || Ok(()))
    }

    /// As [`write_back`](Self::write_back), but takes aside what is to be written, then calls `sync_log`, then writes.
    /// So only rows are written whose transactions the log holds durably, while other tasks go on.
    ///
    /// If anything fails the rows stay in memory and the next write-back tries again.
    pub fn write_back_after<E: From<StoreError>>(
        &self,
        now_ms: i64,
        sync_log: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _one_at_a_time = self.shared.writing.lock();
        let _turn = self.shared.layers.writing();
        self.shared.clock_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.last_write_back_ms.store(now_ms, Ordering::Relaxed);
        let shelves: Vec<_> = self.shelves.lock().by_place.values().cloned().collect();
        let frozen: Vec<_> =
            shelves.iter().filter_map(|shelf| shelf.freeze(now_ms, &self.shared.layers)).collect();
        self.count_settled(&shelves);
        let write_back = WriteBack::new(&*self.shared.engine, &frozen);
        let result = sync_log().and_then(|()| write_back.write().map_err(E::from));
        for frozen in &frozen {
            frozen.shelf.thaw(result.is_ok());
        }
        self.count_settled(&shelves);
        result?;
        metrics::gauge!("state_layer_bytes").set(self.shared.layers.budget().used() as f64);
        write_back.expire(&self.shared.horizons);
        Ok(self.remove_left_over(now_ms)?)
    }

    /// The caller holds the write-back lock.
    fn remove_left_over(&self, now_ms: i64) -> Result<(), StoreError> {
        let last = self.last_look_ms.load(Ordering::Relaxed);
        if last == i64::MIN {
            // What this instance had before it stood still for days may be its again in a moment.
            self.last_look_ms.store(now_ms, Ordering::Relaxed);
            return Ok(());
        }
        if now_ms.saturating_sub(last) < LEFT_OVER_LOOK_MS {
            return Ok(());
        }
        self.last_look_ms.store(now_ms, Ordering::Relaxed);
        let shelves = self.shelves.lock();
        let limit_ms = self.options.left_over_ms;
        let removed = left_over::remove(&self.shared, &shelves.by_place, now_ms, limit_ms)?;
        if removed > 0 {
            tracing::info!(removed, "removed the state of tasks that have been elsewhere for long");
        }
        Ok(())
    }

    fn shelf(
        &self,
        shelves: &mut Shelves,
        partition: u32,
        spec: &StoreSpec,
    ) -> Result<Arc<Shelf>, StoreError> {
        let engine = &*self.shared.engine;
        let store = match shelves.numbers.get(&spec.name) {
            Some(store) => *store,
            None => {
                let store = base::store_number(engine, &spec.name)?;
                shelves.numbers.insert(Arc::clone(&spec.name), store);
                store
            }
        };
        let place = Place { store, partition };
        if let Some(shelf) = shelves.by_place.get(&place) {
            if shelf.spec != *spec {
                return Err(spec_error(spec, "opened before with another kind or changelog"));
            }
            return Ok(Arc::clone(shelf));
        }
        let shelf = Arc::new(Shelf::load(engine, spec.clone(), place, self.shared.layers.clean())?);
        shelves.by_place.insert(place, Arc::clone(&shelf));
        Ok(shelf)
    }
}

fn spec_error(spec: &StoreSpec, detail: &str) -> StoreError {
    StoreError::Spec { store: spec.name.as_ref().to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryEngine, StoreIndex, StoreKind, keys};

    #[test]
    fn nothing_has_expired_of_a_store_that_is_about_to_be_built_anew() {
        let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
        let kind = StoreKind::Window { retention_ms: 100, duplicates: false };
        let spec = StoreSpec { name: "a".into(), changelog_topic: "a".into(), kind };
        let mut state = dir.task_state(0, &[spec]).unwrap();
        let full = |time| {
            let mut full = Vec::new();
            keys::window(b"k", time, None, &mut full);
            full
        };
        let in_base = [&Place { store: 0, partition: 0 }.rows()[..], &full(900)].concat();
        state.put(StoreIndex(0), &full(1_000), Some(b"row"));
        state.apply(&[(StoreIndex(0), 1)]);
        assert!(!dir.shared.horizons.is_expired(&in_base), "its time isn't durable");
        dir.write_back(0).unwrap();
        assert!(dir.shared.horizons.is_expired(&in_base));
        state.rebuild(StoreIndex(0)).unwrap();
        assert!(!dir.shared.horizons.is_expired(&in_base));
    }
}
