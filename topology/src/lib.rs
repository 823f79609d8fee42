//! The order flow: one module per application, each a `flow.rs` that reads
//! from top to bottom and pure domain functions beside it.
//!
//! | module | application | what it decides |
//! |---|---|---|
//! | [`lifecycle`] | `order-lifecycle` | everything about an order: its single writer |
//! | [`validator`] | `order-validator` | prices and fraud |
//! | [`inventory`] | `inventory-worker` | stock: the single writer of each warehouse; the catalogue |
//! | [`payment`] | `payment-worker` | what the provider is asked, and the ledger |
//! | [`fulfillment`] | `fulfillment-worker` | packing, shipping, delivery |
//! | [`feed`] | `order-feed` | a gapless number for each of a user's events |
//! | [`analytics`] | `order-analytics` | revenue per minute |
//!
//! The applications know nothing of each other but the topics. Domain
//! functions do no I/O and read no clock: time is an argument, so every rule
//! is tested without a driver, and every flow without a broker.
//!
//! ```
//! use schemas::avro::Local;
//! use topology::{FlowSettings, applications, hops};
//!
//! let flow = applications(&FlowSettings::default(), Local::source())?;
//! let topologies: Vec<_> = flow.iter().map(|application| &application.topology).collect();
//! assert_eq!(flow[0].id, "order-lifecycle");
//! assert!(hops::post_to_validated(&topologies) <= Some(4));
//! # Ok::<(), topology::FlowError>(())
//! ```

pub mod analytics;
pub mod books;
pub mod diagram;
mod error;
pub mod feed;
pub mod fulfillment;
pub mod hops;
pub mod inventory;
pub mod lifecycle;
pub mod payment;
#[cfg(test)]
mod samples;
mod settings;
pub mod shown;
#[cfg(test)]
mod tests;
mod traced;
pub mod validator;
pub mod wire;

use std::sync::Arc;

use operators::Topology;
use schemas::avro::SchemaSource;

pub use error::FlowError;
pub use settings::FlowSettings;
pub use wire::Wire;

/// One application of the flow, ready to run.
#[derive(Clone, Debug)]
pub struct Application {
    /// `application.id`: names the consumer group and all internal topics.
    pub id: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// The flow itself.
    pub topology: Topology,
    /// Milliseconds between two commits, at least (`commit.min.interval.ms`).
    /// Small where somebody waits for the result, larger where nobody does:
    /// each commit costs a broker about a dozen requests.
    pub commit_min_interval_ms: i64,
}

/// Somebody waits.
const AT_ONCE_MS: i64 = 5;
/// A chart that moves ten times a second is a live chart.
const CHART_MS: i64 = 100;

/// How many [`applications`] there are.
pub const APPLICATIONS: usize = 7;

/// All applications of the flow, in the order of an order's life.
///
/// # Errors
/// A schema id is missing, which means that the registry can't be reached.
pub fn applications(
    settings: &FlowSettings,
    schemas: Arc<dyn SchemaSource>,
) -> Result<Vec<Application>, FlowError> {
    let wire = Wire::new(schemas);
    let application = |id, about, topology| Application {
        id,
        about,
        topology,
        commit_min_interval_ms: AT_ONCE_MS,
    };
    Ok(vec![
        application(
            "order-lifecycle",
            "decides everything about an order; its single writer",
            lifecycle::flow::topology(settings, &wire)?,
        ),
        application(
            "order-validator",
            "checks prices against the catalogue and the customer's session total",
            validator::flow::topology(settings, &wire)?,
        ),
        application(
            "inventory-worker",
            "holds stock for orders; the single writer of each warehouse and the catalogue",
            inventory::flow::topology(settings, &wire)?,
        ),
        application(
            "payment-worker",
            "asks the payment provider and keeps the ledger",
            payment::flow::topology(settings, &wire)?,
        ),
        application(
            "fulfillment-worker",
            "packs, hands over to the carrier and passes on what it reports",
            fulfillment::flow::topology(settings, &wire)?,
        ),
        application(
            "order-feed",
            "numbers each user's events without holes",
            feed::flow::topology(&wire)?,
        ),
        Application {
            commit_min_interval_ms: CHART_MS,
            ..application(
                "order-analytics",
                "sums captured money per minute and currency",
                analytics::flow::topology(&wire)?,
            )
        },
    ])
}
