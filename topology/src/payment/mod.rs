//! `payment-worker`: carries out what the lifecycle asks of the payment
//! provider, once per request id, and keeps a double-entry ledger.
//!
//! The provider built in ([`provider`]) is a deterministic simulator driven by
//! payment tokens; its latency is a durable timer, so it survives a crash.
//! Callbacks of a real provider enter at the same door and are matched by the
//! request's id at any age.

pub mod account;
pub mod flow;
pub mod ledger;
pub mod provider;
