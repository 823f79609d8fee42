//! The REST API, its first accounts and, in development, the first products.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use egress::codecs::Codecs;
use futures::future::BoxFuture;
use ingress::auth::{Role, Verifier};
use ingress::limits::LimitSettings;
use ingress::{AppState, Drain, Parts, Settings};
use log::Log;
use read_model::Database;
use read_model::seal::Sealer;
use read_model::webhook_target::TargetPolicy;
use schemas::avro::SchemaSource;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::bind;
use super::egress::Realtime;
use crate::admin;
use crate::api::Api;
use crate::config::Config;
use crate::parts;
use crate::secrets::Secrets;

/// What an ingress is made of.
pub(crate) struct ApiParts {
    pub log: Arc<dyn Log>,
    pub schemas: Arc<dyn SchemaSource>,
    pub database: Database,
}

/// Settings of the ingress.
fn settings(config: &Config, secrets: &Secrets) -> Result<Settings> {
    let mut settings = Settings::new(secrets.tokens(config), secrets.data_key);
    settings.development = config.development();
    settings.cors_origins.clone_from(&config.cors_allowed_origins);
    settings.webhook_targets = targets(config)?;
    let networks: Result<Vec<ipnet::IpNet>> = config
        .trusted_proxies
        .iter()
        .map(|text| {
            let parsed = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(Into::into));
            parsed.map_err(|_| anyhow!("TRUSTED_PROXIES: {text:?} is not an address or network"))
        })
        .collect();
    settings.trusted_proxies = ingress::http::TrustedProxies::new(networks?);
    let limits = config.limits;
    settings.limits = LimitSettings {
        enabled: limits.enabled,
        free_per_minute: limits.free,
        standard_per_minute: limits.standard,
        premium_per_minute: limits.premium,
        address_per_minute: limits.address,
        place_per_minute: limits.create_order,
        list_per_minute: limits.read_orders,
        read_per_minute: limits.read_orders,
        webhooks_per_hour: limits.webhooks_per_hour,
        ..LimitSettings::default()
    };
    Ok(settings)
}

/// `WEBHOOK_ALLOW_HOSTS`.
pub(crate) fn targets(config: &Config) -> Result<TargetPolicy> {
    TargetPolicy::parse(&config.webhook_allow_hosts.join(","))
        .map_err(|error| anyhow!("WEBHOOK_ALLOW_HOSTS: {error}"))
}

/// Puts the ingress together and makes the first accounts.
pub(crate) async fn state(config: &Config, secrets: &Secrets, parts: ApiParts) -> Result<AppState> {
    let state = AppState::start(Parts {
        settings: settings(config, secrets)?,
        log: parts.log,
        schemas: parts.schemas,
        database: parts.database,
        redis_url: config.redis_url.clone(),
        sealer: Sealer::new(&secrets.data_key),
        clock: Arc::new(parts::now),
    })
    .await?;
    if let Some((email, password)) = &secrets.admin {
        let made =
            state.accounts().ensure_admin(state.passwords(), email, password, parts::now()).await?;
        if made && secrets.admin_generated {
            eprintln!(
                "administrator: {email}, password in {}",
                config.data_dir.join("secrets/admin-password").display()
            );
        }
    }
    if config.development() {
        state.accounts().ensure_guide_customer(parts::now()).await?;
    }
    Ok(state)
}

/// Serves until told to stop, the realtime feed as a stream and its document
/// included.
pub(crate) async fn serve(
    listener: TcpListener,
    state: AppState,
    realtime: &Realtime,
    shutdown: CancellationToken,
) -> Result<()> {
    tracing::info!(address = %listener.local_addr()?, "API listens");
    state.mount(realtime.stream(shutdown.clone()).merge(egress::asyncapi::router()));
    ingress::serve(listener, state, shutdown, Drain::default()).await;
    Ok(())
}

/// `orders ingress`.
pub(crate) async fn run(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let listener = bind("INGRESS_ADDR", config.ingress_addr).await?;
    admin::beside(config, run_on(config, listener, shutdown)).await
}

