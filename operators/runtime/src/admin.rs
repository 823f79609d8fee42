//! The admin endpoint of a process: what its workers do and hold. Never on a public port.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use operators::Topology;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app::{AppDescription, StoreDescription};
use crate::lag::InputLag;
use crate::live;
use crate::queries::{QueryDoor, routes};
use crate::worker::WorkerStatus;

/// What the endpoint shows.
#[derive(Clone)]
pub struct AdminParts {
    /// `/metrics`: Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/tasks`.
    pub workers: Arc<dyn Fn() -> Vec<WorkerStatus> + Send + Sync>,
    /// `/health/ready`: every worker has its tasks.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// `/topology`.
    pub topologies: Arc<Vec<Topology>>,
    /// What is before the inputs, as last looked at ([`LagWatch`](crate::LagWatch)).
    pub lags: Arc<dyn Fn() -> Vec<InputLag> + Send + Sync>,
    /// `/stores`.
    pub queries: QueryDoor,
    /// `/applications/{application}`: what the application is doing; may wait. The error is one for people.
    pub describe: Arc<Describe>,
}

/// Describes the application of this name, if the process runs it.
pub type Describe = dyn Fn(&str) -> Option<Result<AppDescription, String>> + Send + Sync;

impl std::fmt::Debug for AdminParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminParts(…)")
    }
}

/// Looks at the log, the disk and other members at once: each has a thread and clients of its own.
const LOOKS_MAX: usize = 4;

/// Serves on a bound listener until `shutdown`.
///
/// # Errors
/// The listener fails.
pub async fn serve_admin(
    listener: TcpListener,
    parts: AdminParts,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(parts).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

fn router(parts: AdminParts) -> Router {
    Router::new()
        .route("/health", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/tasks", get(tasks))
        .route("/topology", get(topology))
        .route("/state", get(state))
        .route("/applications/{application}", get(application))
        .merge(routes(parts.queries.clone()))
        .layer(Extension(Arc::new(Semaphore::new(LOOKS_MAX))))
        .with_state(parts)
}

async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}

async fn ready(State(parts): State<AdminParts>) -> impl IntoResponse {
    if (parts.ready)() {
        (StatusCode::OK, Json(serde_json::json!({"status": "ok"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"status": "starting"})))
    }
}

async fn metrics(State(parts): State<AdminParts>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], (parts.metrics)())
}

async fn tasks(State(parts): State<AdminParts>) -> Json<Vec<WorkerStatus>> {
    Json((parts.workers)())
}

/// How `/topology` is asked.
#[derive(Debug, serde::Deserialize)]
struct Asked {
    format: Option<String>,
    application: Option<String>,
}

