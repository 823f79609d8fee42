//! `inventory-worker`: the single writer of each warehouse's stock, and of the
//! product catalogue.
//!
//! All lines of an order are held or refused in one step of one task, so there
//! is nothing to lock and no cart loses to a half-held other one.

pub mod catalogue;
pub mod flow;
mod keeper;
pub mod warehouse;
