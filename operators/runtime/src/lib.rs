//! Runs a [`Topology`](operators::Topology) on a [`Log`](log::traits::Log):
//! group membership, exactly-once commits, restore, global tables, shutdown.
//!
//! Not here: operators (pure, in `operators`), clients (in `operators/log`),
//! rows (in `state-stores`), anything about orders.

mod admin;
mod assignment;
mod commit;
mod error;
mod globals;
mod leave;
mod process;
mod purge;
mod recover;
mod restore;
mod settings;
mod thread;
mod topics;
mod worker;

pub use admin::{AdminParts, serve_admin};
pub use commit::CommitStage;
pub use error::WorkerError;
pub use settings::WorkerSettings;
pub use thread::{Clock, StatusView, WorkerHandle, spawn};
pub use topics::{TopicPlan, plan};
pub use worker::{Progress, TaskStatus, Worker, WorkerStatus};
