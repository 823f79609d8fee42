//! What the measuring programs share: what a process used, and how times are told.

pub mod figures;
pub mod process;
