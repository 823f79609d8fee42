//! The topology: a value that says what is read, done, kept and written.
//!
//! Invariant: nodes that share an edge or a store are in one sub-topology, and
//! sub-topologies meet only in topics.

mod cut;
mod describe;
mod error;
pub(crate) mod names;
mod partitions;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{StoreSpec, TaskState};

pub use self::error::TopologyError;
pub use self::stores::StoreInfo;
use crate::consumed::OffsetReset;
use crate::globals::Globals;
pub use crate::graph::GlobalTable;
use crate::graph::{Graph, NodeId};
use crate::task::Task;

/// Names a task: which sub-topology, which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// [`SubTopology::id`].
    pub subtopology: u32,
    /// Partition of every source topic.
    pub partition: u32,
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// A part of the topology that one task runs per partition.
#[derive(Clone, Debug)]
pub struct SubTopology {
    /// Counts from 0, in the order of the flow.
    pub id: u32,
    /// Topics it reads, repartition topics included. All have one partition count.
    pub sources: Vec<Arc<str>>,
    /// Topics it writes.
    pub sinks: Vec<Arc<str>>,
    /// Its stores; a `StoreIndex` is a place in this list.
    pub stores: Vec<StoreSpec>,
    /// Numbers of the global tables it reads.
    pub uses_globals: Vec<usize>,
}

/// A step of the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Unique in the topology.
    pub name: Arc<str>,
    /// `source`, `sink` or the operator's.
    pub kind: &'static str,
    /// [`SubTopology::id`] of the part it belongs to.
    pub subtopology: u32,
}

/// A topic that belongs to the topology itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// `<application.id>-<name>-changelog`, `…-repartition` or `…-control`.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: InternalTopicKind,
    /// A topic of the user's that has the same partition count, unless [`Self::partitions`] says it.
    pub partitions_like: Arc<str>,
    /// Its partition count, where the flow fixes it.
    pub partitions: Option<u32>,
}

/// What an internal topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalTopicKind {
    /// Records on the way to the task of their new key; deleted once they are read and committed.
    Repartition,
    /// Commands for a gate, by parked key; deleted once they are read and committed.
    Control,
    /// A store's history.
    Changelog {
        /// Only the last value of a key counts.
        compact: bool,
        /// Older records may go (ms); set for window and session stores.
        retention_ms: Option<i64>,
    },
}

/// The topics of a parking. A key's partition is the same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkingTopics {
    /// As given to `park_key`: the name of the store.
    pub name: Arc<str>,
    /// Takes `release` and `discard`.
    pub control: Arc<str>,
    /// What is parked: rows for [`ParkedKeys::take`](crate::ParkedKeys::take).
    pub changelog: Arc<str>,
}

/// A validated flow. Cheap to clone.
#[derive(Clone)]
pub struct Topology {
    inner: Arc<Inner>,
}

struct Inner {
    graph: Graph,
    subtopologies: Vec<SubTopology>,
    /// Nodes of each sub-topology, ascending.
    nodes: Vec<Vec<NodeId>>,
}

