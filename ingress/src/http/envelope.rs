//! The outermost layer: gives each request its identity and each answer its
//! fixed headers, and turns refusals into problem documents.
//!
//! Invariant: every answer, whoever made it, passes here once and leaves with
//! `X-Request-Id`, the security headers and, from 400 up, `application/problem+json`.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::pan::contains_card_number;
use uuid::Uuid;

use super::error::{ApiError, Problem};

/// Who this request is, for logs, problem documents and record headers.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Echoed from `X-Request-Id` if it is well-formed, else new.
    pub request_id: String,
    /// 32 hexadecimal digits, from `traceparent` if the caller sent one.
    pub trace_id: String,
    /// W3C trace context to hand on.
    pub traceparent: String,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";

impl RequestContext {
    fn of(headers: &HeaderMap) -> Self {
        let request_id = headers
            .get(&REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| {
                (1..=128).contains(&id.len())
                    && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            })
            .map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned);
        let trace_id = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok())
            .and_then(trace_of)
            .map_or_else(|| Uuid::new_v4().simple().to_string(), ToOwned::to_owned);
        let span = Uuid::new_v4().simple().to_string();
        let traceparent = format!("00-{trace_id}-{}-01", &span[..16]);
        Self { request_id, trace_id, traceparent }
    }
}

/// The trace id of a W3C `traceparent`, version 00 or later.
fn trace_of(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(span, 16)
        && trace.bytes().any(|b| b != b'0');
    valid.then_some(trace)
}

/// The layer. Logs one line per request at debug, server errors at warn; not those of health probes while it starts.
pub async fn envelope(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = RequestContext::of(request.headers());
    let method = method_label(request.method());
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let order_data = path.starts_with("/api/");
    request.extensions_mut().insert(context.clone());

    let response = next.run(request).await;
    let code = response.extensions().get::<Problem>().map(|problem| problem.code);
    let mut response = render(response, &path, &context);
    add_headers(response.headers_mut(), &context, order_data);

    let labels = [
        ("method", method.to_owned()),
        ("route", route.clone()),
        ("status", response.status().as_u16().to_string()),
    ];
    metrics::histogram!("http_server_request_duration_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    let status = response.status();
    // A probe that says "not yet" has its answer.
    let is_probe = path.starts_with("/health") && status == StatusCode::SERVICE_UNAVAILABLE;
    if status.is_server_error() && !is_probe {
        tracing::warn!(
            method,
            route,
            status = status.as_u16(),
            code,
            request_id = context.request_id,
            trace_id = context.trace_id,
            "request failed"
        );
    } else {
        tracing::debug!(
            method,
            route,
            status = status.as_u16(),
            request_id = context.request_id,
            trace_id = context.trace_id,
            "request"
        );
    }
    response
}

/// The method as metrics and logs name it. A method may be any word of the
/// caller's, and every new label value is a time series for ever.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// A handler that panicked is our fault and nobody else's connection.
pub fn panicked(_cause: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(&"a handler panicked").into_response()
}

fn render(mut response: Response, path: &str, context: &RequestContext) -> Response {
    let status = response.status();
    if response.extensions().get::<Problem>().is_none() {
        let json = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/"));
        if !(status.is_client_error() || status.is_server_error()) || json {
            return response;
        }
        // The framework's own refusals (a path that isn't UTF-8, an upgrade that isn't one).
        let headers = std::mem::take(response.headers_mut());
        response = ApiError::new(
            unprocessable(status),
            "refused",
            status.canonical_reason().unwrap_or("Refused"),
        )
        .into_response();
        let allow = headers.get(header::ALLOW).cloned();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    problem.instance = (!contains_card_number(path)).then(|| path.to_owned());
    problem.trace_id = Some(context.trace_id.clone());
    let document = serde_json::to_vec(&problem).unwrap_or_default();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(document);
    response
}

/// 400 is for bytes that aren't JSON and for cursors; a malformed path is 422.
fn unprocessable(status: StatusCode) -> StatusCode {
    if status == StatusCode::BAD_REQUEST { StatusCode::UNPROCESSABLE_ENTITY } else { status }
}

fn add_headers(headers: &mut HeaderMap, context: &RequestContext, order_data: bool) {
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if order_data && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_trace_is_continued_and_others_are_replaced() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_of(parent), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn methods_callers_make_up_are_one_label() {
        assert_eq!(method_label(&Method::PATCH), "PATCH");
        let made_up = Method::from_bytes(b"X-1f0c").unwrap();
        assert_eq!(method_label(&made_up), "OTHER");
    }

    #[test]
    fn request_ids_that_could_forge_a_log_line_are_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("abc-1.2_3"));
        assert_eq!(RequestContext::of(&headers).request_id, "abc-1.2_3");
        headers.insert("x-request-id", HeaderValue::from_static("a b"));
        assert_ne!(RequestContext::of(&headers).request_id, "a b");
    }
}
