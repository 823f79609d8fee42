//! `order-validator`: prices against the catalogue, and the customer's session
//! total. It keeps no orders: `order_created` says all it needs, and an
//! amendment (`order_updated`) asks again for its version.

pub mod flow;
pub mod fraud;
pub mod pricing;
