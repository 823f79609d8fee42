//! Reading a table's rows by key, wherever they come from: a store, or other tables' rows.
//!
//! Invariant: what a view shows for a key is what the table handed on last for it.

use std::sync::Arc;

use state_stores::{
    Session, SessionStore, StoreError, TaskState, TimestampedKeyValueStore, VersionedKeyValueStore,
    WindowStore,
};

use crate::assembly::Assembly;
use crate::materialized::Materialized;
use crate::windowed::Windowed;

/// What is called with a row's value and timestamp.
pub(crate) type Show<'r, V> = dyn FnMut(Option<(&V, i64)>) + 'r;

/// Shows rows; `read` is called once, with value and timestamp.
pub(crate) trait Rows<K: ?Sized, V: ?Sized>: Send {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError>;

    /// As [`Self::read`], of the row at a time (ms), where versions are kept.
    fn read_as_of(
        &mut self,
        state: &TaskState,
        key: &K,
        _as_of: i64,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        self.read(state, key, read)
    }
}

impl<K: ?Sized, V: ?Sized> dyn Rows<K, V> {
    /// As [`Rows::read`], with a result.
    pub(crate) fn read_with<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        let (mut read, mut result) = (Some(read), None);
        self.read(state, key, &mut |row| result = read.take().map(|read| read(row)))?;
        Ok(result.expect("a row, or its absence, is shown once"))
    }

    /// As [`Rows::read_as_of`], with a result.
    pub(crate) fn read_as_of_with<R>(
        &mut self,
        state: &TaskState,
        (key, as_of): (&K, i64),
        read: impl FnOnce(Option<(&V, i64)>) -> R,
    ) -> Result<R, StoreError> {
        let (mut read, mut result) = (Some(read), None);
        let mut show = |row: Option<(&V, i64)>| result = read.take().map(|read| read(row));
        self.read_as_of(state, key, as_of, &mut show)?;
        Ok(result.expect("a row, or its absence, is shown once"))
    }
}

type Open<K, V> = dyn Fn(&Assembly<'_>) -> Box<dyn Rows<K, V>> + Send + Sync;

/// How a task's nodes get at the rows of a table.
pub(crate) struct View<K: ?Sized, V: ?Sized> {
    /// The stores that are read: their nodes and the reader must be in one task.
    pub(crate) stores: Vec<Arc<str>>,
    /// The tables that it changes with, by their stores.
    roots: Vec<Arc<str>>,
    /// Whether its table hands on what its rows were before.
    knows_old: bool,
    /// How long versions are kept (ms, stream time); None: only the row of now is.
    pub(crate) history_ms: Option<i64>,
    open: Arc<Open<K, V>>,
}

impl<K: ?Sized, V: ?Sized> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
            roots: self.roots.clone(),
            knows_old: self.knows_old,
            history_ms: self.history_ms,
            open: Arc::clone(&self.open),
        }
    }
}

