//! A topology changes between two starts of its application: what goes on with its state, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails where something fails")]

#[path = "../machine/clocked_log.rs"]
mod clocked_log;
mod hazy;
mod interrupted;
mod machine;
mod manifests;
mod names;
mod places;
mod recreated;
mod resets;
