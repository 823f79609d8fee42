//! `orders run`: the whole system in one process.
//!
//! Start: ports → log → topics → schemas → database → workers → sink, feed, webhooks →
//! API. Stop: API drains → workers commit and leave → the rest → log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use egress::codecs::Codecs;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::egress::{Realtime, Shared};
use super::{api, bind, egress as out, workers};
use crate::admin;
use crate::config::Config;
use crate::parts;
use crate::secrets::Secrets;

/// The doors, all taken before anything is opened: a taken port must not be
/// found out halfway.
struct Doors {
    ingress: TcpListener,
    websocket: TcpListener,
    registry: Option<TcpListener>,
    admin: TcpListener,
}

impl Doors {
    async fn open(config: &Config) -> Result<Self> {
        let registry = match config.schema_registry_url {
            Some(_) => None,
            None => Some(bind("REGISTRY_ADDR", config.registry_addr).await?),
        };
        Ok(Self {
            ingress: bind("INGRESS_ADDR", config.ingress_addr).await?,
            websocket: bind("WEBSOCKET_ADDR", config.websocket_addr).await?,
            registry,
            admin: bind("ADMIN_ADDR", config.admin_addr).await?,
        })
    }
}

/// Runs everything until told to stop or until a part fails.
pub(crate) async fn run(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let doors = Doors::open(config).await?;
    let secrets = Arc::new(Secrets::open(config)?);
    let log = parts::log(config, true)?;
    log.admin()?.ensure_topics(&parts::topic_specs(config))?;
    let schemas = tokio::task::block_in_place(|| parts::schemas(config))?;
    let database = parts::database(config, true).await?;
    let codecs = Codecs::new(&schemas.source)?;
    let shared = Shared { log: log.clone(), database: database.clone(), codecs };

    let mut inner = JoinSet::new();
    let stop_inner = CancellationToken::new();
    if let (Some(registry), Some(door)) = (schemas.embedded, doors.registry) {
        inner.spawn(super::serve_registry(door, registry, stop_inner.clone()));
    }
    let applications =
        topology::applications(&parts::flow_settings(config), schemas.source.clone())?;
    let (started, shown) = workers::start(config, &log, applications, &schemas.source)?;
    let watched = shown.watched.clone();
    inner.spawn(admin::serve(doors.admin, shown, stop_inner.clone()));
    let stop_workers = CancellationToken::new();
    let stopping = stop_workers.clone();
    let mut running = tokio::spawn(async move { started.run(stopping).await });
    let realtime = Realtime::new(config, &secrets, &database)?;
    egress_parts(config, &secrets, &realtime, shared, doors.websocket, &stop_inner, &mut inner);

    let parts = api::ApiParts { log: log.clone(), schemas: schemas.source, database };
    let state = api::state(config, &secrets, parts).await?;
    let stop_api = CancellationToken::new();
    let api = serve_when_ready(config, doors.ingress, state, &realtime, watched, stop_api.clone());
    let mut serving = std::pin::pin!(api);
    let first = tokio::select! {
        ended = &mut serving => ended.context("API"),
        ended = &mut running => ended?.context("workers"),
        Some(ended) = inner.join_next() => ended?.context("a part of the system"),
        () = shutdown.cancelled() => {
            stop_api.cancel();
            serving.await
        }
    };
    stop_workers.cancel();
    let closed = if running.is_finished() { Ok(()) } else { running.await? };
    stop_inner.cancel();
    let mut rest = Ok(());
    while let Some(ended) = inner.join_next().await {
        rest = rest.and(ended?);
    }
    first.and(closed).and(rest)
}

/// Sink, feed, sockets, webhooks, and the ear for other processes' writes.
fn egress_parts(
    config: &Config,
    secrets: &Arc<Secrets>,
    realtime: &Realtime,
    shared: Shared,
    door: TcpListener,
    stop: &CancellationToken,
    inner: &mut JoinSet<Result<()>>,
) {
    inner.spawn(out::sink(shared.clone(), stop.clone()));
    let (log, codecs) = (shared.log.clone(), shared.codecs.clone());
    inner.spawn(realtime.clone().feed(log, codecs, stop.clone()));
    let origins = config.cors_allowed_origins.clone();
    inner.spawn(realtime.clone().sockets(door, origins, stop.clone()));
    let (listening, until) = (shared.database.clone(), stop.clone());
    let (settings, keys, stop) = (config.clone(), secrets.clone(), stop.clone());
    inner.spawn(async move { out::webhooks(&settings, &keys, shared, stop).await });
    inner.spawn(async move {
        tokio::select! {
            () = read_model::listen(&listening), if config_is_postgres(&listening) => {}
            () = until.cancelled() => {}
        }
        Ok(())
    });
}

/// LISTEN ends at once on SQLite, whose sink is in this process.
fn config_is_postgres(database: &read_model::Database) -> bool {
    matches!(database.backend(), read_model::Backend::Postgres(_))
}

/// Opens the door once every worker has its tasks; in development the first
/// products are made before anybody is told that the system is ready.
async fn serve_when_ready(
    config: &Config,
    door: TcpListener,
    state: ingress::AppState,
    realtime: &Realtime,
    watched: admin::Watched,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while !watched.ready() && !shutdown.is_cancelled() {
        look.tick().await;
    }
    if config.development() && !shutdown.is_cancelled() {
        api::seed(&state).await;
    }
    eprintln!("ready: http://{}  (try: orders order create)", door.local_addr()?);
    api::serve(door, state, realtime, shutdown).await
}
