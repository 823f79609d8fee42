//! Applications of the topology, each on as many threads as the settings say.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use log::Log;
use operators::Topology;
use runtime::{
    Announcements, Queries, QueryDoor, Worker, WorkerError, WorkerHandle, WorkerSettings,
};
use schemas::avro::SchemaSource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use topology::Application;

use crate::admin::{self, Shown, Watched};
use crate::config::Config;
use crate::insight;
use crate::parts;
use crate::queries::{HttpPeers, render};
use crate::roles::bind;

/// More find too few stores at once to fill.
const RESTORE_THREADS: usize = 4;

/// Running workers; the channel tells of the first that ends.
pub(crate) struct Workers {
    handles: Vec<WorkerHandle>,
    ended: mpsc::UnboundedReceiver<Result<()>>,
}

/// The topology and the state that is there don't fit: says what has changed, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(String);

/// Starts some applications, with what is to be shown of them; values of their stores are shown with the schemas of
/// `source`.
pub(crate) fn start(
    config: &Config,
    log: &Arc<dyn Log>,
    applications: Vec<Application>,
    source: &Arc<dyn SchemaSource>,
) -> Result<(Workers, Shown)> {
    let admin = log.admin()?;
    let (send, ended) = mpsc::unbounded_channel();
    let (peers, render) = (HttpPeers::new(config)?, render(source.clone()));
    if let Some(problem) = config.reach_problem() {
        tracing::warn!("{problem}");
    }
    let (mut handles, mut queries) = (Vec::new(), Vec::new());
    let announcements = Announcements::spawn(log)?;
    let topologies: Vec<Topology> =
        applications.iter().map(|application| application.topology.clone()).collect();
    let plan = config.memory_plan(applications.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = parts::StateMemory::new(&plan);
    for application in applications {
        let instance = parts::instance(config, application.id)?;
        let state = parts::state(config, application.id, admin.as_ref(), &memory)?;
        let mut asked: Option<Queries> = None;
        for thread in 0..config.stream_threads {
            let settings = WorkerSettings {
                thread,
                guarantee: config.guarantee,
                group_instance_id: config.group.instance_id.clone(),
                session_timeout: config.group.session_timeout,
                commit_min_interval_ms: application.commit_min_interval_ms,
                accepted_changes: config.accepted_changes.clone(),
                // Without an address it is known at least who owns what.
                advertised: Some(config.admin_advertised.clone().unwrap_or_default()),
                num_standby_replicas: config.standby_replicas,
                restore_threads: RESTORE_THREADS.min(cores),
                staged_bytes_max: plan.staged,
                buffered_bytes_max: plan.buffered,
                ..WorkerSettings::new(instance.as_str())
            };
            let (topology, replication) = (application.topology.clone(), config.topic_replication);
            let mut worker =
                Worker::new(topology, log.clone(), state.clone(), settings, replication);
            worker.announce_through(&announcements);
            asked = Some(match asked {
                Some(others) => others.with_thread(&worker),
                None => worker.queries(peers.clone(), render.clone()),
            });
            handles.push(spawn(worker, application.id, send.clone())?);
        }
        queries.extend(asked);
        tracing::info!(application = application.id, "{} started...", title(application.id));
    }
    let workers = Workers { handles, ended };
    let queries = QueryDoor::new(queries, config.query_token.as_deref());
    let watched = workers.watch();
    let (topologies, log) = (Arc::new(topologies), log.clone());
    let (of, seen) = (topologies.clone(), watched.clone());
    let describe = insight::describer(config, log.clone(), of, seen, queries.clone())?;
    Ok((workers, Shown { topologies, log: Some(log), watched, queries, describe }))
}

/// Puts a worker on its thread; `ended` hears how it came to its end.
fn spawn(
    worker: Worker,
    id: &'static str,
    ended: mpsc::UnboundedSender<Result<()>>,
) -> Result<WorkerHandle> {
    let handle = runtime::spawn(worker, Arc::new(parts::now_ms), move |result| {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error @ (WorkerError::Manifest { .. } | WorkerError::InReset { .. })) => {
                Err(Unfit(error.to_string()).into())
            }
            Err(error) => Err(anyhow!("{error}")),
        };
        // Nobody listens any more once the process is on its way out.
        let _unheard = ended.send(result.with_context(|| format!("{id} stopped")));
    });
    Ok(handle?)
}

/// `order-validator` → `Order Validator Worker` (R286).
fn title(id: &str) -> String {
    let words = id.split('-').filter(|word| *word != "worker").map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    });
    format!("{} Worker", words.collect::<Vec<_>>().join(" "))
}

impl Workers {
    /// Runs until told to stop or until one of them fails; then all close.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        let first = tokio::select! {
            ended = self.ended.recv() => ended.unwrap_or(Ok(())),
            () = shutdown.cancelled() => Ok(()),
        };
        for handle in &self.handles {
            handle.close();
        }
        let closed = tokio::task::spawn_blocking(move || {
            for handle in self.handles {
                handle.join()?;
            }
            Ok::<(), runtime::WorkerError>(())
        })
        .await?;
        first.and(closed.map_err(Into::into))
    }

    /// A look at all of them.
    fn watch(&self) -> Watched {
        Watched(Arc::new(self.handles.iter().map(WorkerHandle::view).collect()))
    }
}

/// `orders worker <application>`.
pub(crate) async fn run(
    config: &Config,
    application: &str,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = bind("ADMIN_ADDR", config.admin_addr).await?;
    let log = parts::log(config, false)?;
    let source = parts::schemas(config)?.source;
    let chosen = choose(config, source.clone(), application)?;
    let (workers, shown) = start(config, &log, vec![chosen], &source)?;
    let stop_admin = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listener, shown, stop_admin.clone()));
    let ended = workers.run(shutdown).await;
    stop_admin.cancel();
    ended.and(admin.await?)
}

/// The application of this name.
pub(crate) fn choose(
    config: &Config,
    source: Arc<dyn SchemaSource>,
    name: &str,
) -> Result<Application> {
    let all = topology::applications(&parts::flow_settings(config), source)?;
    let names: Vec<&str> = all.iter().map(|application| application.id).collect();
    let names = names.join(", ");
    match all.into_iter().find(|application| application.id == name) {
        Some(application) => Ok(application),
        None => bail!("unknown application {name:?}: expected one of {names}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_start_line_is_the_guides() {
        assert_eq!(super::title("order-validator"), "Order Validator Worker");
        assert_eq!(super::title("payment-worker"), "Payment Worker");
    }
}
