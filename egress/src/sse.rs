//! The realtime feed as server-sent events: `GET /api/v1/orders/stream`,
//! mounted on the ingress port by the composition root.
//!
//! The id of each event is its position, `<epoch>:<offset>`; a browser sends
//! the last one back as `Last-Event-ID` and goes on behind it. Where that isn't
//! possible the stream begins with a `snapshot` event. A reader that is behind
//! takes what it missed from the feed's history; if that doesn't hold it any
//! more the stream ends, and the reader resumes the same way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use read_model::Database;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::feed::{self, FeedEvent, Follower, Hub, Position, Topic, TopicRefused, Wish};
use crate::websocket::limits::{MAX_SOCKETS, Place};
use crate::websocket::{Caller, Leases, TokenRefused, TokenVerifier};

/// Events rendered at once.
const BATCH: usize = 64;
/// A stream that comes while the feed is read for the first time waits this long.
const READY_WITHIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this even if its token lives on; the client resumes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the stream needs.
#[derive(Clone)]
pub struct StreamParts {
    /// Fed by [`feed::run_feed`] in this process.
    pub hub: Arc<Hub>,
    /// Snapshots.
    pub database: Database,
    /// The ingress's rules.
    pub verifier: Arc<dyn TokenVerifier>,
    /// A stream counts as a socket.
    pub leases: Arc<dyn Leases>,
    /// Ends all streams; clients come back elsewhere.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for StreamParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamParts(…)")
    }
}

/// The route, to be merged into the ingress's router.
pub fn router(parts: StreamParts) -> Router {
    Router::new().route("/api/v1/orders/stream", get(open)).with_state(parts)
}

async fn open(State(parts): State<StreamParts>, headers: HeaderMap) -> Response {
    let caller = match caller(&parts, &headers).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let Some(place) = Place::take(&parts.leases, caller.user_id).await else {
        return crowded();
    };
    if timeout(READY_WITHIN, parts.hub.ready()).await.is_err() {
        return unavailable("the feed is still being read");
    }
    let topic = Topic::User(caller.user_id);
    let position = headers.get("last-event-id").and_then(|value| position(value.to_str().ok()?));
    let follower = parts.hub.follower();
    let wish = Wish {
        user_id: caller.user_id,
        admin: caller.admin,
        topic,
        position: position.as_ref(),
        snapshot: true,
    };
    let resumed = match feed::resume(&parts.database, &follower, wish).await {
        Ok(resumed) => resumed,
        Err(TopicRefused::Database(error)) => {
            tracing::warn!(%error, "stream not opened");
            return unavailable("the read model does not answer");
        }
        Err(_) => return problem(StatusCode::FORBIDDEN, "forbidden", "not yours"),
    };
    let epoch = parts.hub.epoch().to_owned();
    let mut ready = VecDeque::new();
    if let Some(orders) = resumed.snapshot {
        let data = format!("[{}]", orders.join(","));
        ready.push_back(
            Event::default().event("snapshot").id(format!("{epoch}:{}", resumed.offset)).data(data),
        );
    }
    ready.extend(resumed.missed.iter().map(|event| message(&epoch, topic, event)));
    let last = resumed.missed.last().map_or(resumed.offset, |event| event.offset(topic));
    let left = caller.expires_at.saturating_sub(SystemClock.now().0.div_euclid(1_000_000));
    let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(LONGEST);
    let ends = tokio::time::Instant::now() + left;
    let following = Following { parts, follower, topic, epoch, last, ready, ends, _place: place };
    let mut response = Sse::new(stream::unfold(following, Following::next))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

async fn caller(parts: &StreamParts, headers: &HeaderMap) -> Result<Caller, Response> {
    let text = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let refused = || {
        let mut response =
            problem(StatusCode::UNAUTHORIZED, "unauthorized", "the token is not valid");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        response
    };
    let Some((_, token)) = token else { return Err(refused()) };
    parts.verifier.verify(token.trim()).await.map_err(|error| match error {
        TokenRefused::Invalid => refused(),
        TokenRefused::Unavailable(_) => unavailable("the token could not be verified"),
    })
}

fn crowded() -> Response {
    let detail = format!("at most {MAX_SOCKETS} sockets and streams per user");
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", &detail);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    response
}

fn unavailable(detail: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    response
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "code": code, "detail": detail
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn position(text: &str) -> Option<Position> {
    let (epoch, offset) = text.rsplit_once(':')?;
    Some(Position { epoch: epoch.to_owned(), offset: offset.parse().ok()? })
}

fn message(epoch: &str, topic: Topic, event: &FeedEvent) -> Event {
    let id = format!("{epoch}:{}", event.offset(topic));
    Event::default().event(event.event_type).id(id).data(event.message(topic))
}

/// One open stream.
struct Following {
    parts: StreamParts,
    follower: Follower,
    topic: Topic,
    epoch: String,
    last: i64,
    ready: VecDeque<Event>,
    ends: tokio::time::Instant,
    /// Given back when the client or the server ends the stream.
    _place: Place,
}

impl Following {
    /// The next event; none ends the stream, and the client resumes.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            tokio::select! {
                biased;
                () = self.parts.shutdown.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
                () = self.follower.news() => {}
            }
            for followed in self.follower.take(BATCH).ok()? {
                let offset = followed.event.offset(self.topic);
                if offset <= self.last {
                    continue;
                }
                if offset != self.last + 1 && self.last != 0 {
                    return None;
                }
                self.last = offset;
                self.ready.push_back(message(&self.epoch, self.topic, &followed.event));
            }
        }
    }
}
