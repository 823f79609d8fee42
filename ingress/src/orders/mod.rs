//! Orders over HTTP (`contract.md` §1.1).
//!
//! | file | what |
//! |---|---|
//! | `draft` | a body to a [`PlaceOrder`](schemas::messages::PlaceOrder), all errors at once |
//! | `identity` | order ids, idempotency keys, requests in flight |
//! | `execute` | a command to the log, its outcome, until the read model shows it |
//! | `place`, `amend`, `cancel`, `status` | the changing routes |
//! | `read`, `list` | the reading routes |
//!
//! Invariant: this module decides nothing about an order's life. It checks what
//! the request alone shows; the lifecycle decides, and its outcome is the answer.

pub mod amend;
pub mod cancel;
pub mod draft;
pub mod execute;
pub mod identity;
pub mod list;
pub mod place;
pub mod read;
pub mod status;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemas::OrderId;

use crate::http::ApiError;

/// The `{order_id}` of a path.
#[derive(Clone, Copy, Debug)]
pub struct OrderPath(pub OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(text) =
            axum::extract::Path::<String>::from_request_parts(parts, state).await.map_err(
                |_| ApiError::invalid_field("path.order_id", "invalid", "expected a UUID"),
            )?;
        // Uuid::try_parse also takes braces and URNs; the path doesn't.
        let plain = text.len() == 36;
        text.parse()
            .ok()
            .filter(|_| plain)
            .map(Self)
            .ok_or_else(|| ApiError::invalid_field("path.order_id", "invalid", "expected a UUID"))
    }
}
