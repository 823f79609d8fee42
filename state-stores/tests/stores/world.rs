//! Two stores of one kind in one task, their changelogs, and the models they must equal, through all that happens to
//! a task: transactions that commit or abort, savepoints, write-backs that fail, moves, crashes, restores.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use state_stores::{
    Direction, Savepoint, StateDir, StateOptions, StoreError, StoreIndex, StoreKind, StoreSpec,
    TaskState,
};

use super::disk::Disk;
use super::torn::TornEngine;

pub(crate) const STORES: usize = 2;
const PARTITION: u32 = 3;

/// A naive collection that a store must equal.
pub(crate) trait Model: Clone + Debug + Default {
    /// A call of one of the store's writing methods.
    type Write: Clone + Debug + 'static;
    const KIND: StoreKind;

    fn writes() -> BoxedStrategy<Self::Write>;

    /// Some writes, all accepted, that leave a row behind.
    fn examples() -> Vec<Self::Write>;

    /// Writes that delete what the examples left.
    fn deletions() -> Vec<Self::Write>;

    /// Does the same to the store and to the model; both must answer the same.
    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Self::Write);

    /// Compares the answers of all reading methods.
    fn check(&self, state: &TaskState, store: StoreIndex);

    /// Reads something of the examples.
    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError>;

    /// How many rows the base keeps for it, without expired ones, if the layout lets the model know.
    fn rows(&self) -> Option<usize>;

    /// The highest time put, for stores that expire.
    fn stream_time(&self) -> Option<i64> {
        None
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step<W> {
    Write {
        store: usize,
        write: W,
    },
    Savepoint,
    Rollback,
    Commit,
    Discard,
    /// The engine fails after `writes` batches, with `quarters` of the next one done.
    WriteBack {
        writes: Option<usize>,
        quarters: usize,
        crash: bool,
    },
    SyncFails,
    /// All is committed and written back, and no row is left in the layers: what is read now comes from the base.
    Settle,
    /// The task leaves and comes back while the process lives.
    Move,
    /// The process ends in order: all is committed and written back.
    Restart,
    Crash {
        in_files: usize,
    },
    /// The disk is lost.
    Elsewhere,
    Rebuild {
        store: usize,
    },
}

pub(crate) fn step<M: Model>() -> impl Strategy<Value = Step<M::Write>> {
    prop_oneof![
        24 => (0..STORES, M::writes()).prop_map(|(store, write)| Step::Write { store, write }),
        4 => Just(Step::Savepoint),
        3 => Just(Step::Rollback),
        6 => Just(Step::Commit),
        2 => Just(Step::Discard),
        4 => (prop::option::of(0..4usize), 0..5usize, any::<bool>())
            .prop_map(|(writes, quarters, crash)| Step::WriteBack { writes, quarters, crash }),
        1 => Just(Step::SyncFails),
        4 => Just(Step::Settle),
        1 => Just(Step::Move),
        1 => Just(Step::Restart),
        2 => (0..5usize).prop_map(|in_files| Step::Crash { in_files }),
        1 => Just(Step::Elsewhere),
        1 => (0..STORES).prop_map(|store| Step::Rebuild { store }),
    ]
}

/// A changelog record: full store key, value or tombstone.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// Full store keys with their values or tombstones.
pub(crate) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(crate) struct World<M: Model, D: Disk> {
    state: Option<TaskState>,
    dir: Option<Arc<StateDir>>,
    engine: Option<Arc<TornEngine<D::Engine>>>,
    disk: D,
    /// All that the log committed, per store; an offset is a place in it.
    changelogs: [Vec<Change>; STORES],
    pub(crate) models: [M; STORES],
    committed: [M; STORES],
    saved: Option<(Savepoint, [M; STORES])>,
    now: i64,
}

impl<M: Model, D: Disk> World<M, D> {
    pub(crate) fn new() -> Self {
        let (disk, engine) = D::create();
        let (changelogs, models, committed) = Default::default();
        let (state, dir, saved) = (None, None, None);
        let mut world =
            Self { state, dir, engine: None, disk, changelogs, models, committed, saved, now: 0 };
        world.open(engine);
        world
    }

    pub(crate) fn state(&mut self) -> &mut TaskState {
        self.state.as_mut().unwrap()
    }

    pub(crate) fn dir(&self) -> &StateDir {
        self.dir.as_ref().unwrap()
    }

    pub(crate) fn specs() -> Vec<StoreSpec> {
        let spec = |index| StoreSpec {
            name: format!("store-{index}").into(),
            changelog_topic: format!("store-{index}-changelog").into(),
            kind: M::KIND,
        };
        (0..STORES).map(spec).collect()
    }

    pub(crate) fn step(&mut self, step: Step<M::Write>) {
        self.now += 1;
        match step {
            Step::Write { store, write } => {
                let state = self.state.as_mut().unwrap();
                self.models[store].write(state, StoreIndex(store), &write);
            }
            Step::Savepoint => {
                self.saved = Some((self.state().savepoint(), self.models.clone()));
            }
            Step::Rollback => {
                if let Some((savepoint, models)) = self.saved.take() {
                    self.state().rollback_to(savepoint);
                    self.models = models;
                }
            }
            Step::Commit => self.commit(),
            Step::Discard => {
                self.state().discard();
                self.forget_transaction();
            }
            Step::WriteBack { writes, quarters, crash } => {
                let engine = Arc::clone(self.engine.as_ref().unwrap());
                engine.fail_after(writes, quarters);
                let result = self.dir().write_back(self.now);
                assert!(result.is_ok() || writes.is_some(), "{result:?}");
                engine.fail_after(None, 0);
                drop(engine);
                if crash {
                    self.crash(usize::MAX);
                }
            }
            Step::SyncFails => {
                let fail = || Err(StoreError::NoWal { place: "test".to_owned() });
                assert!(self.dir().write_back_after(self.now, fail).is_err());
            }
            Step::Settle => {
                self.commit();
                for _ in 0..2 {
                    self.dir().write_back(self.now).unwrap();
                }
            }
            Step::Move => {
                self.state = None;
                self.forget_transaction();
                self.open_task();
            }
            Step::Restart => self.restart(),
            Step::Crash { in_files } => self.crash(in_files),
            Step::Elsewhere => {
                drop(self.close());
                let (disk, engine) = D::create();
                self.disk = disk;
                self.open(engine);
            }
            Step::Rebuild { store } => {
                self.state().rebuild(StoreIndex(store)).unwrap();
                self.forget_transaction();
                assert_eq!(self.state().changelog_position(StoreIndex(store)), None);
                assert_eq!(self.state().count(StoreIndex(store)).unwrap(), 0);
                self.restore();
            }
        }
    }

    fn commit(&mut self) {
        let mut dirty: [Rows; STORES] = Default::default();
        self.state().dirty(&mut |store, key, value| {
            let record = (key.to_vec(), value.map(<[u8]>::to_vec));
            assert!(dirty[store.0].insert(record.0, record.1).is_none(), "one record a key");
        });
        for (changelog, dirty) in self.changelogs.iter_mut().zip(dirty) {
            changelog.extend(dirty);
        }
        let next = (0..STORES).map(|store| (StoreIndex(store), self.end(store)));
        let next: Vec<_> = next.collect();
        self.state().apply(&next);
        assert!(!self.state().is_dirty() && self.state().dirty_bytes() == 0);
        self.committed = self.models.clone();
        self.saved = None;
    }

    fn restart(&mut self) {
        self.commit();
        self.dir().write_back(self.now).unwrap();
        let engine = self.close();
        let engine = self.disk.reopen(engine);
        self.open(engine);
        for (store, model) in self.models.iter().enumerate() {
            let kept = self.state.as_ref().unwrap().count(StoreIndex(store)).unwrap();
            let seen = model.rows().unwrap_or(kept);
            // The engine drops expired rows when it likes.
            let may_differ = M::KIND.retention_ms().is_some() && kept > seen;
            assert!(kept == seen || may_differ, "{kept} rows are kept, {seen} can be seen");
        }
    }

    fn crash(&mut self, in_files: usize) {
        let engine = self.close();
        let engine = self.disk.crash(engine, in_files);
        self.open(engine);
    }

    /// Ends the process: what is left is the engine.
    fn close(&mut self) -> D::Engine {
        self.state = None;
        self.dir = None;
        self.forget_transaction();
        Arc::into_inner(self.engine.take().unwrap()).expect("nobody else has it").behind
    }

    fn open(&mut self, engine: D::Engine) {
        let engine = Arc::new(TornEngine::over(engine));
        self.engine = Some(Arc::clone(&engine));
        self.dir = Some(StateDir::open(engine, StateOptions::new("log")).unwrap());
        self.open_task();
    }

    fn open_task(&mut self) {
        self.state = Some(self.dir().task_state(PARTITION, &Self::specs()).unwrap());
        self.restore();
    }

    /// As the runtime does: from the state's position to the changelog's end.
    fn restore(&mut self) {
        for (store, changelog) in self.changelogs.iter().enumerate() {
            let (state, index) = (self.state.as_mut().unwrap(), StoreIndex(store));
            let end = changelog.len() as i64;
            if let Some(position) = state.changelog_position(index) {
                let tail = changelog[position as usize..].iter();
                state.restore(index, tail.map(|(key, value)| (&key[..], value.as_deref())), end);
                continue;
            }
            // Read from the start, a compacted changelog has lost tombstones. Those of windows tell the time: the
            // newest aren't compacted.
            let mut rows: Rows = changelog.iter().cloned().collect();
            rows.retain(|key, value| value.is_some() || M::KIND.row_time(key).is_some());
            state.restore(index, rows.iter().map(|(key, value)| (&key[..], value.as_deref())), end);
        }
    }

    /// What compaction leaves of a changelog when it has removed all tombstones.
    pub(crate) fn compacted(&self, store: usize) -> Rows {
        let mut rows: Rows = self.changelogs[store].iter().cloned().collect();
        rows.retain(|_, value| value.is_some());
        rows
    }

    fn forget_transaction(&mut self) {
        self.models = self.committed.clone();
        self.saved = None;
    }

    fn end(&self, store: usize) -> i64 {
        self.changelogs[store].len() as i64
    }

    /// The stores answer as their models, and hold the rows that the changelog and the open transaction say.
    pub(crate) fn check(&self) {
        let state = self.state.as_ref().unwrap();
        let mut rows: [Rows; STORES] =
            std::array::from_fn(|store| self.changelogs[store].iter().cloned().collect());
        state.dirty(&mut |store, key, value| {
            rows[store.0].insert(key.to_vec(), value.map(<[u8]>::to_vec));
        });
        for (store, (model, mut rows)) in self.models.iter().zip(rows).enumerate() {
            let index = StoreIndex(store);
            assert_eq!(state.stream_time(index), model.stream_time());
            model.check(state, index);
            let horizon = state.horizon(index);
            let visible = |key: &[u8]| {
                M::KIND.row_time(key).is_none_or(|time| horizon.is_none_or(|gone| time > gone))
            };
            rows.retain(|key, value| value.is_some() && visible(key));
            for (from, to) in [(&b""[..], None), (b"a", Some(&b"a\xff"[..])), (b"\0", Some(b"a\0"))]
            {
                let within = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
                let mut expected: Vec<_> = rows.clone().into_iter().collect();
                expected.retain(|(key, _)| within(key));
                assert_eq!(scan(state, index, (from, to), Direction::Forward, &visible), expected);
                expected.reverse();
                assert_eq!(scan(state, index, (from, to), Direction::Reverse, &visible), expected);
            }
            for (key, value) in rows {
                assert_eq!(state.get(index, &key).unwrap(), value);
            }
        }
    }
}

fn scan(
    state: &TaskState,
    store: StoreIndex,
    (from, to): (&[u8], Option<&[u8]>),
    direction: Direction,
    visible: &dyn Fn(&[u8]) -> bool,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        if visible(key) {
            rows.push((key.to_vec(), Some(value.to_vec())));
        }
        ControlFlow::Continue(())
    };
    state.scan(store, from, to, direction, visit).unwrap();
    rows
}
