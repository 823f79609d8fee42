//! `orders run`: the whole system in one process.
//!
//! Start: log → topics → schemas → database → workers → sink, feed, webhooks →
//! API. Stop: API drains → workers commit and leave → the rest → log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use egress::codecs::Codecs;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::egress::Shared;
use super::{api, bind, egress as out, workers};
use crate::admin;
use crate::config::Config;
use crate::parts;
use crate::secrets::Secrets;

/// Runs everything until told to stop or until a part fails.
pub(crate) async fn run(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let secrets = Arc::new(Secrets::open(config)?);
    let log = parts::log(config, true)?;
    log.admin()?.ensure_topics(&parts::topic_specs(config))?;
    let schemas = tokio::task::block_in_place(|| parts::schemas(config))?;
    let database = parts::database(config, true).await?;
    let shared = Shared {
        log: log.clone(),
        database: database.clone(),
        codecs: Codecs::new(&schemas.source)?,
    };

    let mut inner = JoinSet::new();
    let stop_inner = CancellationToken::new();
    if let Some(registry) = schemas.embedded {
        let listener = bind("REGISTRY_ADDR", config.registry_addr).await?;
        inner.spawn(super::serve_registry(listener, registry, stop_inner.clone()));
    }
    let applications =
        topology::applications(&parts::flow_settings(config), schemas.source.clone())?;
    let topologies: Vec<String> =
        applications.iter().map(|application| application.topology.to_string()).collect();
    let started = workers::start(config, &log, applications)?;
    let admin = bind("ADMIN_ADDR", config.admin_addr).await?;
    let watched = started.watch();
    inner.spawn(admin::serve(admin, topologies.join("\n"), watched.clone(), stop_inner.clone()));
    let stop_workers = CancellationToken::new();
    let stopping = stop_workers.clone();
    let mut running = tokio::spawn(async move { started.run(stopping).await });
    inner.spawn(out::sink(shared.clone(), stop_inner.clone()));
    let (settings, keys, stop) = (config.clone(), secrets.clone(), stop_inner.clone());
    let feed = shared.clone();
    inner.spawn(async move { out::websocket(&settings, &keys, feed, stop).await });
    let (settings, keys, stop) = (config.clone(), secrets.clone(), stop_inner.clone());
    inner.spawn(async move { out::webhooks(&settings, &keys, shared, stop).await });
    let listening = database.clone();
    let stop = stop_inner.clone();
    inner.spawn(async move {
        tokio::select! {
            () = read_model::listen(&listening), if config_is_postgres(&listening) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });

    let parts = api::ApiParts { log: log.clone(), schemas: schemas.source, database };
    let state = api::state(config, &secrets, parts).await?;
    let stop_api = CancellationToken::new();
    let mut serving = std::pin::pin!(serve_when_ready(config, state, watched, stop_api.clone()));
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

/// LISTEN ends at once on SQLite, whose sink is in this process.
fn config_is_postgres(database: &read_model::Database) -> bool {
    matches!(database.backend(), read_model::Backend::Postgres(_))
}

/// Opens the door once every worker has its tasks; in development the first
/// products are made before anybody is told that the system is ready.
async fn serve_when_ready(
    config: &Config,
    state: ingress::AppState,
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
    eprintln!("ready: http://{}  (try: orders order create)", config.ingress_addr);
    api::serve(config, state, shutdown).await
}
