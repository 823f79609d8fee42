//! `fulfillment-worker`: picks, packs and hands over what the lifecycle asks
//! for, and passes on what carriers report.
//!
//! Warehouse and carrier are simulated by durable timers; a real carrier's
//! notices enter through `carrier_events`.

pub mod flow;
pub mod parcel;
