//! The recorded graph: nodes with typed factories behind one untyped face.
//!
//! Invariant: a parent's id is lower than its children's, so going through the
//! ids downwards meets every child before its parents.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::StoreKind;

use crate::assembly::Assembly;
use crate::failure::ErrorPolicy;
use crate::gate::{GateDecl, Output};
use crate::row_layout::RowLayout;
use crate::topology::TopologyError;

/// A node's place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Makes the node's part of a task; its children are made already.
pub(crate) type Build = Box<dyn Fn(&mut Assembly<'_>, NodeId) + Send + Sync>;

/// What a node is to those who read the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Reads this topic.
    Source(Arc<str>),
    /// Writes these topics; none: those that records name.
    Sink(Vec<Arc<str>>),
    /// Anything between, e.g. `filter`.
    Operator(&'static str),
}

impl NodeKind {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Sink(_) => "sink",
            Self::Operator(word) => word,
        }
    }
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) children: Vec<NodeId>,
    /// Names of the stores it reads or writes.
    pub(crate) stores: Vec<Arc<str>>,
    /// Global tables it reads.
    pub(crate) globals: Vec<usize>,
    pub(crate) policy: ErrorPolicy,
    /// Of nodes whose keys are windows: how long after a window's end it is closed.
    pub(crate) closes_after_ms: Option<i64>,
    /// Of nodes that keep windows: what cuts them.
    pub(crate) windows: Option<WindowShape>,
    /// Of sources: formats of key and value.
    pub(crate) formats: Option<(String, String)>,
    /// Its result depends on which of its sub-topology's records came first.
    pub(crate) by_time: bool,
    /// Keeps the records of keys that it failed on.
    pub(crate) gate: Option<GateDecl>,
    pub(crate) build: Build,
}

/// What the rows of a windowed store are: of windows cut in another way they can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowShape {
    /// E.g. `time`.
    pub(crate) kind: &'static str,
    /// Set where the end of a window follows from its start.
    pub(crate) size_ms: Option<i64>,
}

/// A store some node declared.
#[derive(Clone, Debug)]
pub(crate) struct StoreDecl {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    /// Formats of key and value, for the manifest.
    pub(crate) formats: (String, String),
    /// What a row is, for queries.
    pub(crate) rows: RowLayout,
    /// Set where a row lies in the partition of its key, as a record with this key would: how many bytes at the key's
    /// end don't count for that.
    pub(crate) unpartitioned: Option<usize>,
}

impl StoreDecl {
    /// A store whose rows concern nobody but the operator that keeps them.
    pub(crate) fn internal(
        name: impl Into<Arc<str>>,
        kind: StoreKind,
        formats: (String, String),
    ) -> Self {
        Self { name: name.into(), kind, formats, rows: RowLayout::Internal, unpartitioned: None }
    }
}

/// A repartition topic and the node that writes it.
#[derive(Clone, Debug)]
pub(crate) struct Repartition {
    pub(crate) topic: Arc<str>,
    pub(crate) writer: NodeId,
    /// How many partitions it has, if the flow says so.
    pub(crate) partitions: Option<u32>,
}

/// A table that every instance holds whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalTable {
    /// The topic it is read from.
    pub topic: Arc<str>,
    /// The user's name for it.
    pub store: Arc<str>,
}

pub(crate) struct Graph {
    pub(crate) application_id: Arc<str>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) stores: Vec<StoreDecl>,
    pub(crate) globals: Vec<GlobalTable>,
    pub(crate) repartitions: Vec<Repartition>,
    /// Names of the nodes that call services.
    pub(crate) calls: Vec<Arc<str>>,
    /// Topics with commands for gates.
    pub(crate) controls: Vec<Arc<str>>,
    /// What is known of the streams that nodes give, and whether their keys may have changed.
    pub(crate) outputs: BTreeMap<NodeId, (Arc<dyn Output>, bool)>,
    /// Source nodes by topic with the types they were read as.
    pub(crate) sources: Vec<(Arc<str>, NodeId, (TypeId, TypeId))>,
    /// Topics that the user reads; the topology reads more, its own.
    pub(crate) read: Vec<Arc<str>>,
    /// Topics that the flow may read though it writes them.
    pub(crate) feedback: Vec<Arc<str>>,
    /// Topics that are read from their ends, unless something was committed.
    pub(crate) read_from_end: Vec<Arc<str>>,
    /// What was wrong while recording; `build` reports the first.
    pub(crate) problems: Vec<TopologyError>,
}

