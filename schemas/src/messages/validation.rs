//! Verdicts of the validator on one order.

use serde::{Deserialize, Serialize};

use super::event::FieldError;
use super::order::FailureReason;
use crate::OrderId;

/// Which check answered. The lifecycle waits for one verdict of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Products exist and prices agree with the catalogue.
    Pricing,
    /// The customer's session total is below the limit.
    Fraud,
}

/// One verdict, key `order_id`, topic `order_validations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderValidation {
    /// Which order.
    pub order_id: OrderId,
    /// The order version that was checked: an amendment asks again.
    pub version: i64,
    /// Which check.
    pub check: Check,
    /// The check passed.
    pub passed: bool,
    /// Why not, most important first.
    pub failures: Vec<FailureReason>,
    /// Everything that was wrong.
    pub errors: Vec<FieldError>,
}
