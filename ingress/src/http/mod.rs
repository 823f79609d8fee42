//! What every request and answer has in common: reading JSON strictly, checking
//! members, problem documents, headers and the caller's address.
//!
//! Invariant: nothing in here knows a resource; resources use it, not the other
//! way round.

pub mod address;
pub mod body;
pub mod contents;
pub mod cors;
pub mod envelope;
pub mod error;
pub mod fields;
pub mod json;
mod place;
pub mod preconditions;
pub mod query;

pub use address::TrustedProxies;
pub use body::{JsonBody, OptionalJsonBody, Patience};
pub use envelope::RequestContext;
pub use error::ApiError;
pub use fields::{FieldErrors, Members, Unknown};
