//! The HTTP side of the limits: decides before the handler runs (R134), puts the
//! headers on every limited answer, and refuses with 429.
//!
//! Invariant: `Retry-After` is enough (a caller that waits that long gets
//! through) and at most a second more than necessary.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::decision::{Decision, Scope};
use super::policy::Counted;
use crate::auth::Authentication;
use crate::http::ApiError;
use crate::state::AppState;

/// The layer; stands behind the one that reads the token.
pub async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let counted = match request.extensions().get::<Authentication>() {
        Some(Authentication::Caller(caller)) => Counted::User(caller.user_id, caller.tier),
        _ => Counted::Address(state.settings().trusted_proxies.client_of(&request)),
    };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let scopes = state.settings().limits.scopes(counted, request.method(), route);
    let tier = counted.tier();
    let decision = state.limiter().decide(&scopes, tier, state.now().as_millis()).await;
    if !decision.allowed {
        return refusal(&scopes, &decision).into_response();
    }
    let mut response = next.run(request).await;
    // A handler that refused by a limit of its own has described that one.
    if !response.headers().contains_key(&LIMIT) {
        response.headers_mut().extend(description(&scopes, &decision));
    }
    response
}

/// 429 for a decision that refused, with the headers of the scope that did.
#[must_use]
pub fn refusal(scopes: &[Scope], decision: &Decision) -> ApiError {
    let seconds = seconds_up(decision.retry_after_ms).max(1);
    let policy = decision.standing.map_or("", |standing| scopes[standing.scope].policy);
    let error = ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        format!("Too many requests; try again in {seconds} s"),
    )
    .with_member("violated_policy", policy.into())
    .with_header(header::RETRY_AFTER, HeaderValue::from(seconds));
    description(scopes, decision)
        .into_iter()
        .fold(error, |error, (name, value)| error.with_header(name, value))
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");

/// The three headers of the seed, and the IETF draft's two with every policy.
fn description(scopes: &[Scope], decision: &Decision) -> Vec<(HeaderName, HeaderValue)> {
    let Some(standing) = decision.standing else { return Vec::new() };
    let shown = &scopes[standing.scope];
    let mut headers = vec![
        (LIMIT, HeaderValue::from(shown.limit)),
        (HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(standing.remaining)),
        (
            HeaderName::from_static("x-ratelimit-reset"),
            HeaderValue::from(seconds_up(standing.reset_ms)),
        ),
    ];
    let wait = seconds_up(standing.reset_ms - decision.now_ms).max(0);
    let policies: Vec<String> = scopes
        .iter()
        .map(|scope| format!("\"{}\";q={};w={}", scope.policy, scope.limit, scope.window_ms / 1000))
        .collect();
    let standing = format!("\"{}\";r={};t={wait}", shown.policy, standing.remaining);
    for (name, text) in [("ratelimit", standing), ("ratelimit-policy", policies.join(", "))] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.push((HeaderName::from_static(name), value));
        }
    }
    headers
}

fn seconds_up(ms: i64) -> i64 {
    ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0)
}
