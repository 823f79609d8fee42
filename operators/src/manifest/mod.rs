//! The manifest: what of a topology the state on disk and in changelogs depends on, as a value that can be kept
//! beside that state and compared before the next start.
//!
//! It holds names, kinds and formats of stores, what cuts their windows, their partitions, and the topics the topology
//! reads. Nothing else: stateless operators, sinks, unnamed nodes and the numbers of sub-topologies come and go without
//! a trace, because state belongs to a store's name and a partition.
//!
//! # JSON
//!
//! ```json
//! {
//!   "version": 1,
//!   "row_layouts": 1,
//!   "application": "shop",
//!   "stores": {
//!     "per-minute": {
//!       "node": "per-minute", "operator": "window-count", "kind": "window", "retention_ms": 65000,
//!       "windows": { "kind": "time", "size_ms": 60000 }, "key": "utf8", "value": "i64-be",
//!       "changelog": "shop-per-minute-changelog", "partitions": 3, "sources": ["orders"]
//!     }
//!   },
//!   "sources": { "orders": { "key": "utf8", "value": "utf8", "partitions": 3, "repartition": false } },
//!   "retired": []
//! }
//! ```
//!
//! `version` counts changes of this form, `row_layouts` changes of what the library's operators write into their stores
//! (times of timers, windows and punctuations among them): a program refuses what is newer than itself.
//!
//! Invariant: equal topologies with equal partition counts give equal text, whatever order they were written in.

mod compare;
mod compare_stores;
mod difference;
mod json;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use state_stores::StoreKind;

pub use self::difference::{Comparison, Difference, Verdict};
pub use self::json::ManifestError;
use crate::graph::{Graph, WindowShape, changelog_topic};
use crate::topology::{SubTopology, Topology, TopologyError};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Version of the rows that the library's operators write.
const ROW_LAYOUTS: u32 = 1;

/// See the [module's page](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    row_layouts: u32,
    /// `application.id`, which all names of topics begin with.
    pub application: String,
    /// By name.
    pub stores: BTreeMap<String, ManifestStore>,
    /// By topic, repartition topics included; global tables, which are read anew at each start, are not.
    pub sources: BTreeMap<String, ManifestSource>,
    /// Stores that former versions had: their changelogs still hold what was known then.
    pub retired: BTreeSet<String>,
    /// Internal topics that former versions read and this one doesn't, which may still be there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<String>,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStore {
    /// The node that keeps it.
    pub node: String,
    /// What that node is, e.g. `count`.
    pub operator: String,
    /// What its keys mean.
    pub kind: ManifestKind,
    /// How long rows are visible (ms), if not for ever.
    pub retention_ms: Option<i64>,
    /// What cuts its windows, if it keeps windows.
    pub windows: Option<ManifestWindows>,
    /// Format of the keys ([`Codec::format`](crate::Codec::format)).
    pub key: String,
    /// Format of the values.
    pub value: String,
    /// The topic with its history.
    pub changelog: String,
    /// How many parts its state has: as many as its sub-topology has tasks.
    pub partitions: u32,
    /// The topics its sub-topology reads: their partitions are the store's.
    pub sources: BTreeSet<String>,
}

/// What a store's keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestKind {
    /// The user's keys.
    KeyValue,
    /// Key and start.
    Window,
    /// Key, start and where the row came from.
    WindowWithDuplicates,
    /// Key, end and start.
    Session,
    /// Values over time.
    Versioned,
}

/// What cuts windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestWindows {
    /// `time`, `sliding`, `unlimited` or `session`.
    pub kind: String,
    /// Set where the end of a window follows from its start (ms).
    pub size_ms: Option<i64>,
}

/// A topic that is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSource {
    /// Format of the keys.
    pub key: String,
    /// Format of the values.
    pub value: String,
    /// How many.
    pub partitions: u32,
    /// The topology itself writes it.
    pub repartition: bool,
}

