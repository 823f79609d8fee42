//! From an HTTP request to a socket: origin, token, owner, limit. What can be
//! refused before the upgrade is refused with a status.

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use schemas::UserId;

use super::auth::{Caller, TokenRefused};
use super::limits::Place;
use super::opening::Seat;
use super::{Shared, limits, session};

/// The caller's own feed.
pub(super) const OWN: &str = "/ws/orders";
/// The feed of a user.
pub(super) const OF_USER: &str = "/ws/orders/{user_id}";
const PROTOCOL: &str = "orders.v1";
const BEARER: &str = "bearer.";

/// Read and write buffers of one socket, in bytes: the library's 128 KiB each
/// would be 6 GiB at 50,000 sockets.
const BUFFER: usize = 2 * 1024;
/// One message at a time is written: the largest snapshot must fit.
const MAX_WRITE: usize = 64 * 1024 * 1024;

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route(OWN, any(own))
        .route("/ws/orders/", any(own))
        .route(OF_USER, any(of_user))
        .route("/health", get(|| async { axum::Json(serde_json::json!({"status": "ok"})) }))
        .with_state(shared)
}

async fn own(
    State(shared): State<Shared>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(shared, None, &headers, upgrade).await
}

async fn of_user(
    State(shared): State<Shared>,
    Path(user_id): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    match user_id.parse() {
        Ok(user_id) => open(shared, Some(user_id), &headers, upgrade).await,
        Err(_) => {
            refuse(StatusCode::NOT_FOUND, "not_found", "the path must end with a user id (UUID)")
        }
    }
}

async fn open(
    shared: Shared,
    wanted: Option<UserId>,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !origin_allowed(headers, &shared.settings.allowed_origins) {
        return refuse(StatusCode::FORBIDDEN, "origin", "this origin is not allowed");
    }
    if shared.shutdown.is_cancelled() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "draining", "this instance is stopping");
    }
    let mut seat = Seat { wanted, caller: None, token: String::new() };
    if let Some(token) = token(headers) {
        let caller = match shared.verifier.verify(token).await {
            Ok(caller) => caller,
            Err(TokenRefused::Invalid) => {
                return refuse(StatusCode::UNAUTHORIZED, "unauthorized", "the token is not valid");
            }
            Err(TokenRefused::Unavailable(error)) => {
                tracing::warn!(%error, "token not verified");
                return refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the token could not be verified",
                );
            }
        };
        if !may_follow(&caller, wanted) {
            return refuse(StatusCode::FORBIDDEN, "forbidden", "not yours");
        }
        let Some(place) = Place::take(&shared.leases, caller.user_id).await else {
            let detail = format!("at most {} sockets per user", limits::MAX_SOCKETS);
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", &detail);
        };
        token.clone_into(&mut seat.token);
        seat.caller = Some((caller, place));
    }
    // What is a little too big is read and refused in order; what is far too
    // big is cut off by the library.
    let max = shared.settings.max_message.saturating_mul(4);
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE)
        .max_message_size(max)
        .max_frame_size(max)
        .on_failed_upgrade(|error| tracing::debug!(%error, "upgrade failed"))
        .on_upgrade(move |socket| {
            let sockets = shared.sockets.clone();
            sockets.track_future(session::run(shared, seat, socket))
        })
}

/// Nobody but its owner and administrators.
pub(super) fn may_follow(caller: &Caller, wanted: Option<UserId>) -> bool {
    caller.admin || wanted.is_none_or(|user| user == caller.user_id)
}

fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    allowed
        .iter()
        .any(|entry| entry == "*" || entry.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// From `Authorization`, else from the subprotocols. The query is not read:
/// it ends up in logs.
fn token(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| {
        let text = value.to_str().unwrap_or_default();
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            // Present and not a bearer token: refused, not ignored.
            _ => "",
        }
    });
    authorization.or_else(|| {
        headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|protocol| protocol.trim().strip_prefix(BEARER))
    })
}

fn refuse(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail
    });
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn tokens_come_by_header_or_subprotocol() {
        let by_header = headers(&[(header::AUTHORIZATION, "Bearer abc")]);
        assert_eq!(token(&by_header), Some("abc"));
        let by_protocol = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, "orders.v1, bearer.abc.d-e")]);
        assert_eq!(token(&by_protocol), Some("abc.d-e"));
        assert_eq!(
            token(&headers(&[(header::AUTHORIZATION, "Basic x")])),
            Some(""),
            "refused, not ignored"
        );
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn browsers_come_from_allowed_origins_only() {
        let allowed = ["https://shop.example/".to_owned()];
        let from = |origin: &str| origin_allowed(&headers(&[(header::ORIGIN, origin)]), &allowed);
        assert!(from("https://shop.example"));
        assert!(!from("https://evil.example") && !from("null") && !from("http://shop.example"));
        assert!(origin_allowed(&HeaderMap::new(), &allowed), "programs send none");
        assert!(origin_allowed(&headers(&[(header::ORIGIN, "https://x")]), &["*".to_owned()]));
    }
}
