//! Builds a task's nodes from the sinks up. The only place with downcasts.
//!
//! Invariant: when a node's factory runs, every child of it is installed.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use state_stores::StoreIndex;

use crate::calls::CallOptions;
use crate::change::{Changes, Listener, NewRows, TableEdge};
use crate::gate::{Control, Gate, GateDecl};
use crate::graph::{Graph, NodeId, NodeKind};
use crate::ops::PendingCalls;
use crate::outputs::Outputs;
use crate::process::{Counted, Edge, FanOut, Nowhere, Process, ReplyHandler, Shared, TimerHandler};
use crate::punctuation::Punctuators;
use crate::source::SourceProcess;

const INSTALLED: &str = "children are installed first, with their parents' types";

type SharedTable<K, V> = Shared<Box<dyn Changes<K, V>>>;

/// A node that calls a service.
pub(crate) struct CallNode {
    pub(crate) node: NodeId,
    /// Its pending calls.
    pub(crate) store: StoreIndex,
    pub(crate) options: CallOptions,
    pub(crate) handler: Box<dyn ReplyHandler>,
}

/// The parts of one task while it is put together.
pub(crate) struct Assembly<'a> {
    graph: &'a Graph,
    stores: &'a [Arc<str>],
    outputs: &'a mut Outputs,
    /// Node → `Edge<K, V>` (one parent) or `Shared<Edge<K, V>>` (several); for nodes that take a
    /// table's changes, `Box<dyn Changes<K, V>>` or `Shared` of it.
    installed: BTreeMap<NodeId, Box<dyn Any + Send>>,
    /// Buffers of suppressed tables whose rows are read.
    read_priors: RefCell<Vec<Arc<str>>>,
    /// Store of the timers, and what they wake.
    pub(crate) timers: Vec<(StoreIndex, Box<dyn TimerHandler>)>,
    pub(crate) calls: Vec<CallNode>,
    pub(crate) punctuators: Punctuators,
    pub(crate) sources: Vec<(Arc<str>, NodeId, Box<dyn SourceProcess>)>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(graph: &'a Graph, stores: &'a [Arc<str>], outputs: &'a mut Outputs) -> Self {
        Self {
            graph,
            stores,
            outputs,
            installed: BTreeMap::new(),
            read_priors: RefCell::default(),
            timers: Vec::new(),
            calls: Vec::new(),
            punctuators: Punctuators::default(),
            sources: Vec::new(),
        }
    }

    /// What comes after `node`: nothing, its child, or all its children.
    pub(crate) fn downstream<K, V>(&mut self, node: NodeId) -> Edge<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let mut children = self.children(node);
        match children.len() {
            0 => Box::new(Nowhere),
            1 => children.remove(0),
            _ => Box::new(FanOut(children)),
        }
    }

    /// All children of `node`, in the order they were declared.
    pub(crate) fn children<K: ?Sized + 'static, V: ?Sized + 'static>(
        &mut self,
        node: NodeId,
    ) -> Vec<Edge<K, V>> {
        let graph = self.graph;
        graph.nodes[node.0].children.iter().map(|child| self.take(*child)).collect()
    }

    /// What comes after a node that is a table: streams and tables, in the order they were declared.
    pub(crate) fn table_downstream<K, V>(&mut self, node: NodeId) -> TableEdge<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let graph = self.graph;
        let children = graph.nodes[node.0].children.iter();
        TableEdge::new(children.map(|child| self.listener(*child)).collect())
    }

    fn listener<K, V>(&mut self, child: NodeId) -> Listener<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let installed = self.installed.get(&child);
        if let Some(shared) = installed.and_then(|node| node.downcast_ref::<SharedTable<K, V>>()) {
            return Listener::Table(Box::new(shared.clone()));
        }
        if installed.is_some_and(|node| node.is::<Box<dyn Changes<K, V>>>()) {
            return Listener::Table(self.owned(child));
        }
        Listener::Stream(self.edge(child))
    }

    /// A child that takes a table's changes gets none of the old rows here; it mustn't want them.
    fn take<K: ?Sized + 'static, V: ?Sized + 'static>(&mut self, child: NodeId) -> Edge<K, V> {
        match self.listener(child) {
            Listener::Stream(edge) => edge,
            Listener::Table(changes) => {
                debug_assert!(!changes.wants_old(), "only a table with a view hands on old rows");
                Box::new(NewRows(changes))
            }
        }
    }

    fn edge<K: ?Sized + 'static, V: ?Sized + 'static>(&mut self, child: NodeId) -> Edge<K, V> {
        if self.graph.nodes[child.0].parents.len() > 1 {
            let shared = self
                .installed
                .get(&child)
                .and_then(|node| node.downcast_ref::<Shared<Edge<K, V>>>());
            return Box::new(shared.expect(INSTALLED).clone());
        }
        let edge = self.owned(child);
        match &self.graph.nodes[child.0].gate {
            Some(gate) => self.gated(child, gate, edge),
            None => edge,
        }
    }

    /// Puts a gate before a node, and reads its commands.
    fn gated<K: ?Sized + 'static, V: ?Sized + 'static>(
        &mut self,
        node: NodeId,
        decl: &GateDecl,
        edge: Edge<K, V>,
    ) -> Edge<K, V> {
        let gate = Gate::new(decl, (node, self.store(&decl.name)), edge).expect(INSTALLED);
        let gate = Shared::new(gate);
        let (topic, source) = &decl.control;
        let control = Box::new(Control(gate.clone()));
        self.sources.push((Arc::clone(topic), *source, control));
        Box::new(gate)
    }

    fn owned<T: 'static>(&mut self, child: NodeId) -> T {
        let node = self.installed.remove(&child).and_then(|node| node.downcast::<T>().ok());
        *node.expect(INSTALLED)
    }

    /// Hands in the finished node.
    pub(crate) fn install<K, V>(&mut self, node: NodeId, process: impl Process<K, V> + 'static)
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let edge: Edge<K, V> = Box::new(Counted { place: node.0, node: process });
        let installed: Box<dyn Any + Send> = match self.graph.nodes[node.0].parents.len() {
            0 | 1 => Box::new(edge),
            _ => Box::new(Shared::new(edge)),
        };
        self.installed.insert(node, installed);
    }

    /// Hands in a finished node that takes a table's changes.
    pub(crate) fn install_table<K, V>(
        &mut self,
        node: NodeId,
        changes: impl Changes<K, V> + 'static,
    ) where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let table: Box<dyn Changes<K, V>> = Box::new(Counted { place: node.0, node: changes });
        let installed: Box<dyn Any + Send> = match self.graph.nodes[node.0].parents.len() {
            0 | 1 => Box::new(table),
            _ => Box::new(SharedTable::new(table)),
        };
        self.installed.insert(node, installed);
    }

    /// Hands in a finished node that timers of `store` wake, too.
    pub(crate) fn install_timed<K, V, N>(&mut self, node: NodeId, store: StoreIndex, process: N)
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
        N: Process<K, V> + TimerHandler + 'static,
    {
        let shared = Shared::new(process);
        self.timers.push((store, Box::new(shared.clone())));
        self.install(node, shared);
    }

    /// The pending calls of the node that is installed next with [`Self::install_calls`].
    pub(crate) fn pending_calls(&self, store: &str) -> PendingCalls {
        PendingCalls { store: self.store(store), place: self.calls.len() }
    }

    /// Hands in a finished node that the outcomes of its calls wake, too.
    pub(crate) fn install_calls<K, V, N>(
        &mut self,
        node: NodeId,
        store: StoreIndex,
        options: CallOptions,
        process: N,
    ) where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
        N: Process<K, V> + ReplyHandler + 'static,
    {
        let shared = Shared::new(process);
        self.calls.push(CallNode { node, store, options, handler: Box::new(shared.clone()) });
        self.install(node, shared);
    }

    /// Hands in what decodes a topic's records.
    pub(crate) fn install_source(&mut self, node: NodeId, source: Box<dyn SourceProcess>) {
        if let NodeKind::Source(topic) = &self.graph.nodes[node.0].kind {
            self.sources.push((Arc::clone(topic), node, source));
        }
    }

    /// The place of a store among the task's stores.
    pub(crate) fn store(&self, name: &str) -> StoreIndex {
        let place = self.stores.iter().position(|store| &**store == name);
        StoreIndex(place.expect("a node's stores are among its sub-topology's"))
    }

    /// A node reads the rows of the table that is suppressed in the buffer `name`. It comes after it, so it is built
    /// before.
    pub(crate) fn read_prior(&self, name: &Arc<str>) {
        self.read_priors.borrow_mut().push(Arc::clone(name));
    }

    /// Whether some node does [`Self::read_prior`].
    pub(crate) fn reads_prior(&self, name: &Arc<str>) -> bool {
        self.read_priors.borrow().contains(name)
    }

    /// The topics that no record may name: what the flow reads, but for declared circles, and what it keeps for itself.
    pub(crate) fn own_topics(&self) -> BTreeSet<Arc<str>> {
        let graph = self.graph;
        let changelogs = graph.stores.iter().map(|store| graph.changelog_topic(&store.name));
        let read = graph.sources.iter().map(|(topic, _, _)| Arc::clone(topic));
        let own = changelogs.chain(read).filter(|topic| !graph.feedback.contains(topic));
        own.collect()
    }

    /// The number of a topic that the task writes.
    pub(crate) fn topic(&mut self, name: &Arc<str>) -> u32 {
        self.outputs.topic(name)
    }
}