impl Topology {
    /// What the state of this topology depends on. `of` gives a topic's partition count, as in
    /// [`check_partitions`](Self::check_partitions).
    ///
    /// # Errors
    /// Topics are missing or differ in their partition counts.
    pub fn manifest(&self, of: &dyn Fn(&str) -> Option<u32>) -> Result<Manifest, TopologyError> {
        let counts = self.check_partitions(of)?;
        let graph = self.graph();
        let (mut stores, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for sub in self.subtopologies() {
            let partitions = counts.get(&sub.id).copied().unwrap_or_default();
            for (place, store) in sub.stores.iter().enumerate() {
                stores.insert(store.name.to_string(), entry(graph, (sub, place), partitions));
            }
            for topic in &sub.sources {
                sources.insert(topic.to_string(), source(graph, topic, partitions));
            }
        }
        let (version, row_layouts) = (VERSION, ROW_LAYOUTS);
        let (application, retired) = (self.application_id().to_owned(), BTreeSet::new());
        let left = BTreeSet::new();
        Ok(Manifest { version, row_layouts, application, stores, sources, retired, left })
    }
}

fn entry(graph: &Graph, (sub, place): (&SubTopology, usize), partitions: u32) -> ManifestStore {
    let spec = &sub.stores[place];
    let declared = graph.stores.iter().find(|store| store.name == spec.name);
    let formats = declared.map(|store| store.formats.clone()).unwrap_or_default();
    // Others may read it, but not before the one that keeps it is there.
    let users = || graph.nodes.iter().filter(|node| node.stores.contains(&spec.name));
    let owner = users().find(|node| node.name == spec.name).or_else(|| users().next());
    let is_windowed = !matches!(spec.kind, StoreKind::KeyValue | StoreKind::Versioned { .. });
    let windows = users().find_map(|node| node.windows).filter(|_| is_windowed);
    ManifestStore {
        node: owner.map(|node| node.name.to_string()).unwrap_or_default(),
        operator: owner.map(|node| node.kind.word().to_owned()).unwrap_or_default(),
        kind: kind(spec.kind),
        retention_ms: spec.kind.retention_ms(),
        windows: windows
            .map(|WindowShape { kind, size_ms }| ManifestWindows { kind: kind.into(), size_ms }),
        key: formats.0,
        value: formats.1,
        changelog: spec.changelog_topic.to_string(),
        partitions,
        sources: sub.sources.iter().map(ToString::to_string).collect(),
    }
}

fn source(graph: &Graph, topic: &str, partitions: u32) -> ManifestSource {
    let node = graph.sources.iter().find(|(name, ..)| &**name == topic).map(|(_, node, _)| *node);
    let formats = node.and_then(|node| graph.nodes[node.0].formats.clone());
    let (key, value) = formats.unwrap_or_default();
    let repartition = graph.repartitions.iter().any(|other| &*other.topic == topic);
    ManifestSource { key, value, partitions, repartition }
}

fn kind(kind: StoreKind) -> ManifestKind {
    match kind {
        StoreKind::KeyValue => ManifestKind::KeyValue,
        StoreKind::Window { duplicates: false, .. } => ManifestKind::Window,
        StoreKind::Window { duplicates: true, .. } => ManifestKind::WindowWithDuplicates,
        StoreKind::Session { .. } => ManifestKind::Session,
        StoreKind::Versioned { .. } => ManifestKind::Versioned,
    }
}

impl Manifest {
    /// This manifest as the successor of `old`: it remembers the stores and internal topics that were removed.
    #[must_use]
    pub fn after(mut self, old: &Self) -> Self {
        let gone = old.stores.keys().chain(&old.retired);
        self.retired.extend(gone.filter(|name| !self.stores.contains_key(*name)).cloned());
        let left = old.read_internally().chain(&old.left);
        self.left.extend(left.filter(|topic| !self.sources.contains_key(*topic)).cloned());
        self
    }

    /// The internal topics of this topology, and of those before it that it remembers.
    pub fn internal_topics(&self) -> BTreeSet<String> {
        let present = self.stores.values().map(|store| store.changelog.clone());
        let retired = self.retired.iter().map(|store| changelog_topic(&self.application, store));
        let read = self.read_internally().chain(&self.left).cloned();
        present.chain(retired).chain(read).collect()
    }

    /// Repartition topics, and topics by which parked keys are let go.
    fn read_internally(&self) -> impl Iterator<Item = &String> {
        let controls = |topic: &str| {
            let name = topic.strip_prefix(&*self.application)?.strip_prefix('-')?;
            self.stores.get(name.strip_suffix("-control")?)
        };
        let is_internal = move |(topic, source): &(&String, &ManifestSource)| {
            source.repartition || controls(topic).is_some()
        };
        self.sources.iter().filter(is_internal).map(|(topic, _)| topic)
    }
}
