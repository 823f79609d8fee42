//! The operators, one file each: the method of the DSL, the node, its tests.

mod aggregate;
mod closing;
mod filter;
mod flat_map;
mod global_join;
mod group;
mod lookup;
mod machine_context;
mod map;
mod merge;
mod peek;
mod processor;
mod processor_stores;
mod repartition;
mod select_key;
mod session_aggregate;
mod sink;
mod sliding_aggregate;
mod split;
mod state_machine;
mod suppress;
mod suppress_buffer;
mod table_join;
mod table_source;
mod window_aggregate;
mod windowed_table;

pub use self::flat_map::EmitRecord;
pub use self::group::{KGroupedStream, SessionWindowedKStream, TimeWindowedKStream};
pub use self::lookup::{GlobalView, Settle};
pub use self::machine_context::{Emit, Input, MachineContext};
pub use self::processor::{Processor, ProcessorContext};
pub use self::processor_stores::{KeyValueDef, ProcessorStores, StoreDef};
pub use self::split::Split;
pub(crate) use self::state_machine::split as split_machine_row;
