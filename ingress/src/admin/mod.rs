//! What administrators do: catalogue, stock, users.

pub mod products;
pub mod users;
