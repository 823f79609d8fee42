//! The stream library.

mod assembly;
mod builder;
mod context;
mod failure;
mod globals;
mod graph;
mod headers;
mod materialized;
mod ops;
mod outputs;
mod process;
mod record;
mod rows;
mod source;
mod stream;
mod table;
mod task;
mod timers;
mod topic;
mod topology;

pub use state_stores::codec::*;

pub use self::builder::StreamsBuilder;
pub use self::context::Dropped;
pub use self::failure::{BoxError, ErrorPolicy};
pub use self::globals::Globals;
pub use self::headers::Headers;
pub use self::materialized::Materialized;
pub use self::ops::Split;
pub use self::outputs::{OutputRecord, Outputs};
pub use self::record::Record;
pub use self::stream::KStream;
pub use self::table::{GlobalKTable, KTable};
pub use self::task::{DEAD_LETTERS, InputRecord, Ran, Task, TaskError};
pub use self::topic::{IntoSerde, Topic};
pub use self::topology::{
    GlobalTable, InternalTopic, InternalTopicKind, SubTopology, TaskId, Topology, TopologyError,
};
