//! What tables hand on: the new row, and the row before it where somebody needs it.
//!
//! Invariant: a table node reads old rows only if a node further down wants
//! them, which is known when the task is built, from the sinks up. Who wants
//! them may only follow a table that has a [`crate::view::View`].

use std::sync::PoisonError;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::process::{Counted, Edge, Process, Shared};
use crate::record::Record;

/// A table's row became another.
pub(crate) struct Change<'a, K: ?Sized, V: ?Sized> {
    /// The new row; no value: it was deleted.
    pub(crate) record: Record<'a, K, V>,
    /// The row before; `None` also when nobody wants it.
    pub(crate) old: Option<&'a V>,
    /// A version of a versioned table that came late: the row of now is another (T14). Or a window's row that the store
    /// keeps no more. Who counts or joins rows passes over it.
    pub(crate) superseded: bool,
}

/// A node that takes changes of a table.
pub(crate) trait Changes<K: ?Sized, V: ?Sized>: Send {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure>;

    /// Whether this node, or one after it, needs [`Change::old`].
    fn wants_old(&self) -> bool;
}

/// A node on the way out of a table: a stream's sees new rows only.
pub(crate) enum Listener<K: ?Sized, V: ?Sized> {
    Stream(Edge<K, V>),
    Table(Box<dyn Changes<K, V>>),
}

/// The way from a table to what comes next.
pub(crate) struct TableEdge<K: ?Sized, V: ?Sized> {
    listeners: Vec<Listener<K, V>>,
    wants_old: bool,
}

impl<K: ?Sized, V: ?Sized> TableEdge<K, V> {
    /// Listeners are served in this order.
    pub(crate) fn new(listeners: Vec<Listener<K, V>>) -> Self {
        let wants_old =
            listeners.iter().any(|next| matches!(next, Listener::Table(node) if node.wants_old()));
        Self { listeners, wants_old }
    }
}

impl<K: ?Sized, V: ?Sized> Changes<K, V> for TableEdge<K, V> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Change { record, old, superseded } = change;
        self.listeners.iter_mut().try_for_each(|listener| match listener {
            Listener::Stream(next) => next.process(record, ctx),
            Listener::Table(next) => next.change(Change { record, old, superseded }, ctx),
        })
    }

    fn wants_old(&self) -> bool {
        self.wants_old
    }
}

impl<K: ?Sized, V: ?Sized> Changes<K, V> for Shared<Box<dyn Changes<K, V>>> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).change(change, ctx)
    }

    fn wants_old(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wants_old()
    }
}

impl<K: ?Sized, V: ?Sized, N: Changes<K, V>> Changes<K, V> for Counted<N> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        ctx.pass(self.place);
        self.node.change(change, ctx)
    }

    fn wants_old(&self) -> bool {
        self.node.wants_old()
    }
}

/// Takes records as changes whose old rows aren't known, for a node that doesn't want them.
pub(crate) struct NewRows<K: ?Sized, V: ?Sized>(pub(crate) Box<dyn Changes<K, V>>);

impl<K: ?Sized, V: ?Sized> Process<K, V> for NewRows<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.change(Change { record, old: None, superseded: false }, ctx)
    }
}

/// A second view of a table's store with memory for one row: what the row was before it is overwritten.
pub(crate) struct Before<S> {
    pub(crate) store: S,
    pub(crate) scratch: Vec<u8>,
}

impl<S> Before<S> {
    /// None unless somebody wants old rows.
    pub(crate) fn if_wanted(wanted: bool, store: impl FnOnce() -> S) -> Option<Self> {
        wanted.then(|| Self { store: store(), scratch: Vec::new() })
    }
}