async fn run_on(config: &Config, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
    let secrets = Secrets::open(config)?;
    let log = parts::log(config, false)?;
    let schemas = parts::schemas(config)?.source;
    let database = parts::database(config, false).await?;
    let realtime = Realtime::new(config, &secrets, &database)?;
    let codecs = Codecs::new(&schemas)?;
    let stop_feed = CancellationToken::new();
    let mut feeding = tokio::spawn(realtime.clone().feed(log.clone(), codecs, stop_feed.clone()));
    let listening = database.clone();
    let state = state(config, &secrets, ApiParts { log, schemas, database }).await?;
    state.prepare(config.development());
    let seeding = async {
        if config.development() {
            let mut seeding = pin!(seed(&state));
            // The workers that make products of them may be far behind, or not run at all.
            let in_time = tokio::time::timeout(SEEDED_BEFORE_READY, &mut seeding).await.is_ok();
            state.prepare(false);
            if !in_time {
                seeding.await;
            }
        }
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        served = serve(listener, state.clone(), &realtime, shutdown) => served,
        fed = &mut feeding => return fed?.context("the realtime feed"),
        () = read_model::listen(&listening) => Ok(()),
        () = seeding => Ok(()),
    };
    stop_feed.cancel();
    served.and(feeding.await?)
}

/// How long an ingress alone isn't ready because of products that aren't there yet.
const SEEDED_BEFORE_READY: Duration = Duration::from_secs(15);

/// Products that exist in development, with price in cents and stock.
const PRODUCTS: [(&str, &str, &str, i64); 4] = [
    ("prod-1", "Coffee grinder", "29.99", 100_000),
    ("prod-2", "Kettle", "49.50", 100_000),
    ("prod-3", "Last of its kind", "99.00", 1),
    ("prod-4", "Filter papers", "4.25", 1_000_000),
];

/// Makes the development products through the API itself, on a private port, so
/// that they exist before anybody is let in.
pub(crate) async fn seed(state: &AppState) {
    match tokio::time::timeout(Duration::from_secs(60), make_products(state)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = format!("{error:#}"), "development products could not be made")
        }
        Err(_) => tracing::warn!("development products could not be made within a minute"),
    }
}

async fn make_products(state: &AppState) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let service = ingress::app(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stop = CancellationToken::new();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = tokio::spawn(server.into_future());
    let made = put_products(&base, state).await;
    stop.cancel();
    serving.await??;
    made
}

async fn put_products(base: &str, state: &AppState) -> Result<()> {
    let api = Api::new(base, Some(crate::commands::token::admin(state.tokens())?))?;
    for (id, name, price, stock) in PRODUCTS {
        let path = format!("/api/v1/admin/products/{id}");
        if api.call(reqwest::Method::GET, &path, None, &[]).await?.status.is_success() {
            continue;
        }
        let body = serde_json::json!({
            "name": name, "price": serde_json::from_str::<serde_json::Value>(price)?, "currency": "USD", "stock": stock,
        });
        api.must(reqwest::Method::PUT, &path, Some(&body), &[])
            .await
            .with_context(|| path.clone())?;
    }
    Ok(())
}

/// The ingress's rules for tokens, as the sockets ask for them.
pub(crate) struct SocketVerifier(pub Verifier);

impl egress::websocket::TokenVerifier for SocketVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<egress::websocket::Caller, egress::websocket::TokenRefused>> {
        Box::pin(async move {
            let verified = self.0.verify_or_unavailable(token, parts::now()).await;
            match verified {
                Ok(Ok(claims)) => Ok(egress::websocket::Caller {
                    user_id: claims.sub,
                    admin: claims.role == Role::Admin,
                    expires_at: claims.exp,
                }),
                Ok(Err(_)) => Err(egress::websocket::TokenRefused::Invalid),
                Err(error) => Err(egress::websocket::TokenRefused::Unavailable(error.to_string())),
            }
        })
    }
}
