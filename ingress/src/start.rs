//! Putting the ingress together.
//!
//! Invariant: the followers run before the first request is accepted, so no
//! answer can pass by unseen.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use log::{Log, LogError, TailBatch, TailFrom};
use parking_lot::Mutex;
use read_model::seal::Sealer;
use read_model::{Database, ReadModelError};
use redis::aio::ConnectionManager;
use schemas::avro::{AvroError, Decoder, Message, SchemaSource};
use schemas::messages::{
    CommandOutcome, OrderCommand, ProductCommand, StockCommand, StockResult, StockResultKind,
    WebhookCommand, WebhookEndpoint,
};
use schemas::topics;
use tokio::sync::Semaphore;

use crate::admin::adjusting::Adjustments;
use crate::auth::passwords::HashError;
use crate::auth::{
    Accounts, Passwords, Revocations, Sessions, StartError, Tokens, Verifier, check_secrets,
};
use crate::commands::{Follower, Replies, Sender, Typed};
use crate::cursor::{Cursors, derive};
use crate::limits::{Limiter, RedisLogs};
use crate::settings::Settings;
use crate::state::{AppState, Clock, Inner};
use crate::webhooks::Endpoints;

/// What the composition root hands over.
pub struct Parts {
    /// Settings.
    pub settings: Settings,
    /// The log; its topics exist.
    pub log: Arc<dyn Log>,
    /// Schema ids.
    pub schemas: Arc<dyn SchemaSource>,
    /// The read model, migrated; the account tables are made in it.
    pub database: Database,
    /// `REDIS_URL`, if there is one.
    pub redis_url: Option<String>,
    /// Seals webhook secrets.
    pub sealer: Sealer,
    /// The wall clock.
    pub clock: Clock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why the ingress can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The configuration must be changed.
    #[error(transparent)]
    Configuration(#[from] StartError),
    /// The log can't be read or written.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// A schema is unknown.
    #[error(transparent)]
    Schema(#[from] AvroError),
    /// The database can't be reached.
    #[error(transparent)]
    Database(#[from] ReadModelError),
    /// The cost of password hashes isn't possible.
    #[error(transparent)]
    Passwords(#[from] HashError),
    /// Not a Redis URL.
    #[error("REDIS_URL: {0}")]
    Redis(#[from] redis::RedisError),
}

/// The topics the ingress writes.
#[derive(Debug)]
pub struct Topics {
    /// `order_commands`.
    pub orders: Typed<OrderCommand>,
    /// `product_commands`.
    pub products: Typed<ProductCommand>,
    /// `stock_commands`.
    pub stock: Typed<StockCommand>,
    /// `webhook_endpoints`.
    pub endpoints: Typed<WebhookEndpoint>,
    /// `webhook_commands`.
    pub webhook_commands: Typed<WebhookCommand>,
}

impl AppState {
    /// Checks the configuration, makes the account tables, opens the producer
    /// and starts the followers.
    ///
    /// # Errors
    /// [`StartFailure`], with the setting's name and the remedy.
    pub async fn start(parts: Parts) -> Result<Self, StartFailure> {
        let Parts { settings, log, schemas, database, redis_url, sealer, clock } = parts;
        check_secrets(&settings.tokens, settings.development)?;
        let accounts = Accounts::new(database.clone());
        accounts.migrate().await?;
        let redis: Option<ConnectionManager> =
            redis_url.as_deref().map(crate::limits::redis::connect).transpose()?;
        let tokens = Tokens::new(&settings.tokens);
        let revocations = Revocations::new(database.clone(), redis.clone(), tokens.lifetime());
        revocations.load(clock()).await?;
        let topics = Topics {
            orders: Typed::new(&topics::ORDER_COMMANDS, schemas.as_ref())?,
            products: Typed::new(&topics::PRODUCT_COMMANDS, schemas.as_ref())?,
            stock: Typed::new(&topics::STOCK_COMMANDS, schemas.as_ref())?,
            endpoints: Typed::new(&topics::WEBHOOK_ENDPOINTS, schemas.as_ref())?,
            webhook_commands: Typed::new(&topics::WEBHOOK_COMMANDS, schemas.as_ref())?,
        };
        let (outcomes, stock_answers, endpoints) =
            (Replies::default(), Replies::default(), Endpoints::default());
        let followers = follow(&log, &schemas, &outcomes, &stock_answers, &endpoints)?;
        Ok(Self(Arc::new(Inner {
            verifier: Verifier::new(tokens.clone(), revocations.clone()),
            limiter: Limiter::new(redis.map(RedisLogs::new)),
            sessions: Sessions::new(database.clone(), settings.tokens.refresh_days),
            passwords: Passwords::new(settings.passwords)?,
            sender: Sender::open(log.as_ref(), settings.acknowledge_within)?,
            cursors: Cursors::new(&settings.data_key.0),
            order_key: derive(&settings.data_key.0, "order-ids"),
            placing: Mutex::default(),
            adjustments: Adjustments::default(),
            places: Arc::new(Semaphore::new(settings.max_in_flight)),
            draining: AtomicBool::new(false),
            preparing: AtomicBool::new(false),
            settings,
            clock,
            log,
            database,
            tokens,
            revocations,
            accounts,
            topics,
            outcomes,
            stock_answers,
            endpoints,
            sealer,
            followers,
            mounted: std::sync::OnceLock::new(),
        })))
    }
}

fn follow(
    log: &Arc<dyn Log>,
    schemas: &Arc<dyn SchemaSource>,
    outcomes: &Replies<CommandOutcome>,
    stock: &Replies<StockResult>,
    endpoints: &Endpoints,
) -> Result<Vec<Follower>, StartFailure> {
    let decoder = Decoder::for_topic(&topics::ORDER_COMMAND_OUTCOMES, Arc::clone(schemas))?;
    let waiting = outcomes.clone();
    let outcomes = Follower::start(
        Arc::clone(log),
        "order-api-outcomes",
        topics::ORDER_COMMAND_OUTCOMES.name(),
        TailFrom::End,
        move |batch| {
            each(batch, &decoder, &waiting, |outcome: &CommandOutcome| {
                Some(outcome.command_id.clone())
            });
        },
    )?;
    let decoder = Decoder::for_topic(&topics::STOCK_RESULTS, Arc::clone(schemas))?;
    let waiting = stock.clone();
    let stock = Follower::start(
        Arc::clone(log),
        "order-api-stock",
        topics::STOCK_RESULTS.name(),
        TailFrom::End,
        move |batch| {
            each(batch, &decoder, &waiting, |result: &StockResult| {
                let adjustment = matches!(
                    result.kind,
                    StockResultKind::Adjusted
                        | StockResultKind::AdjustRefused
                        | StockResultKind::AdjustConflict
                );
                adjustment.then(|| result.request_id.clone())
            });
        },
    )?;
    let decoder = Decoder::for_topic(&topics::WEBHOOK_ENDPOINTS, Arc::clone(schemas))?;
    let table = endpoints.clone();
    let endpoints = Follower::start(
        Arc::clone(log),
        "order-api-webhooks",
        topics::WEBHOOK_ENDPOINTS.name(),
        TailFrom::Start,
        move |batch| {
            batch.records.iter().for_each(|record| table.apply(record, &decoder));
        },
    )?;
    Ok(vec![outcomes, stock, endpoints])
}

/// Hands each answer to its waiter; decodes nothing while nobody waits, since
/// every order of every instance passes here.
fn each<T: Message + Clone>(
    batch: &TailBatch,
    decoder: &Decoder<T>,
    waiting: &Replies<T>,
    request_of: impl Fn(&T) -> Option<String>,
) {
    for record in &batch.records {
        if waiting.is_idle() {
            return;
        }
        match record.value.as_deref().map(|value| decoder.decode(value)) {
            Some(Ok(answer)) => {
                if let Some(request) = request_of(&answer) {
                    waiting.deliver(&request, answer);
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, topic = %record.topic, partition = record.partition, offset = record.offset, "cannot decode")
            }
            None => {}
        }
    }
}
