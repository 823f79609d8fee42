//! `KStream`: a typed handle on a node of the graph. Operators are in `ops`, one file each.
//!
//! What a closure sees: operators that take `&K, &V` show it records that have
//! both. Each says what becomes of the others; the `…_records` forms see all.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::Serde;

use crate::builder::Flow;
use crate::failure::ErrorPolicy;
use crate::gate::{Output, OutputOf};
use crate::graph::{NodeId, NodeKind};
use crate::materialized::Materialized;
use crate::process::{Edge, Process};
use crate::topic::{IntoSerde, Topic};
use crate::topology::TopologyError;

/// The codecs of a stream as far as known; lost where the type changes.
pub(crate) struct Serdes<K: ?Sized, V: ?Sized> {
    pub(crate) key: Option<Serde<K>>,
    pub(crate) value: Option<Serde<V>>,
}

impl<K: ?Sized, V: ?Sized> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone() }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Serdes<K, V> {
    pub(crate) fn of(topic: &Topic<K, V>) -> Self {
        Self { key: Some(Arc::clone(topic.key())), value: Some(Arc::clone(topic.value())) }
    }

    pub(crate) fn of_store(store: &Materialized<K, V>) -> Self {
        Self { key: Some(Arc::clone(&store.key)), value: Some(Arc::clone(&store.value)) }
    }

    pub(crate) fn none() -> Self {
        Self { key: None, value: None }
    }

    pub(crate) fn with_value<VO: ?Sized>(&self, value: Option<Serde<VO>>) -> Serdes<K, VO> {
        Serdes { key: self.key.clone(), value }
    }
}

/// An unbounded stream of records with keys of type `K` and values of type `V`.
///
/// Cheap to clone; operators take it by reference and give a new one, so a stream can go several ways. They run in the
/// order of the calls, each record through all ways before the next one.
pub struct KStream<K: ?Sized, V: ?Sized> {
    pub(crate) flow: Flow,
    pub(crate) node: NodeId,
    pub(crate) serdes: Serdes<K, V>,
    /// The key may differ from the one the record was partitioned by.
    pub(crate) rekeyed: bool,
}

impl<K: ?Sized, V: ?Sized> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            flow: Rc::clone(&self.flow),
            node: self.node,
            serdes: self.serdes.clone(),
            rekeyed: self.rekeyed,
        }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KStream")
            .field("node", &self.node)
            .field("rekeyed", &self.rekeyed)
            .finish_non_exhaustive()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    pub(crate) fn new(flow: &Flow, node: NodeId, serdes: Serdes<K, V>, rekeyed: bool) -> Self {
        Self { flow: Rc::clone(flow), node, serdes, rekeyed }
    }

    /// Tells the graph what is known of the stream, for a gate before the node that is added next.
    pub(crate) fn note(&self) {
        let output: Arc<dyn Output> = Arc::new(OutputOf(self.serdes.clone()));
        self.flow.borrow_mut().outputs.insert(self.node, (output, self.rekeyed));
    }

    /// Adds a node below this one. `make` is called once per task, with the way to what comes next.
    pub(crate) fn then<KO, VO, P>(
        &self,
        kind: &'static str,
        name: Option<&str>,
        make: impl Fn(NodeId, Edge<KO, VO>) -> P + Send + Sync + 'static,
    ) -> NodeId
    where
        KO: ?Sized + 'static,
        VO: ?Sized + 'static,
        P: Process<K, V> + 'static,
    {
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<KO, VO>(id);
            assembly.install::<K, V>(id, make(id, next));
        };
        self.note();
        self.flow.borrow_mut().add(name, NodeKind::Operator(kind), &[self.node], Box::new(build))
    }

    /// The stream of `node`, with the same types and key.
    pub(crate) fn at(&self, node: NodeId) -> Self {
        Self { node, ..self.clone() }
    }

    pub(crate) fn problem(&self, problem: TopologyError) {
        self.flow.borrow_mut().problems.push(problem);
    }

    /// Says how keys are written, where that is needed and not known any more.
    pub fn with_key_serde(mut self, key: impl IntoSerde<K>) -> Self {
        self.serdes.key = Some(key.into_serde());
        self
    }

    /// Says how values are written, where that is needed and not known any more.
    pub fn with_value_serde(mut self, value: impl IntoSerde<V>) -> Self {
        self.serdes.value = Some(value.into_serde());
        self
    }

    /// What happens to records that the operator before this call can't process (a source: can't
    /// decode). Sources begin with [`ErrorPolicy::DeadLetter`], operators with [`ErrorPolicy::Fail`]. What the record
    /// did further up, in this and all other operators, is undone first.
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        self.flow.borrow_mut().nodes[self.node.0].policy = policy;
        self
    }
}