impl<K: ?Sized, V: ?Sized> View<K, V> {
    /// The rows of a table that changes by itself, in these stores: its rows' first.
    pub(crate) fn own(
        stores: Vec<Arc<str>>,
        open: impl Fn(&Assembly<'_>) -> Box<dyn Rows<K, V>> + Send + Sync + 'static,
    ) -> Self {
        let (roots, open) = (stores[..1].to_vec(), Arc::new(open));
        Self { stores, roots, knows_old: true, history_ms: None, open }
    }

    /// The view of a table that shows this one's rows later; the store says which.
    pub(crate) fn held_in(
        &self,
        store: Arc<str>,
        open: impl Fn(&Assembly<'_>) -> Box<dyn Rows<K, V>> + Send + Sync + 'static,
    ) -> Self {
        let stores = self.stores.iter().cloned().chain([store]).collect();
        Self { stores, ..self.derived(open) }
    }

    /// The view of a table made of this one's rows.
    pub(crate) fn derived<VO: ?Sized>(
        &self,
        open: impl Fn(&Assembly<'_>) -> Box<dyn Rows<K, VO>> + Send + Sync + 'static,
    ) -> View<K, VO> {
        View {
            stores: self.stores.clone(),
            roots: self.roots.clone(),
            knows_old: self.knows_old,
            history_ms: self.history_ms,
            open: Arc::new(open),
        }
    }

    /// The view of a table made of this one's and another's rows.
    pub(crate) fn joined<R: ?Sized, VO: ?Sized>(
        &self,
        other: &View<K, R>,
        open: impl Fn(&Assembly<'_>) -> Box<dyn Rows<K, VO>> + Send + Sync + 'static,
    ) -> View<K, VO> {
        View {
            stores: [&self.stores[..], &other.stores].concat(),
            roots: [&self.roots[..], &other.roots].concat(),
            knows_old: !self.shares_roots(other),
            history_ms: None,
            open: Arc::new(open),
        }
    }

    /// Whether one record may change rows of both tables: then what the one reads of the other was
    /// changed before its turn.
    pub(crate) fn shares_roots<R: ?Sized>(&self, other: &View<K, R>) -> bool {
        self.roots.iter().any(|root| other.roots.contains(root))
    }

    /// Whether its table hands on what its rows were before.
    pub(crate) fn knows_old(&self) -> bool {
        self.knows_old
    }

    /// A task's own reader.
    pub(crate) fn open(&self, assembly: &Assembly<'_>) -> Box<dyn Rows<K, V>> {
        (self.open)(assembly)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> View<K, V> {
    /// The rows of a timestamped key-value store whose table changes by itself.
    pub(crate) fn of(store: &Materialized<K, V>) -> Self {
        Self::of_copy(store, None)
    }

    /// The rows of a timestamped key-value store that holds those of `original`.
    pub(crate) fn of_copy(store: &Materialized<K, V>, original: Option<&Self>) -> Self {
        let (store, name) = (store.clone(), Arc::clone(&store.name));
        let own = || vec![Arc::clone(&name)];
        Self {
            stores: own(),
            roots: original.map_or_else(own, |original| original.roots.clone()),
            knows_old: true,
            history_ms: None,
            open: Arc::new(move |assembly| {
                let place = assembly.store(&store.name);
                Box::new(TimestampedKeyValueStore::new(place, &store.key, &store.value))
            }),
        }
    }

    /// The rows of a versioned store.
    pub(crate) fn versioned(store: &Materialized<K, V>, history_ms: i64) -> Self {
        let (store, name) = (store.clone(), Arc::clone(&store.name));
        Self {
            stores: vec![Arc::clone(&name)],
            roots: vec![name],
            knows_old: true,
            history_ms: Some(history_ms),
            open: Arc::new(move |assembly| {
                let place = assembly.store(&store.name);
                Box::new(VersionedKeyValueStore::new(place, &store.key, &store.value))
            }),
        }
    }
}

impl<K, V> Rows<Windowed<K>, V> for WindowStore<K, V>
where
    K: ?Sized + ToOwned + 'static,
    V: ?Sized + 'static,
{
    fn read(
        &mut self,
        state: &TaskState,
        key: &Windowed<K>,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        self.get_with(state, key.key(), key.window.start, read)
    }
}

/// A session's timestamp is its end.
impl<K, V> Rows<Windowed<K>, V> for SessionStore<K, V>
where
    K: ?Sized + ToOwned + 'static,
    V: ?Sized + 'static,
{
    fn read(
        &mut self,
        state: &TaskState,
        key: &Windowed<K>,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        let session = Session { start: key.window.start, end: key.window.end };
        self.get_with(state, key.key(), session, |row| read(row.map(|row| (row, session.end))))
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Rows<K, V> for TimestampedKeyValueStore<K, V> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        self.get_with(state, key, read)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Rows<K, V> for VersionedKeyValueStore<K, V> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        self.get_with(state, key, read)
    }

    fn read_as_of(
        &mut self,
        state: &TaskState,
        key: &K,
        as_of: i64,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        self.get_as_of_with(state, key, as_of, read)
    }
}
