//! The one error of the HTTP surface: a problem document (RFC 9457).
//!
//! Invariant: what a problem says is safe to show. Causes from databases, logs
//! and libraries are logged by whoever meets them and become [`ApiError::internal`]
//! or [`ApiError::unavailable`].

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::messages::{FieldError, OrderStatus};
use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::FieldErrors;

/// A refusal, with everything the caller needs to act on it.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the [`envelope`](super::envelope) renders, once it adds where the
/// request went and its trace.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    pub(crate) code: &'static str,
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl ApiError {
    /// Any refusal. `code` is stable and for programs, `detail` for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// 400: bytes that aren't JSON.
    pub fn not_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    }

    /// 400: a cursor that is foreign, changed or used with other filters.
    #[must_use]
    pub fn bad_cursor() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            "The cursor was not issued for this list and these filters; start again with an empty cursor",
        )
    }

    /// 401 with `WWW-Authenticate: Bearer` (RFC 6750 §3).
    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        let challenge =
            if code == "missing_token" { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404; the same for what doesn't exist and what is somebody else's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 404 `Order not found` (R265).
    #[must_use]
    pub fn order_not_found() -> Self {
        Self::not_found("Order not found")
    }

    /// 422: the key stands for another request.
    pub fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "This Idempotency-Key was used with another body",
        )
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 409 while a request with the same `Idempotency-Key` is being handled.
    #[must_use]
    pub fn key_in_flight() -> Self {
        Self::conflict(
            "idempotency_key_in_flight",
            "A request with this Idempotency-Key is being handled; repeat it in a moment",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 409 for a move the transition table doesn't have.
    #[must_use]
    pub fn transition(
        current: Option<OrderStatus>,
        allowed: &[OrderStatus],
        detail: Option<String>,
    ) -> Self {
        let detail = detail.unwrap_or_else(|| "The order's status does not allow this".to_owned());
        Self::conflict("transition_not_allowed", detail)
            .with_member(
                "current_status",
                current.map_or(Value::Null, |status| status.as_str().into()),
            )
            .with_member(
                "allowed",
                allowed
                    .iter()
                    .map(|status| Value::from(status.as_str()))
                    .collect::<Vec<_>>()
                    .into(),
            )
    }

    /// 412: `If-Match` names another version.
    #[must_use]
    pub fn version_mismatch(current: i64) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "The order has changed; read it again and repeat with its ETag",
        )
        .with_member("current_version", current.into())
    }

    /// 422 with all field errors at once.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            many if many.len() >= FieldErrors::MOST => {
                format!("{} or more members are not valid; these come first", many.len())
            }
            many => format!("{} members are not valid", many.len()),
        };
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail);
        error.errors = errors;
        error
    }

    /// 422 about one field.
    pub fn invalid_field(field: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError {
            field: field.into(),
            code: code.to_owned(),
            message: message.into(),
        }])
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 500. The cause goes to the log, never to the caller.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side; the trace_id helps us find it",
        )
    }

    /// The same with one more member in the document.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The version the order has, where that is why it was refused
    /// ([`Self::version_mismatch`]).
    #[must_use]
    pub fn current_version(&self) -> Option<i64> {
        self.members.get("current_version")?.as_i64()
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("urn:orders:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: self.detail,
            instance: None,
            code: self.code,
            errors: self.errors,
            trace_id: None,
            members: self.members,
        };
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(problem);
        response
    }
}

/// 503 where repeating helps, else 500.
#[must_use]
pub fn database_failed(error: &read_model::ReadModelError) -> ApiError {
    if error.is_retriable() {
        tracing::warn!(%error, "the database does not answer");
        ApiError::unavailable("database_unavailable", "The database does not answer at the moment")
    } else {
        ApiError::internal(error)
    }
}
