//! The parts a role is made of: the real service where its variable is set, the
//! embedded one otherwise.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::kafka::{KafkaLog, KafkaOptions};
use log::{Admin, Cleanup, Log, TopicSpec};
use read_model::{Database, DatabaseOptions};
use redis::aio::ConnectionManager;
use runtime::MemoryPlan;
use schema_registry::{ClientOptions, FileStorage, Registry, RegistryClient, register_all};
use schemas::Micros;
use schemas::avro::SchemaSource;
use schemas::topics;
use state_stores::{LayerBudget, RocksEngine, RocksMemory, RocksOptions, StateDir, StateOptions};
use topology::FlowSettings;

use crate::config::Config;
use crate::data_dir;

const MIB: usize = 1 << 20;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    now().0.div_euclid(1_000)
}

/// Microseconds since 1970.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The log. Embedded it lives in one process: `orders run`.
pub(crate) fn log(config: &Config, may_embed: bool) -> Result<Arc<dyn Log>> {
    if let Some(servers) = &config.kafka {
        // A cluster that is only just starting answers late rather than never.
        let request_timeout = Duration::from_secs(30);
        // The process of all parts has a worker of each application, any other has one.
        let applications = if may_embed { topology::APPLICATIONS } else { 1 };
        let MemoryPlan { fetched, sent, .. } = config.memory_plan(applications);
        let options = KafkaOptions {
            request_timeout,
            group_protocol: config.group.protocol,
            fetch_bytes: fetched,
            send_bytes: sent,
            ..KafkaOptions::new(servers.clone())
        };
        return Ok(Arc::new(KafkaLog::new(options)));
    }
    if !may_embed {
        bail!(
            "KAFKA_BOOTSTRAP_SERVERS is not set: the embedded log lives inside `orders run`; processes of their own need Kafka"
        );
    }
    data_dir::claim(&config.data_dir, "log")?;
    let options = RocksOptions { cache_bytes: 32 * MIB, write_buffer_bytes: 64 * MIB, wal: true };
    let engine = RocksEngine::open(folder(config, "log")?, options)?;
    let options = EmbeddedOptions { max_record_bytes: 2 * MIB, ..EmbeddedOptions::default() };
    Ok(Arc::new(EmbeddedLog::open(Arc::new(engine), options)?))
}

/// What the state of all applications of this process shares.
pub(crate) struct StateMemory {
    layers: Arc<LayerBudget>,
    rocks: RocksMemory,
}

impl StateMemory {
    pub(crate) fn new(plan: &MemoryPlan) -> Self {
        let rocks = RocksMemory::new(plan.cache, plan.write_buffers);
        Self { layers: LayerBudget::new(plan.layers), rocks }
    }
}

/// The state of one application on this machine. `admin` says of which log, and of which life of the application.
pub(crate) fn state(
    config: &Config,
    application: &str,
    admin: &dyn Admin,
    memory: &StateMemory,
) -> Result<Arc<StateDir>> {
    let incarnation = runtime::incarnation(admin, application, config.topic_replication)?;
    let state_options = StateOptions { incarnation, ..StateOptions::new(admin.log_id()?) };
    let folder = folder(config, &format!("state/{application}"))?;
    let engine = RocksEngine::open_within(folder, &memory.rocks, false)?;
    let state = StateDir::open_within(Arc::new(engine), state_options, &memory.layers)?;
    if let Some(former) = state.replaced_log() {
        tracing::warn!(application, former, "the state was of another log and is built anew");
    }
    Ok(state)
}

/// Where that lies, if it is there.
pub(crate) fn state_folder_of(config: &Config, application: &str) -> PathBuf {
    config.data_dir.join("state").join(application)
}

fn folder(config: &Config, name: &str) -> Result<PathBuf> {
    data_dir::folder(&config.data_dir, name)
}

/// What schemas come from, and the embedded registry if it is that.
pub(crate) struct Schemas {
    /// Ids and schemas.
    pub source: Arc<dyn SchemaSource>,
    /// None where `SCHEMA_REGISTRY_URL` names another.
    pub embedded: Option<Arc<Registry>>,
}

/// Registers all our schemas. Ids of the embedded registry derive from the
/// schemas, so processes with registries of their own agree.
pub(crate) fn schemas(config: &Config) -> Result<Schemas> {
    let schemas = match &config.schema_registry_url {
        Some(url) => Schemas {
            source: Arc::new(RegistryClient::start(&ClientOptions::new(url))?),
            embedded: None,
        },
        None => {
            let storage = FileStorage::new(folder(config, "registry")?.join("schemas.json"));
            let registry = Arc::new(Registry::open(Box::new(storage))?);
            Schemas { source: registry.clone(), embedded: Some(registry) }
        }
    };
    register_all(schemas.source.as_ref())?;
    Ok(schemas)
}

/// The read model, migrated.
pub(crate) async fn database(config: &Config, may_embed: bool) -> Result<Database> {
    let url = match &config.database_url {
        Some(url) => url.clone(),
        None if may_embed => {
            format!("sqlite://{}", folder(config, "read-model")?.join("orders.db").display())
        }
        None => bail!(
            "DATABASE_URL is not set: the embedded database lives inside `orders run`; processes of their own need PostgreSQL"
        ),
    };
    let what = if config.database_url.is_some() { "DATABASE_URL" } else { "the embedded database" };
    let database = Database::connect(&url, &DatabaseOptions::default())
        .await
        .with_context(|| what.to_owned())?;
    database.migrate().await.with_context(|| what.to_owned())?;
    Ok(database)
}

/// Redis, if there is one. Connects on first use: without it the system is
/// degraded, not down.
pub(crate) fn redis(config: &Config) -> Result<Option<ConnectionManager>> {
    config
        .redis_url
        .as_deref()
        .map(ingress::limits::redis::connect)
        .transpose()
        .context("REDIS_URL")
}

/// Every topic of the catalogue (R274–R278).
pub(crate) fn topic_specs(config: &Config) -> Vec<TopicSpec> {
    let spec = |topic: &topics::TopicInfo| TopicSpec {
        name: topic.name.to_owned(),
        partitions: config.topic_partitions,
        replication: config.topic_replication,
        cleanup: match topic.cleanup {
            topics::Cleanup::Delete { retention_ms: Some(ms) } => {
                Cleanup::Delete(Duration::from_millis(ms.unsigned_abs()))
            }
            topics::Cleanup::Delete { retention_ms: None } => Cleanup::Keep,
            topics::Cleanup::Compact => Cleanup::Compact,
        },
    };
    topics::ALL.iter().map(spec).collect()
}

/// Settings of the order flow.
pub(crate) fn flow_settings(config: &Config) -> FlowSettings {
    FlowSettings {
        cancel_grace_ms: i64::from(config.cancel_grace_seconds) * 1_000,
        fraud_window_limit: config.fraud_limit,
        simulation_step_ms: i64::from(config.simulation_step_ms),
        carrier_delivery_ms: config
            .carrier_delivery_seconds
            .map(|seconds| i64::from(seconds) * 1_000),
        ..FlowSettings::default()
    }
}

/// The name of this process in a role that it alone plays in this folder, until
/// it ends.
pub(crate) fn instance(config: &Config, role: &str) -> Result<String> {
    data_dir::claim(&config.data_dir, role)?;
    data_dir::instance(&config.data_dir, config.instance_id.as_deref())
}
