//! Reading request bodies: at most 1 MiB, in time, JSON by media type, strictly
//! parsed.
//!
//! Invariant: a body is refused for its size before it is kept, for its media
//! type before it is read, and for its syntax before any member is looked at.
//! Whoever announces a body and doesn't send it holds a request for no longer
//! than [`Patience`].

use std::time::Duration;

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use serde_json::Value;

use super::error::ApiError;
use super::json;

/// Largest body in bytes (1 MiB).
pub const MAX_BODY: usize = 1024 * 1024;

/// How long a whole body may take to arrive.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub Duration);

/// A JSON body that must be there.
#[derive(Debug)]
pub struct JsonBody(pub Value);

/// A JSON body that may be empty (`{}` then).
#[derive(Debug)]
pub struct OptionalJsonBody(pub Value);

impl<S> FromRequest<S> for JsonBody
where
    S: Send + Sync,
    Patience: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read(request, Patience::from_ref(state)).await?;
        json::parse(&bytes).map(Self).map_err(|error| ApiError::not_json(error.to_string()))
    }
}

impl<S> FromRequest<S> for OptionalJsonBody
where
    S: Send + Sync,
    Patience: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let typed = require_json(request.headers());
        let bytes = read(request, Patience::from_ref(state)).await?;
        if bytes.is_empty() {
            return Ok(Self(Value::Object(serde_json::Map::new())));
        }
        typed?;
        json::parse(&bytes).map(Self).map_err(|error| ApiError::not_json(error.to_string()))
    }
}

/// `application/json`, or any `+json` type such as `application/merge-patch+json`,
/// in UTF-8.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = || {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as application/json",
        )
    };
    let value = headers.get(header::CONTENT_TYPE).ok_or_else(refused)?;
    let text = value.to_str().map_err(|_| refused())?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    let utf8 = parts
        .filter_map(|part| part.strip_prefix("charset="))
        .all(|charset| charset.trim_matches('"') == "utf-8");
    if json && utf8 { Ok(()) } else { Err(refused()) }
}

async fn read(request: Request, Patience(patience): Patience) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let whole = axum::body::to_bytes(request.into_body(), MAX_BODY);
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let limited = std::error::Error::source(&error)
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            Err(if limited { too_large() } else { incomplete() })
        }
        // What may still come belongs to this request, not to the next one.
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!("The body did not arrive within {patience:?}"),
        )
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))),
    }
}

fn too_large() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than 1 MiB")
}

fn incomplete() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "incomplete_body",
        "The body ended before its announced length",
    )
}
