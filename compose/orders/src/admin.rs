//! `/metrics`, `/tasks`, `/topology` on `ADMIN_ADDR`, for operators only.

use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use runtime::{StatusView, WorkerStatus};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder that `/metrics` shows. Once per process.
pub(crate) fn install_metrics() -> Result<()> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| anyhow!("metrics can't be recorded: {error}"))?;
    let _first_wins = METRICS.set(handle);
    Ok(())
}

/// Looks at workers that somebody else owns.
#[derive(Clone)]
pub(crate) struct Watched(pub Arc<Vec<StatusView>>);

impl Watched {
    /// True once every worker has its tasks.
    pub(crate) fn ready(&self) -> bool {
        self.0.iter().all(|view| view.status().is_some_and(|status| status.ready))
    }

    fn statuses(&self) -> Vec<WorkerStatus> {
        self.0.iter().filter_map(StatusView::status).collect()
    }
}

/// Serves until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    topology: String,
    watched: Watched,
    shutdown: CancellationToken,
) -> Result<()> {
    let parts = runtime::AdminParts {
        metrics: Arc::new(|| METRICS.get().map(PrometheusHandle::render).unwrap_or_default()),
        workers: Arc::new(move || watched.statuses()),
        topology,
    };
    Ok(runtime::serve_admin(listener, parts, shutdown.cancelled_owned()).await?)
}
