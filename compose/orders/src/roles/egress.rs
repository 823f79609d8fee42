//! Sink, realtime feed and webhooks as processes of their own or together.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use egress::codecs::Codecs;
use egress::feed::{FeedSettings, Hub, run_feed};
use egress::sink::{SinkSettings, run_sink};
use egress::sse::StreamParts;
use egress::webhooks::{Schedule, WebhookParts, WebhookSettings, reset, run_webhooks};
use egress::websocket::{
    Leases, LocalLeases, RedisLeases, TokenVerifier, WebSocketParts, WebSocketSettings,
    keep_leases, run_websocket,
};
use ingress::auth::{Revocations, Tokens, Verifier};
use log::Log;
use read_model::Database;
use read_model::seal::Sealer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api::{SocketVerifier, targets};
use super::bind;
use crate::admin;
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

/// What sockets and streams of one process share.
#[derive(Clone)]
pub(crate) struct Realtime {
    hub: Arc<Hub>,
    database: Database,
    verifier: Arc<dyn TokenVerifier>,
    leases: Arc<dyn Leases>,
}

impl Realtime {
    pub(crate) fn new(config: &Config, secrets: &Secrets, database: &Database) -> Result<Self> {
        let redis = parts::redis(config)?;
        let tokens = Tokens::new(&secrets.tokens(config));
        let revocations = Revocations::new(database.clone(), redis.clone(), tokens.lifetime());
        let leases: Arc<dyn Leases> = match redis {
            Some(connection) => Arc::new(RedisLeases::new(connection)),
            None => Arc::new(LocalLeases::default()),
        };
        Ok(Self {
            hub: Arc::new(Hub::default()),
            database: database.clone(),
            verifier: Arc::new(SocketVerifier(Verifier::new(tokens, revocations))),
            leases,
        })
    }

    /// Reads the feed for them and keeps their places.
    pub(crate) async fn feed(
        self,
        log: Arc<dyn Log>,
        codecs: Codecs,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let keeping = keep_leases(self.leases, shutdown.clone());
        let feeding = run_feed(log, codecs, self.hub, FeedSettings::default(), shutdown.clone());
        let feeding = async {
            let ended = feeding.await;
            shutdown.cancel();
            ended
        };
        let ((), fed) = tokio::join!(keeping, feeding);
        Ok(fed?)
    }

    /// The feed as server-sent events, for the ingress port.
    pub(crate) fn stream(&self, shutdown: CancellationToken) -> axum::Router {
        egress::sse::router(StreamParts {
            hub: self.hub.clone(),
            database: self.database.clone(),
            verifier: self.verifier.clone(),
            leases: self.leases.clone(),
            shutdown,
        })
    }

    /// The feed over WebSocket.
    pub(crate) async fn sockets(
        self,
        listener: TcpListener,
        allowed_origins: Vec<String>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let parts = WebSocketParts {
            hub: self.hub,
            database: self.database,
            verifier: self.verifier,
            leases: self.leases,
        };
        let settings = WebSocketSettings { allowed_origins, ..WebSocketSettings::default() };
        Ok(run_websocket(listener, parts, settings, shutdown).await?)
    }
}

/// The webhook dispatcher.
pub(crate) async fn webhooks(
    config: &Config,
    secrets: &Secrets,
    shared: Shared,
    shutdown: CancellationToken,
) -> Result<()> {
    let text: Vec<String> = config.webhook_schedule.iter().map(ToString::to_string).collect();
    let mut settings =
        WebhookSettings::new(format!("webhooks-{}", parts::instance(config, "webhooks")?));
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
    admin::beside(config, async { sink(Shared::open(config).await?, shutdown).await }).await
}

/// `orders websocket`.
pub(crate) async fn run_websocket_alone(
    config: &Config,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = bind("WEBSOCKET_ADDR", config.websocket_addr).await?;
    let role = async {
        let secrets = Secrets::open(config)?;
        let Shared { log, database, codecs } = Shared::open(config).await?;
        let realtime = Realtime::new(config, &secrets, &database)?;
        let origins = config.cors_allowed_origins.clone();
        let feeding = realtime.clone().feed(log, codecs, shutdown.clone());
        // Whichever ends first takes the other with it.
        let serving = async {
            let served = realtime.sockets(listener, origins, shutdown.clone()).await;
            shutdown.cancel();
            served
        };
        let (fed, served) = tokio::join!(feeding, serving);
        fed.and(served)
    };
    admin::beside(config, role).await
}

/// `orders webhooks`.
pub(crate) async fn run_webhooks_alone(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let role = async {
        let secrets = Secrets::open(config)?;
        webhooks(config, &secrets, Shared::open(config).await?, shutdown).await
    };
    admin::beside(config, role).await
}

/// `orders webhooks reset`.
pub(crate) async fn reset_webhooks(config: &Config) -> Result<()> {
    let log = parts::log(config, true)?;
    Ok(reset(log, &parts::database(config, true).await?).await?)
}
