//! Sink, realtime feed and webhooks as processes of their own or together.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use egress::codecs::Codecs;
use egress::sink::{SinkSettings, run_sink};
use egress::webhooks::{Schedule, WebhookParts, WebhookSettings, run_webhooks};
use egress::websocket::{
    Leases, LocalLeases, RedisLeases, WebSocketParts, WebSocketSettings, run_websocket,
};
use ingress::auth::{Revocations, Tokens, Verifier};
use log::Log;
use read_model::Database;
use read_model::seal::Sealer;
use tokio_util::sync::CancellationToken;

use super::api::{SocketVerifier, targets};
use super::bind;
use crate::config::Config;
use crate::parts;
use crate::secrets::Secrets;

/// What all three read from and write to.
#[derive(Clone)]
pub(crate) struct Shared {
    pub log: Arc<dyn Log>,
    pub database: Database,
    pub codecs: Codecs,
}

impl Shared {
    /// For a process of its own.
    async fn open(config: &Config) -> Result<Self> {
        let log = parts::log(config, false)?;
        let codecs = Codecs::new(&parts::schemas(config)?.source)?;
        Ok(Self { log, database: parts::database(config, false).await?, codecs })
    }
}

/// The sink.
pub(crate) async fn sink(shared: Shared, shutdown: CancellationToken) -> Result<()> {
    Ok(run_sink(shared.log, shared.database, shared.codecs, SinkSettings::default(), shutdown)
        .await?)
}

/// The realtime feed.
pub(crate) async fn websocket(
    config: &Config,
    secrets: &Secrets,
    shared: Shared,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = bind("WEBSOCKET_ADDR", config.websocket_addr).await?;
    let redis = parts::redis(config).await?;
    let tokens = Tokens::new(&secrets.tokens(config));
    let revocations = Revocations::new(shared.database.clone(), redis.clone(), tokens.lifetime());
    let leases: Arc<dyn Leases> = match redis {
        Some(connection) => Arc::new(RedisLeases::new(connection)),
        None => Arc::new(LocalLeases::default()),
    };
    let parts = WebSocketParts {
        log: shared.log,
        database: shared.database,
        codecs: shared.codecs,
        verifier: Arc::new(SocketVerifier(Verifier::new(tokens, revocations))),
        leases,
    };
    let settings = WebSocketSettings {
        allowed_origins: config.cors_allowed_origins.clone(),
        ..WebSocketSettings::default()
    };
    Ok(run_websocket(listener, parts, settings, shutdown).await?)
}

/// The webhook dispatcher.
pub(crate) async fn webhooks(
    config: &Config,
    secrets: &Secrets,
    shared: Shared,
    shutdown: CancellationToken,
) -> Result<()> {
    let text: Vec<String> = config.webhook_schedule.iter().map(ToString::to_string).collect();
    let mut settings = WebhookSettings::new(format!("webhooks-{}", parts::instance(config)?));
    settings.schedule =
        Schedule::parse(&text.join(",")).map_err(|error| anyhow!("WEBHOOK_SCHEDULE: {error}"))?;
    settings.targets = targets(config)?;
    let parts = WebhookParts {
        log: shared.log,
        database: shared.database,
        codecs: shared.codecs,
        sealer: Sealer::new(&secrets.data_key),
        clock: None,
    };
    Ok(run_webhooks(parts, settings, shutdown).await?)
}

/// `orders sink`.
pub(crate) async fn run_sink_alone(config: &Config, shutdown: CancellationToken) -> Result<()> {
    sink(Shared::open(config).await?, shutdown).await
}

/// `orders websocket`.
pub(crate) async fn run_websocket_alone(
    config: &Config,
    shutdown: CancellationToken,
) -> Result<()> {
    let secrets = Secrets::open(config)?;
    websocket(config, &secrets, Shared::open(config).await?, shutdown).await
}

/// `orders webhooks`.
pub(crate) async fn run_webhooks_alone(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let secrets = Secrets::open(config)?;
    webhooks(config, &secrets, Shared::open(config).await?, shutdown).await
}
