//! The operators, one file each: the method of the DSL, the node, its tests.

mod filter;
mod flat_map;
mod map;
mod merge;
mod peek;
mod repartition;
mod select_key;
mod sink;
mod split;
mod table_source;

pub use self::split::Split;