/// `?format=json|mermaid|text`, else what `Accept` prefers; text for whoever says nothing.
async fn topology(
    State(parts): State<AdminParts>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let preferred = match accepted {
        it if it.contains("application/json") => "json",
        it if it.contains("mermaid") => "mermaid",
        _ => "text",
    };
    let wanted = |name: &str| asked.application.as_deref().is_none_or(|wanted| wanted == name);
    let all = parts.topologies.iter().filter(|topology| wanted(topology.application_id()));
    let workers = || (parts.workers)();
    let (kind, text) = match asked.format.as_deref().unwrap_or(preferred) {
        "json" => {
            let (workers, lags) = (workers(), (parts.lags)());
            let all = all.map(|topology| live::json(topology, &workers, &lags));
            return Json(all.collect::<Vec<_>>()).into_response();
        }
        "mermaid" => {
            let workers = workers();
            let charts = all.map(|topology| live::mermaid(topology, &workers));
            ("text/vnd.mermaid", charts.collect::<Vec<_>>().join("\n"))
        }
        "text" => {
            let texts = all.map(ToString::to_string);
            ("text/plain; charset=utf-8", texts.collect::<Vec<_>>().join("\n"))
        }
        other => {
            let detail = format!("format {other:?} is none of json, mermaid, text");
            return (StatusCode::BAD_REQUEST, detail).into_response();
        }
    };
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// What the stores of this process hold on disk, by application.
async fn state(
    State(parts): State<AdminParts>,
    Extension(looks): Extension<Arc<Semaphore>>,
) -> Response {
    match look(looks, move || parts.queries.extents()).await {
        Ok(extents) => Json::<BTreeMap<String, Vec<StoreDescription>>>(extents).into_response(),
        Err(problem) => problem,
    }
}

async fn application(
    State(parts): State<AdminParts>,
    Extension(looks): Extension<Arc<Semaphore>>,
    Path(application): Path<String>,
) -> Response {
    match look(looks, move || (parts.describe)(&application)).await {
        Ok(Some(Ok(description))) => Json(description).into_response(),
        Ok(Some(Err(reason))) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
        Ok(None) => problem(StatusCode::NOT_FOUND, "this process doesn't run it"),
        Err(problem) => problem,
    }
}

/// What takes a thread, as long as not too many do.
async fn look<T: Send + 'static>(
    looks: Arc<Semaphore>,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let Ok(place) = looks.try_acquire_owned() else {
        let detail = "too many ask at once; ask again in a moment";
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let looked = tokio::task::spawn_blocking(move || {
        let _place = place;
        look()
    });
    looked.await.map_err(|error| {
        tracing::error!(%error, "a look at this process panicked");
        problem(StatusCode::INTERNAL_SERVER_ERROR, "it failed; the log of the process says why")
    })
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({"status": status.as_u16(), "detail": detail});
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn looks_that_take_long_do_not_pile_up() {
        let (begin, begun) = channel();
        let (end, ends) = channel::<()>();
        let ends = Mutex::new(ends);
        let parts = AdminParts {
            metrics: Arc::new(String::new),
            workers: Arc::new(Vec::new),
            ready: Arc::new(|| true),
            topologies: Arc::default(),
            lags: Arc::new(Vec::new),
            queries: QueryDoor::new(Vec::new(), None),
            describe: Arc::new(move |_| {
                begin.send(()).unwrap();
                ends.lock().unwrap().recv().unwrap();
                None
            }),
        };
        let router = router(parts);
        let ask = |path: &str| {
            let (router, request) = (router.clone(), Request::get(path).body(Body::empty()));
            async { router.oneshot(request.unwrap()).await.unwrap().status().as_u16() }
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let held: Vec<_> =
            (0..LOOKS_MAX).map(|_| runtime.spawn(ask("/applications/words"))).collect();
        held.iter().for_each(|_| begun.recv().unwrap());
        for path in ["/applications/words", "/state"] {
            assert_eq!(runtime.block_on(ask(path)), 503, "{path}");
        }
        assert_eq!(runtime.block_on(ask("/tasks")), 200);
        (0..LOOKS_MAX).for_each(|_| end.send(()).unwrap());
        for look in held {
            assert_eq!(runtime.block_on(look).unwrap(), 404);
        }
        assert_eq!(runtime.block_on(ask("/state")), 200);
    }

    #[tokio::test]
    async fn the_flow_is_shown_with_its_rates() {
        let builder = operators::StreamsBuilder::new("flow");
        let topic =
            |name: &str| operators::Topic::<str, str>::new(name, operators::Utf8, operators::Utf8);
        builder.stream(&topic("in")).to(&topic("out"));
        let topology = builder.build().unwrap();
        // As another process of an older version tells it: without what was dropped.
        let status: WorkerStatus = serde_json::from_value(serde_json::json!({
            "application": "flow", "thread": 0, "phase": "running", "ready": true,
            "tasks": [{
                "id": "0_0", "inputs": [["in[0]", 7]], "stopped": null, "calls": [], "parked": [],
                "pace": {
                    "records": 7, "per_second": 3.5, "latency_ms": 4, "latency_max_ms": 9,
                    "nodes": [{"place": 0, "records": 7, "per_second": 3.5}],
                },
            }],
        }))
        .unwrap();
        let parts = AdminParts {
            metrics: Arc::new(String::new),
            workers: Arc::new(move || vec![status.clone(), status.clone()]),
            ready: Arc::new(|| true),
            topologies: Arc::new(vec![topology]),
            lags: Arc::new(Vec::new),
            queries: QueryDoor::new(Vec::new(), None),
            describe: Arc::new(|_| None),
        };
        let router = router(parts);
        let ask = async |format: &str| {
            let path = format!("/topology?format={format}");
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (kind, String::from_utf8(body.to_vec()).unwrap())
        };
        let (kind, chart) = ask("mermaid").await;
        assert!(kind == "text/vnd.mermaid" && chart.contains("<br>7.0/s"), "{chart}");
        let (_, json) = ask("json").await;
        let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
        let node = &shown[0]["subtopologies"][0]["nodes"][0];
        assert_eq!((&node["records"], &node["per_second"]), (&14.into(), &7.0.into()));
        let task = &shown[0]["tasks"][0];
        assert_eq!((&task["per_second"], &task["dropped"]["skipped"]), (&3.5.into(), &0.into()));
    }
}