impl Topology {
    pub(crate) fn new(graph: Graph) -> Result<Self, TopologyError> {
        names::check_application_id(&graph.application_id)?;
        if let Some(problem) = graph.problems.first() {
            return Err(problem.clone());
        }
        if graph.sources.is_empty() {
            return Err(TopologyError::Empty);
        }
        names::check(&graph)?;
        let nodes = cut::components(&graph);
        let subtopologies: Vec<SubTopology> =
            nodes.iter().enumerate().map(|(id, nodes)| cut::describe(&graph, id, nodes)).collect();
        cut::refuse_cycles(&graph)?;
        Ok(Self { inner: Arc::new(Inner { graph, subtopologies, nodes }) })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    /// Names the application: consumer group and internal topics derive from it.
    pub fn application_id(&self) -> &str {
        &self.inner.graph.application_id
    }

    /// The parts that run as tasks.
    pub fn subtopologies(&self) -> &[SubTopology] {
        &self.inner.subtopologies
    }

    /// Where to begin to read a source topic of which nothing was committed.
    pub fn offset_reset(&self, topic: &str) -> OffsetReset {
        let from_end = self.inner.graph.read_from_end.iter().any(|other| **other == *topic);
        if from_end { OffsetReset::Latest } else { OffsetReset::Earliest }
    }

    /// The tables that every instance holds whole.
    pub fn global_tables(&self) -> &[GlobalTable] {
        &self.inner.graph.globals
    }

    /// Names of the calls that the flow makes ([`AsyncCall`](crate::AsyncCall)): each needs somebody who makes them.
    pub fn calls(&self) -> &[Arc<str>] {
        &self.inner.graph.calls
    }

    /// Where the flow parks keys ([`KStream::park_key`](crate::KStream::park_key)).
    pub fn parkings(&self) -> Vec<ParkingTopics> {
        let gates = self.graph().nodes.iter().filter_map(|node| node.gate.as_ref());
        let stores = || self.subtopologies().iter().flat_map(|part| &part.stores);
        let topics = gates.filter_map(|gate| {
            let store = stores().find(|store| store.name == gate.name)?;
            Some(ParkingTopics {
                name: Arc::clone(&gate.name),
                control: Arc::clone(&gate.control.0),
                changelog: Arc::clone(&store.changelog_topic),
            })
        });
        topics.collect()
    }

    /// The stores that can be asked about, by name (Q01); not those that operators keep for themselves.
    pub fn stores(&self) -> Vec<StoreInfo> {
        stores::of(self)
    }

    /// Changelogs and repartition topics, to be created before the start.
    pub fn internal_topics(&self) -> Vec<InternalTopic> {
        partitions::internal_topics(self)
    }

    /// Partition count of each sub-topology, if all its topics agree. `of` gives a topic's
    /// count; internal topics that don't exist yet are left out.
    pub fn check_partitions(
        &self,
        of: &dyn Fn(&str) -> Option<u32>,
    ) -> Result<BTreeMap<u32, u32>, TopologyError> {
        partitions::check(self, of)
    }

    /// Builds a task on the state of its partition.
    ///
    /// # Panics
    /// When the sub-topology doesn't exist.
    pub fn task(&self, id: TaskId, state: TaskState, globals: Arc<Globals>) -> Task {
        let place = id.subtopology as usize;
        Task::new(
            self,
            &self.inner.subtopologies[place],
            &self.inner.nodes[place],
            id,
            state,
            globals,
        )
    }

    /// All nodes, in the order of the flow.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let part_of = |place: usize| {
            let parts = self.inner.nodes.iter();
            parts.clone().position(|nodes| nodes.contains(&NodeId(place))).unwrap_or_default()
        };
        let node = |(place, node): (usize, &crate::graph::Node)| NodeInfo {
            name: Arc::clone(&node.name),
            kind: node.kind.word(),
            subtopology: part_of(place) as u32,
        };
        self.inner.graph.nodes.iter().enumerate().map(node).collect()
    }

    /// The graph in Mermaid's flowchart language.
    pub fn mermaid(&self) -> String {
        describe::mermaid(self, &|_| None)
    }

    /// As [`Self::mermaid`], with records per second at nodes, by their places in [`Self::nodes`]; a topic has that of its
    /// readers.
    pub fn mermaid_with_rates(&self, per_second: &dyn Fn(usize) -> Option<f64>) -> String {
        describe::mermaid(self, per_second)
    }

    /// The graph in Graphviz' language DOT.
    pub fn dot(&self) -> String {
        describe::dot(self)
    }

    /// The graph as JSON, indented: `application`, `subtopologies` (`id`, `sources`, `sinks`, `nodes` with `name`,
    /// `kind`, `topics`, `from`, `to`, `stores`, `global_tables`, and `stores` with `name`, `kind`, `retention_ms`,
    /// `key`, `value`, `changelog`), `topics` (`name`, `internal`, `key`, `value`) and `global_tables` (`name`, `topic`).
    pub fn json(&self) -> String {
        describe::json(self)
    }
}

impl std::fmt::Display for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        describe::describe(self, f)
    }
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topology")
            .field("application_id", &self.inner.graph.application_id)
            .finish_non_exhaustive()
    }
}
