//! Queries over HTTP, on the admin endpoint: `GET /stores`, `GET /stores/{application}/{store}`.
//!
//! Stores hold people's data, so nobody is answered who isn't known: with a token, whoever has it; without one, callers
//! on this machine whose request names it by address or as `localhost` (a page in a browser can't make it do so under
//! another name), and isn't marked as one that a proxy passes on. Who may ask may also ask as members ask each other
//! ([`StoreQuery::instance`]), and then sees each row's key as bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Query, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, FORWARDED, HOST, VIA};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Semaphore;

use super::{Queries, QueryError, StoreQuery};
use crate::app::StoreDescription;

/// Queries at work at once, and as many that other members passed on: each has a thread, which may wait for a position or
/// another member. Those that are passed on wait for no other member, so two members never wait for each other's places.
const AT_ONCE_MAX: usize = 16;
/// Longest query string in bytes.
const QUERY_MAX: usize = 8_192;

/// Where queries come in.
#[derive(Clone)]
pub struct QueryDoor {
    pub(super) applications: Arc<Vec<Queries>>,
    token: Option<Arc<str>>,
    at_once: Arc<Semaphore>,
    passed_on: Arc<Semaphore>,
}

impl std::fmt::Debug for QueryDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("QueryDoor")
            .field("applications", &self.applications)
            .finish_non_exhaustive()
    }
}

impl QueryDoor {
    /// For the applications of this process. Without a `token` only callers on this machine are answered.
    #[must_use]
    pub fn new(applications: Vec<Queries>, token: Option<&str>) -> Self {
        Self {
            applications: Arc::new(applications),
            token: token.map(Arc::from),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            passed_on: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    /// What the stores hold on disk, by application.
    pub fn extents(&self) -> BTreeMap<String, Vec<StoreDescription>> {
        let own = |queries: &Queries| (queries.application().to_owned(), queries.extents());
        self.applications.iter().map(own).collect()
    }

    fn check(&self, caller: SocketAddr, headers: &HeaderMap) -> Result<(), QueryError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match &self.token {
            Some(token) => {
                let given = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
                let fits = given.is_some_and(|given| same(given.as_bytes(), token.as_bytes()));
                if fits {
                    Ok(())
                } else {
                    Err(QueryError::Refused("the bearer token isn't that of QUERY_TOKEN"))
                }
            }
            None if headers.keys().any(is_of_a_proxy) => Err(QueryError::Refused(
                "the request came through a proxy; set QUERY_TOKEN for queries from other machines",
            )),
            None if caller.ip().to_canonical().is_loopback()
                && text(HOST).is_some_and(is_by_address) =>
            {
                Ok(())
            }
            None => Err(QueryError::Refused(
                "queries are answered on this machine only; set one QUERY_TOKEN for all processes to ask from others",
            )),
        }
    }

    fn application(&self, name: &str) -> Result<&Queries, QueryError> {
        let found = self.applications.iter().find(|queries| queries.application() == name);
        found.ok_or_else(|| QueryError::UnknownApplication {
            application: name.to_owned(),
            here: self
                .applications
                .iter()
                .map(|queries| queries.application().to_owned())
                .collect(),
        })
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Whether a `Host` header is an address or `localhost`.
fn is_by_address(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn is_of_a_proxy(header: &HeaderName) -> bool {
    [FORWARDED, VIA].contains(header)
        || header.as_str() == "x-real-ip"
        || header.as_str().starts_with("x-forwarded-")
}

/// The routes, for the admin endpoint.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(door: QueryDoor) -> Router<S> {
    let routes = Router::new().route("/stores", get(list));
    routes.route("/stores/{application}/{store}", get(ask)).with_state(door)
}

async fn list(
    State(door): State<QueryDoor>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    door.check(caller, &headers)?;
    let listings: Vec<_> = door.applications.iter().flat_map(Queries::listings).collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(listings)).into_response())
}

async fn ask(
    State(door): State<QueryDoor>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    Path((application, store)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    query: Result<Query<StoreQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    door.check(caller, &headers)?;
    door.application(&application)?;
    if raw.is_some_and(|raw| raw.len() > QUERY_MAX) {
        return Err(
            QueryError::Invalid(format!("the query is longer than {QUERY_MAX} bytes")).into()
        );
    }
    let Query(query) = query.map_err(|rejected| QueryError::Invalid(rejected.body_text()))?;
    let places = if query.instance.is_some() { &door.passed_on } else { &door.at_once };
    let place = places.clone().try_acquire_owned().map_err(|_| QueryError::Busy)?;
    let answered = tokio::task::spawn_blocking(move || {
        let _place = place;
        door.application(&application)?.ask(&store, &query)
    });
    let answer = answered.await.map_err(|error| {
        tracing::error!(%error, "a query panicked");
        QueryError::Failed
    })??;
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// A [`QueryError`] as `application/problem+json`.
struct Problem(QueryError);

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let body = serde_json::json!({
            "type": format!("urn:orders:problem:{}", self.0.code()),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": self.0.code(),
            "detail": self.0.to_string(),
        });
        (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

#[cfg(test)]
mod tests;
