//! The interface as a document (OpenAPI 3.1). Written by hand, because it says
//! more than types can, and checked by a test: every route has an operation and
//! every operation has a route.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT)
        .into_response()
}
