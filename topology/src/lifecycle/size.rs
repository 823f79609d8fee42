//! How much text an order carries.
//!
//! Invariant: every event of an order fits into one record of the log (1 MB).
//! An event carries the order, its lines again and, if it was amended, what was
//! before, so the order's texts may take a quarter of that. The ingress limits its bodies; this is the last door.

use std::collections::BTreeMap;

use schemas::messages::{Address, Order, PlaceOrder};

/// Most bytes of text in one order.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// What a caller is told.
pub(super) const TOO_LARGE: &str = "the order is too large: at most 256 KiB of text";

/// So many errors are listed in a failed order; the rest is counted.
pub(super) const MOST_ERRORS: usize = 50;

/// Bytes of text a new order would carry.
pub(super) fn of_place(body: &PlaceOrder) -> usize {
    let items = body.items.iter().map(|item| item.product_id.as_str().len()).sum::<usize>();
    let payment = body.payment_method.len() + body.payment_token.as_ref().map_or(0, String::len);
    items + payment + of_address(&body.shipping_address) + of_metadata(&body.metadata)
}

/// Bytes of text an order carries.
pub(super) fn of_order(order: &Order) -> usize {
    let items = order.items.iter().map(|line| line.product_id.as_str().len()).sum::<usize>();
    let payment = order.payment_method.len() + order.payment_token.as_ref().map_or(0, String::len);
    items + payment + of_address(&order.shipping_address) + of_metadata(&order.metadata)
}

fn of_address(address: &Address) -> usize {
    let country = address.country.as_ref().map_or(0, String::len);
    let lines = [&address.street, &address.city, &address.state, &address.zip];
    lines.into_iter().map(String::len).sum::<usize>() + country
}

fn of_metadata(metadata: &BTreeMap<String, String>) -> usize {
    metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}
