//! The operators, one file each: the method of the DSL, the node, its tests.

mod aggregate;
mod closing;
mod cogroup;
mod cogroup_windows;
mod deduplicate;
mod filter;
mod fixed_key;
mod flat_map;
mod foreign_key;
mod global_join;
mod group;
mod join_buffer;
mod kept_rows;
mod lookup;
mod machine_context;
mod map;
mod map_async;
mod merge;
mod named_sink;
mod park_key;
mod partitioned_sink;
mod peek;
mod pending_calls;
mod processor;
mod processor_stores;
mod processor_times;
mod repartition;
mod select_key;
mod self_join;
mod session_aggregate;
mod sink;
mod sliding_aggregate;
mod split;
mod state_machine;
mod store_builder;
mod stream_join;
mod stream_join_pending;
mod stream_join_side;
mod suppress;
mod suppress_buffer;
mod suppress_view;
mod table_aggregate;
mod table_group;
mod table_join;
mod table_map;
mod table_nodes;
mod table_source;
mod table_table_join;
mod versioned_table;
mod window_aggregate;
mod windowed_table;

pub use self::cogroup::CogroupedKStream;
pub use self::cogroup_windows::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
pub use self::fixed_key::{FixedKeyContext, FixedKeyProcessor, FixedKeyRecord};
pub use self::flat_map::EmitRecord;
pub use self::group::{KGroupedStream, SessionWindowedKStream, TimeWindowedKStream};
pub use self::lookup::{GlobalView, Settle};
pub use self::machine_context::{Emit, Input, MachineContext};
pub use self::named_sink::Produced;
pub use self::park_key::Parking;
pub use self::partitioned_sink::Partitions;
pub(crate) use self::pending_calls::{
    PendingCall, PendingCalls, damaged as damaged_call, number_of as number_of_call,
};
pub use self::processor::{Processor, ProcessorContext, RecordMetadata};
pub use self::processor_stores::{ProcessorStores, StoreDef};
pub use self::split::Split;
pub(crate) use self::state_machine::split as split_machine_row;
pub use self::store_builder::{
    KeyValueDef, ListDef, SessionDef, StoreBuilder, TimestampedDef, TypedDef, VersionedDef,
    WindowDef,
};
pub use self::table_group::KGroupedTable;
