//! The real router over the embedded log in memory and SQLite, with a stand-in
//! for the lifecycle, the inventory and the sink.
#![allow(clippy::unwrap_used, reason = "a test that can't go on says where")]

mod accounts;
mod admin;
mod backend;
mod errors;
mod harness;
mod headers;
mod idempotency;
mod limits;
mod listing;
mod openapi;
mod orders;
mod patching;
mod postgres;
mod redis_limits;
mod redis_revocations;
mod servers;
mod serving;
mod webhooks;
