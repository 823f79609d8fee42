//! Commands that do one thing and end.

pub mod listen;
pub mod log;
pub mod order;
pub mod token;