impl Graph {
    pub(crate) fn new(application_id: Arc<str>) -> Self {
        Self {
            application_id,
            nodes: Vec::new(),
            stores: Vec::new(),
            globals: Vec::new(),
            repartitions: Vec::new(),
            calls: Vec::new(),
            controls: Vec::new(),
            outputs: BTreeMap::new(),
            sources: Vec::new(),
            read: Vec::new(),
            feedback: Vec::new(),
            read_from_end: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds a node below `parents`. Without a name it gets one from kind and place.
    pub(crate) fn add(
        &mut self,
        name: Option<&str>,
        kind: NodeKind,
        parents: &[NodeId],
        build: Build,
    ) -> NodeId {
        let id = NodeId(self.nodes.len());
        let name: Arc<str> = match (name, &kind) {
            (Some(name), _) => Arc::from(name),
            (None, NodeKind::Source(topic)) => Arc::from(format!("source-{topic}")),
            (None, NodeKind::Sink(topics)) if topics.is_empty() => {
                Arc::from(format!("sink-named-{}", id.0))
            }
            (None, NodeKind::Sink(topics)) => {
                Arc::from(format!("sink-{}-{}", topics.join("-"), id.0))
            }
            (None, NodeKind::Operator(kind)) => Arc::from(format!("{kind}-{}", id.0)),
        };
        if name.is_empty() {
            self.unnamed(kind.word(), parents);
        } else if let Some(other) = self.nodes.iter().find(|node| node.name == name) {
            let of = |kind: &NodeKind| format!("a `{}`", kind.word());
            let (first, second) = (of(&other.kind), of(&kind));
            self.duplicate(&name, first, second);
        }
        let policy = if matches!(kind, NodeKind::Source(_)) {
            ErrorPolicy::DeadLetter
        } else {
            ErrorPolicy::Fail
        };
        for parent in parents {
            self.nodes[parent.0].children.push(id);
        }
        self.nodes.push(Node {
            name,
            kind,
            parents: parents.to_vec(),
            children: Vec::new(),
            stores: Vec::new(),
            globals: Vec::new(),
            policy,
            closes_after_ms: None,
            windows: None,
            formats: None,
            by_time: false,
            gate: None,
            build,
        });
        id
    }

    /// Declares a store that belongs to `node`.
    pub(crate) fn declare(&mut self, node: NodeId, store: StoreDecl) {
        if store.name.is_empty() {
            self.unnamed("store", &[node]);
        } else if self.stores.iter().any(|other| other.name == store.name) {
            let owner = self.nodes.iter().find(|other| other.stores.contains(&store.name));
            let of = |node: &Node| format!("a store of `{}`", node.name);
            let (first, second) = (owner.map(of).unwrap_or_default(), of(&self.nodes[node.0]));
            self.duplicate(&store.name, first, second);
        }
        self.nodes[node.0].stores.push(Arc::clone(&store.name));
        self.stores.push(store);
    }

    /// Remembers that an operator behind `parents` has no name.
    pub(crate) fn unnamed(&mut self, operator: &str, parents: &[NodeId]) {
        let behind = parents.first().map(|parent| self.nodes[parent.0].name.to_string());
        let (operator, behind) = (operator.to_owned(), behind.unwrap_or_default());
        self.problems.push(TopologyError::Unnamed { operator, behind });
    }

    /// Remembers that two things have one name.
    pub(crate) fn duplicate(&mut self, name: &str, first: String, second: String) {
        let name = name.to_owned();
        self.problems.push(TopologyError::DuplicateName { name, first, second });
    }

    /// How long after a window's end the results of `node` are final, if they are of windows: the longest time of
    /// the nearest windowed nodes above it.
    pub(crate) fn closes_after_ms(&self, node: NodeId) -> Option<i64> {
        let node = &self.nodes[node.0];
        let above = || node.parents.iter().filter_map(|parent| self.closes_after_ms(*parent)).max();
        node.closes_after_ms.or_else(above)
    }

    /// `<application.id>-<name>-repartition`
    pub(crate) fn repartition_topic(&self, name: &str) -> Arc<str> {
        Arc::from(format!("{}-{name}-repartition", self.application_id))
    }

    /// `<application.id>-<name>-changelog`
    pub(crate) fn changelog_topic(&self, store: &str) -> Arc<str> {
        changelog_topic(&self.application_id, store).into()
    }
}

/// As [`Graph::changelog_topic`].
pub(crate) fn changelog_topic(application: &str, store: &str) -> String {
    format!("{application}-{store}-changelog")
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.nodes.iter().map(|node| (&node.name, &node.kind))).finish()
    }
}
