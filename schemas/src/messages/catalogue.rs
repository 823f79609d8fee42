//! Products and how many there are.

use serde::{Deserialize, Serialize};

use crate::{Money, Sku};

/// Key: product, topic `product_commands`: create or replace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCommand {
    /// Unique per request.
    pub command_id: String,
    /// Which product.
    pub product_id: Sku,
    /// Name; the id where none was given.
    pub name: String,
    /// Price of one.
    pub price: Money,
    /// Quantity to set on hand in the default warehouse.
    pub on_hand: i64,
}

/// Key: product, topic `products` (compacted).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Which product.
    pub product_id: Sku,
    /// Name.
    pub name: String,
    /// Price of one.
    pub price: Money,
    /// Counts changes from 1.
    pub version: i64,
    /// The command that made this version.
    pub command_id: String,
}

/// Key: `<warehouse>/<product>`, topic `stock_levels` (compacted).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevel {
    /// Which warehouse.
    pub warehouse: String,
    /// Which product.
    pub product_id: Sku,
    /// In the building.
    pub on_hand: i64,
    /// Of that, promised to orders. Available = on hand − held.
    pub held: i64,
    /// Counts changes from 1.
    pub version: i64,
    /// The request that made this version.
    pub request_id: String,
}
