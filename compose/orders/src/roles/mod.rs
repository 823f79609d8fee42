//! The long-running roles. Each takes its parts, runs until the token is
//! cancelled, and leaves in the order its library documents.

pub(crate) mod api;
pub(crate) mod egress;
pub(crate) mod everything;
pub(crate) mod workers;

use std::future::Future;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::parts;

/// Runs a role until it ends or the process is asked to stop.
pub(crate) async fn until_signal<F>(role: impl FnOnce(CancellationToken) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let shutdown = CancellationToken::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut running = std::pin::pin!(role(shutdown.clone()));
    tokio::select! {
        ended = &mut running => return ended,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("Shutting down...");
    shutdown.cancel();
    running.await
}

/// Binds an address of the configuration.
pub(crate) async fn bind(variable: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{variable}={address} can't be listened on; stop who does or choose another")
    })
}

/// `orders registry`: the embedded schema registry on its own.
pub(crate) async fn registry(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let listener = bind("REGISTRY_ADDR", config.registry_addr).await?;
    let schemas = tokio::task::block_in_place(|| parts::schemas(config))?;
    let Some(registry) = schemas.embedded else {
        anyhow::bail!("SCHEMA_REGISTRY_URL is set: there is another registry already");
    };
    tracing::info!(address = %config.registry_addr, "schema registry listens");
    crate::admin::beside(config, serve_registry(listener, registry, shutdown)).await
}

/// Serves an embedded registry until told to stop.
pub(crate) async fn serve_registry(
    listener: TcpListener,
    registry: std::sync::Arc<schema_registry::Registry>,
    shutdown: CancellationToken,
) -> Result<()> {
    Ok(schema_registry::server::serve(listener, registry, shutdown.cancelled_owned()).await?)
}
