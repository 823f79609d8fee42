//! `/health`, `/metrics`, `/tasks`, `/topology`, `/state`, `/applications`, `/stores` on `ADMIN_ADDR`, for
//! operators only. Every role serves it.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use log::Log;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use operators::Topology;
use runtime::{Describe, InputLag, LagWatch, QueryDoor, StatusView, WorkerStatus};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::roles::bind;

/// Of every histogram, in seconds. Quantiles that each process makes for itself can't be added up, and a summary's sketch
/// grows to several hundred KiB, once per combination of labels.
const BUCKETS: [f64; 22] = [
    0.000_5,
    0.001,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1_800.0,
    14_400.0,
    86_400.0,
    259_200.0,
    1_209_600.0,
];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Histograms keep every sample until somebody drains them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder that `/metrics` shows. Once per process.
pub(crate) fn install_metrics() -> Result<()> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| anyhow!("metrics can't be recorded: {error}"))?;
    let _first_wins = METRICS.set(handle);
    Ok(())
}

/// Looks at workers that somebody else owns.
#[derive(Clone, Default)]
pub(crate) struct Watched(pub Arc<Vec<StatusView>>);

impl Watched {
    /// True once every worker has its tasks.
    pub(crate) fn ready(&self) -> bool {
        self.0.iter().all(|view| view.status().is_some_and(|status| status.ready))
    }

    pub(crate) fn statuses(&self) -> Vec<WorkerStatus> {
        self.0.iter().filter_map(StatusView::status).collect()
    }
}

/// What a process shows of itself.
pub(crate) struct Shown {
    /// Of all its applications.
    pub topologies: Arc<Vec<Topology>>,
    /// Where their inputs are; none in a process without applications.
    pub log: Option<Arc<dyn Log>>,
    pub watched: Watched,
    pub queries: QueryDoor,
    pub describe: Arc<Describe>,
}

impl Shown {
    /// Of a process without applications.
    fn nothing(config: &Config) -> Self {
        let queries = QueryDoor::new(Vec::new(), config.query_token.as_deref());
        let describe = Arc::new(|_: &str| None);
        let (topologies, watched) = (Arc::default(), Watched::default());
        Self { topologies, log: None, watched, queries, describe }
    }
}

/// Serves until told to stop, and keeps the memory of metrics bounded.
pub(crate) async fn serve(
    listener: TcpListener,
    shown: Shown,
    shutdown: CancellationToken,
) -> Result<()> {
    let Shown { topologies, log, watched, queries, describe } = shown;
    let (ready, looked_at) = (watched.clone(), watched.clone());
    let lags: Arc<Mutex<Vec<InputLag>>> = Arc::default();
    let (last, sizes) = (lags.clone(), queries.clone());
    let shown = runtime::AdminParts {
        metrics: Arc::new(|| METRICS.get().map(PrometheusHandle::render).unwrap_or_default()),
        workers: Arc::new(move || watched.statuses()),
        ready: Arc::new(move || ready.ready()),
        topologies,
        lags: Arc::new(move || last.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        queries,
        describe,
    };
    let upkeep = async {
        let mut every = tokio::time::interval(UPKEEP);
        let mut watch = log.map(LagWatch::new);
        loop {
            every.tick().await;
            if let Some(mut watching) = watch.take() {
                let (workers, lags) = (looked_at.statuses(), lags.clone());
                let sizes = sizes.clone();
                let look = tokio::task::spawn_blocking(move || {
                    sizes.report_sizes();
                    match watching.look(&workers) {
                        Ok(now) => *lags.lock().unwrap_or_else(PoisonError::into_inner) = now,
                        Err(error) => tracing::debug!(%error, "the lag isn't known"),
                    }
                    watching
                });
                watch = look.await.ok();
            }
            if let Some(metrics) = METRICS.get() {
                metrics.run_upkeep();
            }
        }
    };
    tokio::select! {
        served = runtime::serve_admin(listener, shown, shutdown.cancelled_owned()) => Ok(served?),
        () = upkeep => Ok(()),
    }
}

/// Runs a role without workers with the endpoint beside it.
pub(crate) async fn beside(config: &Config, role: impl Future<Output = Result<()>>) -> Result<()> {
    let listener = bind("ADMIN_ADDR", config.admin_addr).await?;
    let stop = CancellationToken::new();
    let serving = serve(listener, Shown::nothing(config), stop.clone());
    let running = async {
        let ended = role.await;
        stop.cancel();
        ended
    };
    let (ended, served) = tokio::join!(running, serving);
    ended.and(served)
}
