//! `orders replay`: a real shop's days through the REST API.
//!
//! Invariant: what a file asks for is decided by [`plan`] alone, from the file
//! alone; every request carries a key derived from the file's own numbers, so
//! that a second run (or one after kill -9) changes nothing.

mod plan;
mod read;
mod report;
mod send;

pub use plan::plan;
pub use read::read;
pub use report::{decimal, print};
pub use send::{Options, run};
