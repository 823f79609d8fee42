//! `orders replay`: a real shop's days through the REST API.
//!
//! Invariant: what a file asks for is decided by [`plan()`] alone, from the file
//! alone; every request carries a key derived from the file's own numbers, so
//! that a second run (or one after kill -9) changes nothing.

mod plan;
mod read;
mod report;
mod send;

pub(crate) use plan::plan;
pub(crate) use read::read;
pub(crate) use report::{decimal, print};
pub(crate) use send::{HAPPY_PATH, Options, run};
