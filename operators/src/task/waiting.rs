//! What waits in a task for something outside: calls for their answers, parked keys for a person.
//!
//! Invariant: it is what is committed; an open transaction changes nothing that is shown.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{Direction, StoreError, StoreIndex, TaskState};

use super::Task;
use crate::graph::{Graph, NodeId};
use crate::parked::ParkedKeys;

/// The pending calls of one node in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCalls {
    /// [`AsyncCall::name`](crate::AsyncCall::name)
    pub node: Arc<str>,
    /// Calls without an answer.
    pub pending: usize,
    /// Attempts under way.
    pub in_flight: usize,
    /// When the oldest of them was accepted (ms since 1970, task clock).
    pub oldest_ms: Option<i64>,
}

/// The parked keys of one parking in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingKeys {
    /// As given to [`KStream::park_key`](crate::KStream::park_key).
    pub parking: Arc<str>,
    /// How many.
    pub keys: usize,
    /// How many records they have.
    pub records: usize,
    /// When the key that waits longest was parked (ms since 1970, task clock).
    pub oldest_ms: Option<i64>,
}

struct Slot {
    name: Arc<str>,
    store: StoreIndex,
    keys: ParkedKeys,
}

/// The parkings of one task.
#[derive(Default)]
pub(super) struct Parkings {
    slots: Vec<Slot>,
    loaded: bool,
}

impl Parkings {
    pub(super) fn new(graph: &Graph, nodes: &[NodeId], stores: &[Arc<str>]) -> Self {
        let gates = nodes.iter().filter_map(|node| graph.nodes[node.0].gate.as_ref());
        let slots = gates.filter_map(|gate| {
            let store = stores.iter().position(|store| *store == gate.name)?;
            let (name, store) = (Arc::clone(&gate.name), StoreIndex(store));
            Some(Slot { name, store, keys: ParkedKeys::default() })
        });
        Self { slots: slots.collect(), loaded: false }
    }

    /// The first time: reads what is parked, all of which is committed then.
    pub(super) fn load(&mut self, state: &TaskState) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.loaded, true) {
            return Ok(());
        }
        for Slot { store, keys, .. } in &mut self.slots {
            let mut visit = |key: &[u8], row: &[u8]| {
                keys.take(key, Some(row));
                ControlFlow::Continue(())
            };
            state.scan(*store, &[], None, Direction::Forward, &mut visit)?;
        }
        Ok(())
    }

    /// What the open transaction did to the rows is committed. Before the state is applied.
    pub(super) fn committed(&mut self, state: &TaskState) {
        for Slot { store, keys, .. } in &mut self.slots {
            state.dirty_of(*store, |key, row| keys.take(key, row));
        }
    }
}

impl Task {
    /// Pending calls by node, as committed. Nothing before the first [`Self::run_once`].
    pub fn waiting_calls(&self) -> Vec<WaitingCalls> {
        self.calls.waiting().collect()
    }

    /// Parked keys by parking, as committed. Nothing before the first [`Self::run_once`].
    pub fn waiting_keys(&self) -> Vec<WaitingKeys> {
        let waiting = self.parkings.slots.iter().map(|slot| WaitingKeys {
            parking: Arc::clone(&slot.name),
            keys: slot.keys.key_count(),
            records: slot.keys.record_count(),
            oldest_ms: slot.keys.oldest_ms(),
        });
        waiting.collect()
    }
}
