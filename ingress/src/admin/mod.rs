//! What administrators do: catalogue, stock, users.

pub(crate) mod adjusting;
pub mod products;
pub mod users;
