//! Commands to the fulfilment worker and what it reports.

use serde::{Deserialize, Serialize};

use super::order::ShipmentLine;
use crate::{Micros, OrderId};

/// What the fulfilment worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentCommandKind {
    /// Pick and pack all lines.
    Fulfill,
    /// Hand over to the carrier.
    Ship,
    /// Stop; nothing must leave any more.
    Cancel,
}

/// Key: order, topic `fulfillment_commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentCommand {
    /// Repeats are recognised by it.
    pub request_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// What to do.
    pub kind: FulfillmentCommandKind,
    /// What to pack.
    pub lines: Vec<ShipmentLine>,
}

/// What the warehouse or the carrier reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentEventKind {
    /// All lines are packed.
    Packed,
    /// The carrier has the parcel.
    Shipped,
    /// The customer has it.
    Delivered,
    /// Work stopped before anything left.
    Stopped,
}

/// Key: order, topics `fulfillment_events` and `carrier_events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentEvent {
    /// The command answered, or the carrier's own notice id.
    pub request_id: String,
    /// Which order.
    pub order_id: OrderId,
    /// What happened.
    pub kind: FulfillmentEventKind,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking_number: Option<String>,
    /// When.
    pub occurred_at: Micros,
}
