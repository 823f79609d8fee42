//! Why a flow can't be built.

use operators::TopologyError;
use schemas::avro::AvroError;

/// A flow can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The registry gives no schema id.
    #[error("a topic's schema has no id: {0}; is the schema registry reachable?")]
    Schema(#[from] AvroError),
    /// The flow contradicts itself.
    #[error("the flow can't be built: {0}")]
    Topology(#[from] TopologyError),
}
