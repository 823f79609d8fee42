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
mod source;
mod stream;
mod stream_time;
mod table;
mod task;
mod timers;
mod topic;
mod topology;
mod windows;

pub use state_stores::codec::*;

pub use self::builder::StreamsBuilder;
pub use self::context::Dropped;
pub use self::failure::{BoxError, ErrorPolicy};
pub use self::globals::Globals;
pub use self::headers::Headers;
pub use self::materialized::Materialized;
pub use self::ops::{
    Emit, EmitRecord, GlobalView, Input, KGroupedStream, KeyValueDef, MachineContext, Processor,
    ProcessorContext, ProcessorStores, SessionWindowedKStream, Settle, Split, StoreDef,
    TimeWindowedKStream,
};
pub use self::outputs::{OutputRecord, Outputs};
pub use self::record::Record;
pub use self::stream::KStream;
pub use self::table::{GlobalKTable, KTable};
pub use self::task::{DEAD_LETTERS, InputRecord, Ran, Task, TaskError};
pub use self::topic::{IntoSerde, Topic};
pub use self::topology::{
    GlobalTable, InternalTopic, InternalTopicKind, SubTopology, TaskId, Topology, TopologyError,
};
pub use self::windows::{SessionWindows, TimeWindows, Window, Windowed};
