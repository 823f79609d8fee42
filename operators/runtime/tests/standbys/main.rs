//! Standbys on a log in memory: members of one application, each with a state folder of its own, stepped in turn.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

#[path = "../machine/clocked_log.rs"]
mod clocked_log;
mod flock;
mod gone;
mod places;
mod takeover;
mod uncommitted;
mod warm_up;
