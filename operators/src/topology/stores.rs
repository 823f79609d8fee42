//! The stores of a topology as those see them who query them.

use state_stores::StoreSpec;
use state_stores::partition::partition_for_key;

use super::Topology;
use crate::row_layout::RowLayout;

/// A store that can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Name, changelog, kind.
    pub spec: StoreSpec,
    /// The [`SubTopology`](super::SubTopology) whose tasks keep it, a partition each.
    pub subtopology: u32,
    /// Format of the keys ([`Codec::format`](crate::Codec::format)).
    pub key: String,
    /// Format of the values, without what marks the row's layout.
    pub value: String,
    /// What a row is.
    pub rows: RowLayout,
    /// Set where a row lies in the partition of a record with its key: how many bytes at the key's end don't count for
    /// that ([`Codec::unpartitioned_bytes`](crate::Codec::unpartitioned_bytes)).
    pub unpartitioned: Option<usize>,
    /// End less start of its windows (ms), where that is fixed.
    pub window_size_ms: Option<i64>,
}

impl StoreInfo {
    /// Where rows of an encoded key lie among `count` partitions; `None`: they may be anywhere, so each has to be asked.
    #[must_use]
    pub fn partition_of(&self, key: &[u8], count: u32) -> Option<u32> {
        let hashed = key.len().saturating_sub(self.unpartitioned?);
        Some(partition_for_key(&key[..hashed], count))
    }
}

pub(super) fn of(topology: &Topology) -> Vec<StoreInfo> {
    let graph = topology.graph();
    let specs = topology
        .subtopologies()
        .iter()
        .flat_map(|part| part.stores.iter().map(move |spec| (part.id, spec)));
    let mut stores: Vec<StoreInfo> = specs
        .filter_map(|(subtopology, spec)| {
            let declared = graph.stores.iter().find(|store| store.name == spec.name)?;
            if declared.rows == RowLayout::Internal {
                return None;
            }
            let mut users = graph.nodes.iter().filter(|node| node.stores.contains(&spec.name));
            let windows = users.find_map(|node| node.windows);
            let (key, value) = declared.formats.clone();
            Some(StoreInfo {
                spec: spec.clone(),
                subtopology,
                key,
                value: unmarked(declared.rows, value),
                rows: declared.rows,
                unpartitioned: declared.unpartitioned,
                window_size_ms: windows.and_then(|windows| windows.size_ms),
            })
        })
        .collect();
    stores.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    stores
}

/// The codec's own format.
fn unmarked(rows: RowLayout, format: String) -> String {
    let mark = match rows {
        RowLayout::Machine => "machine-",
        RowLayout::Timestamped => "timestamped-",
        RowLayout::List => "list-",
        RowLayout::Value | RowLayout::Opaque | RowLayout::Internal => return format,
    };
    format.strip_prefix(mark).map_or(format.clone(), str::to_owned)
}
