//! Commands that do one thing and end.

pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod order;
pub(crate) mod token;
