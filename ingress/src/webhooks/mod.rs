//! Webhook registrations (`contract.md` §3). The dispatcher in the egress reads
//! what is written here: the compacted topic `webhook_endpoints`.
//!
//! | file | what |
//! |---|---|
//! | `endpoints` | the registrations as the topic tells them, in memory |
//! | `draft` | a body to a registration's members |
//! | `target` | which URLs are refused |
//! | `changes` | one change of a registration at a time |
//! | `routes`, `deliveries` | the HTTP resource |
//!
//! Invariant: a secret is shown once, to its owner, in the answer that made it;
//! on the log it is sealed.

pub(crate) mod changes;
pub mod deliveries;
pub mod draft;
pub mod endpoints;
pub mod routes;
pub mod target;

pub use endpoints::Endpoints;
