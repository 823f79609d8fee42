//! The realtime feed as a document (AsyncAPI 3.0). Written by hand, because it
//! says more than types can, and checked by tests: its messages, codes and
//! addresses are those of [`crate::websocket`], its event types those of the log.
//!
//! Mounted on the ingress port by the composition root, beside `/openapi.json`,
//! whose schema of an order it refers to.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The document.
pub const DOCUMENT: &str = include_str!("asyncapi.json");

/// `GET /asyncapi.json`, to be merged into the ingress's router.
pub fn router() -> Router {
    Router::new().route("/asyncapi.json", get(document))
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT)
        .into_response()
}
