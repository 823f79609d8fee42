//! The one door to the log. (placeholder page)

pub mod error;
pub mod record;
pub mod topic;
pub mod traits;
