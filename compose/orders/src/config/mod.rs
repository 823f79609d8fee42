//! The settings of a process, read once at the start from the environment
//! (`contract.md` §5). The libraries get structs and read nothing themselves.

mod env;
mod group;
mod reach;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use runtime::{MemoryPlan, ProcessingGuarantee};

pub(crate) use env::Env;
pub(crate) use group::Group;

/// Every variable the program knows; the README's table has the same.
pub(crate) const KNOWN: &[&str] = &[
    "DATABASE_URL",
    "DATABASE_TEST_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_BROKERS",
    "JWT_SECRET_KEY",
    "JWT_ALGORITHM",
    "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
    "RATE_LIMIT_ENABLED",
    "RATE_LIMIT_PER_MINUTE",
    "RATE_LIMIT_FREE_PER_MINUTE",
    "RATE_LIMIT_PREMIUM_PER_MINUTE",
    "RATE_LIMIT_IP_PER_MINUTE",
    "RATE_LIMIT_CREATE_ORDER_PER_MINUTE",
    "RATE_LIMIT_READ_ORDERS_PER_MINUTE",
    "RATE_LIMIT_WEBHOOKS_PER_HOUR",
    "ENVIRONMENT",
    "SCHEMA_REGISTRY_URL",
    "DATA_DIR",
    "INGRESS_ADDR",
    "WEBSOCKET_ADDR",
    "REGISTRY_ADDR",
    "ADMIN_ADDR",
    "ADMIN_ADVERTISED_ADDR",
    "QUERY_TOKEN",
    "ADMIN_EMAIL",
    "ADMIN_PASSWORD",
    "DATA_ENCRYPTION_KEY",
    "CORS_ALLOWED_ORIGINS",
    "TRUSTED_PROXIES",
    "FRAUD_WINDOW_LIMIT",
    "CANCEL_GRACE_SECONDS",
    "INSTANCE_ID",
    "PROCESSING_GUARANTEE",
    "GROUP_PROTOCOL",
    "GROUP_INSTANCE_ID",
    "GROUP_SESSION_TIMEOUT_SECONDS",
    "ACCEPT_TOPOLOGY_CHANGE",
    "STREAM_THREADS",
    "STANDBY_REPLICAS",
    "STATE_MEMORY_MIB",
    "SIMULATION_STEP_MS",
    "CARRIER_DELIVERY_SECONDS",
    "WEBHOOK_SCHEDULE",
    "WEBHOOK_ALLOW_HOSTS",
    "LOG_FORMAT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "TOPIC_PARTITIONS",
    "TOPIC_REPLICATION_FACTOR",
];

/// Money in minor units must fit 64 bits, whatever the currency's exponent.
const MOST_UNITS: i64 = 1_000_000_000_000;

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// A developer's machine: generated secrets, seeded products.
    Development,
    /// Anything else: every secret must be given.
    Production,
}

/// Everything read from the environment.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub environment: Environment,
    /// PostgreSQL; SQLite under `data_dir` when unset.
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
    /// Kafka; the embedded log when unset.
    pub kafka: Option<String>,
    pub schema_registry_url: Option<String>,
    pub data_dir: PathBuf,
    pub ingress_addr: SocketAddr,
    pub websocket_addr: SocketAddr,
    pub registry_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    /// Host and port under which other processes reach `admin_addr`.
    pub admin_advertised: Option<String>,
    /// Lets processes on other machines query stores.
    pub query_token: Option<String>,
    pub jwt_secret: Option<String>,
    pub jwt_minutes: u32,
    pub limits: Limits,
    pub admin_email: Option<String>,
    pub admin_password: Option<String>,
    pub data_encryption_key: Option<String>,
    pub cors_allowed_origins: Vec<String>,
    pub trusted_proxies: Vec<String>,
    /// Whole units of the order's currency.
    pub fraud_limit: i64,
    pub cancel_grace_seconds: u32,
    pub instance_id: Option<String>,
    /// Of all applications (`processing.guarantee`).
    pub guarantee: ProcessingGuarantee,
    pub group: Group,
    /// Tokens of refused starts.
    pub accepted_changes: Vec<String>,
    /// Per application and process (`num.stream.threads`).
    pub stream_threads: u32,
    /// Copies of each task's state on other instances (`num.standby.replicas`).
    pub standby_replicas: u32,
    /// MiB for all that grows with tasks, keys and load in this process.
    pub state_memory_mib: u32,
    pub simulation_step_ms: u32,
    /// None = only the carrier's interface or an administrator delivers.
    pub carrier_delivery_seconds: Option<u32>,
    /// Seconds before attempt 1, 2, ….
    pub webhook_schedule: Vec<u32>,
    pub webhook_allow_hosts: Vec<String>,
    pub json_logs: bool,
    pub topic_partitions: u32,
    pub topic_replication: i32,
}

/// Requests per minute (webhooks: per hour).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub enabled: bool,
    pub free: u32,
    pub standard: u32,
    pub premium: u32,
    pub address: u32,
    pub create_order: u32,
    pub read_orders: u32,
    pub webhooks_per_hour: u32,
}

impl Config {
    /// How the memory of a process with workers of so many applications is shared out.
    pub(crate) fn memory_plan(&self, applications: usize) -> MemoryPlan {
        let bytes = (self.state_memory_mib as usize) << 20;
        MemoryPlan::of(bytes, applications * self.stream_threads as usize)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// The first variable that is wrong, by name.
    pub(crate) fn read(env: &Env) -> Result<Self> {
        env.refuse_unknown(KNOWN)?;
        let environment = match env.text_or("ENVIRONMENT", "development").as_str() {
            "development" => Environment::Development,
            "staging" | "production" => Environment::Production,
            other => bail!(
                "ENVIRONMENT={other:?} can't be read: expected development, staging or production"
            ),
        };
        let development = environment == Environment::Development;
        let algorithm = env.text_or("JWT_ALGORITHM", "HS256");
        if algorithm != "HS256" {
            bail!("JWT_ALGORITHM={algorithm:?} is not supported: expected HS256");
        }
        let admin_addr = address(env, "ADMIN_ADDR", "127.0.0.1:9100")?;
        let allow_default = if development { "127.0.0.1:9099" } else { "" };
        Ok(Self {
            environment,
            database_url: env.text("DATABASE_URL").map(str::to_owned),
            redis_url: env.text("REDIS_URL").map(str::to_owned),
            kafka: kafka(env)?,
            schema_registry_url: env.text("SCHEMA_REGISTRY_URL").map(str::to_owned),
            data_dir: PathBuf::from(env.text_or("DATA_DIR", "./data")),
            ingress_addr: address(env, "INGRESS_ADDR", "0.0.0.0:8000")?,
            websocket_addr: address(env, "WEBSOCKET_ADDR", "0.0.0.0:8001")?,
            registry_addr: address(env, "REGISTRY_ADDR", "127.0.0.1:8081")?,
            admin_addr,
            admin_advertised: advertised(env, admin_addr)?,
            query_token: query_token(env)?,
            jwt_secret: env.text("JWT_SECRET_KEY").map(str::to_owned),
            jwt_minutes: jwt_minutes(env)?,
            limits: Limits::read(env)?,
            admin_email: env.text("ADMIN_EMAIL").map(str::to_owned),
            admin_password: env.text("ADMIN_PASSWORD").map(str::to_owned),
            data_encryption_key: env.text("DATA_ENCRYPTION_KEY").map(str::to_owned),
            cors_allowed_origins: env.list("CORS_ALLOWED_ORIGINS"),
            trusted_proxies: env.list("TRUSTED_PROXIES"),
            fraud_limit: fraud_limit(env)?,
            cancel_grace_seconds: env.parsed_or("CANCEL_GRACE_SECONDS", "whole seconds", 0)?,
            instance_id: name(env, "INSTANCE_ID")?,
            group: Group::read(env)?,
            accepted_changes: env.list("ACCEPT_TOPOLOGY_CHANGE"),
            stream_threads: stream_threads(env)?,
            guarantee: guarantee(env)?,
            standby_replicas: standby_replicas(env)?,
            state_memory_mib: state_memory(env)?,
            simulation_step_ms: simulation_step(env, development)?,
            carrier_delivery_seconds: delivery(env, development)?,
            webhook_schedule: schedule(env)?,
            webhook_allow_hosts: match env.text("WEBHOOK_ALLOW_HOSTS") {
                Some(_) => env.list("WEBHOOK_ALLOW_HOSTS"),
                None => allow_default
                    .split(',')
                    .filter(|host| !host.is_empty())
                    .map(str::to_owned)
                    .collect(),
            },
            json_logs: match env
                .text_or("LOG_FORMAT", if development { "text" } else { "json" })
                .as_str()
            {
                "json" => true,
                "text" => false,
                other => bail!("LOG_FORMAT={other:?} can't be read: expected json or text"),
            },
            topic_partitions: topic_partitions(env)?,
            topic_replication: topic_replication(env)?,
        })
    }

    /// True on a developer's machine.
    pub(crate) fn development(&self) -> bool {
        self.environment == Environment::Development
    }
}

impl Limits {
    fn read(env: &Env) -> Result<Self> {
        let per_minute = |name, default| {
            env.within(name, "requests per minute, at least 1", 1..=u32::MAX, default)
        };
        Ok(Self {
            enabled: env.flag("RATE_LIMIT_ENABLED", true)?,
            free: per_minute("RATE_LIMIT_FREE_PER_MINUTE", 50)?,
            standard: per_minute("RATE_LIMIT_PER_MINUTE", 100)?,
            premium: per_minute("RATE_LIMIT_PREMIUM_PER_MINUTE", 500)?,
            address: per_minute("RATE_LIMIT_IP_PER_MINUTE", 200)?,
            create_order: per_minute("RATE_LIMIT_CREATE_ORDER_PER_MINUTE", 20)?,
            read_orders: per_minute("RATE_LIMIT_READ_ORDERS_PER_MINUTE", 100)?,
            webhooks_per_hour: env.within(
                "RATE_LIMIT_WEBHOOKS_PER_HOUR",
                "requests per hour, at least 1",
                1..=u32::MAX,
                10,
            )?,
        })
    }
}

fn kafka(env: &Env) -> Result<Option<String>> {
    match (env.text("KAFKA_BOOTSTRAP_SERVERS"), env.text("KAFKA_BROKERS")) {
        (Some(a), Some(b)) if a != b => {
            bail!("KAFKA_BOOTSTRAP_SERVERS={a:?} and KAFKA_BROKERS={b:?} differ: set one of them")
        }
        (a, b) => Ok(a.or(b).map(str::to_owned)),
    }
}

fn address(env: &Env, name: &str, default: &str) -> Result<SocketAddr> {
    let text = env.text_or(name, default);
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => {
            bail!("{name}={text:?} can't be read: expected an address and port such as {default}")
        }
    }
}

/// An address that stands for all of a machine's is nobody's to connect to.
fn advertised(env: &Env, own: SocketAddr) -> Result<Option<String>> {
    let Some(text) = env.text("ADMIN_ADVERTISED_ADDR") else {
        return Ok((!own.ip().is_unspecified()).then(|| own.to_string()));
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && host.bytes().all(is_host) && port.parse::<u16>().is_ok() =>
        {
            Ok(Some(text.to_owned()))
        }
        _ => bail!("ADMIN_ADVERTISED_ADDR={text:?} can't be read: expected host:port"),
    }
}

fn query_token(env: &Env) -> Result<Option<String>> {
    let Some(token) = env.text("QUERY_TOKEN") else { return Ok(None) };
    if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "QUERY_TOKEN is too short or not printable: choose 16 characters or more, e.g. `openssl rand -hex 32`"
        );
    }
    Ok(Some(token.to_owned()))
}

fn jwt_minutes(env: &Env) -> Result<u32> {
    env.within("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "whole minutes from 1 to 60", 1..=60, 15)
}

fn fraud_limit(env: &Env) -> Result<i64> {
    let expected = format!("whole currency units from 1 to {MOST_UNITS}");
    env.within("FRAUD_WINDOW_LIMIT", &expected, 1..=MOST_UNITS, 2_000)
}

fn topic_partitions(env: &Env) -> Result<u32> {
    env.within("TOPIC_PARTITIONS", "a count from 1 to 10000", 1..=10_000, 3)
}

fn topic_replication(env: &Env) -> Result<i32> {
    let most = i32::from(i16::MAX);
    env.within("TOPIC_REPLICATION_FACTOR", "a count from 1 to 32767", 1..=most, 1)
}

fn stream_threads(env: &Env) -> Result<u32> {
    env.within("STREAM_THREADS", "threads per application, from 1 to 64", 1..=64, 1)
}

fn guarantee(env: &Env) -> Result<ProcessingGuarantee> {
    let name = env.text_or("PROCESSING_GUARANTEE", "exactly_once_v2");
    let read = name.parse();
    read.map_err(|why: String| anyhow!("PROCESSING_GUARANTEE={name:?} can't be read: {why}"))
}

fn standby_replicas(env: &Env) -> Result<u32> {
    env.within("STANDBY_REPLICAS", "copies on other processes, from 0 to 8", 0..=8, 0)
}

fn state_memory(env: &Env) -> Result<u32> {
    env.within("STATE_MEMORY_MIB", "MiB from 16 to 1048576", 16..=1 << 20, 128)
}

fn simulation_step(env: &Env, development: bool) -> Result<u32> {
    env.parsed_or("SIMULATION_STEP_MS", "milliseconds", if development { 200 } else { 0 })
}

/// It becomes part of transactional ids and client ids, or is one of a group's.
fn name(env: &Env, variable: &str) -> Result<Option<String>> {
    let Some(id) = env.text(variable) else { return Ok(None) };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.len() > 100 || !id.bytes().all(fits) {
        bail!(
            "{variable}={id:?} can't be used: expected at most 100 letters, digits, dots, dashes and underscores"
        );
    }
    Ok(Some(id.to_owned()))
}

/// `never` = only the carrier's interface or an administrator delivers.
fn delivery(env: &Env, development: bool) -> Result<Option<u32>> {
    let text = env.text_or("CARRIER_DELIVERY_SECONDS", if development { "10" } else { "never" });
    if text == "never" {
        return Ok(None);
    }
    match text.parse() {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => bail!(
            "CARRIER_DELIVERY_SECONDS={text:?} can't be read: expected whole seconds or never"
        ),
    }
}

fn schedule(env: &Env) -> Result<Vec<u32>> {
    let text = env.text_or("WEBHOOK_SCHEDULE", "0,5,300,1800,7200,18000,36000,36000");
    let delays: Result<Vec<u32>, _> = text.split(',').map(|item| item.trim().parse()).collect();
    match delays {
        Ok(delays) if !delays.is_empty() => Ok(delays),
        _ => bail!(
            "WEBHOOK_SCHEDULE={text:?} can't be read: expected whole seconds separated by commas"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_the_embedded_system() {
        let config = Config::read(&Env::default()).unwrap();
        assert!(config.development() && config.kafka.is_none() && config.database_url.is_none());
        assert_eq!(config.ingress_addr.to_string(), "0.0.0.0:8000");
        assert_eq!(config.websocket_addr.to_string(), "0.0.0.0:8001");
        assert_eq!(config.fraud_limit, 2_000);
        assert_eq!(config.carrier_delivery_seconds, Some(10));
    }

    #[test]
    fn both_names_of_the_brokers_must_agree() {
        let env = Env::of(&[("KAFKA_BOOTSTRAP_SERVERS", "a:1"), ("KAFKA_BROKERS", "b:1")]);
        assert!(Config::read(&env).unwrap_err().to_string().contains("differ"));
        let env = Env::of(&[("KAFKA_BROKERS", "b:1")]);
        assert_eq!(Config::read(&env).unwrap().kafka.as_deref(), Some("b:1"));
    }

    #[test]
    fn numbers_out_of_bounds_are_refused_by_name() {
        for (name, value) in [
            ("TOPIC_PARTITIONS", "0"),
            ("TOPIC_REPLICATION_FACTOR", "0"),
            ("TOPIC_REPLICATION_FACTOR", "32768"),
            ("FRAUD_WINDOW_LIMIT", "0"),
            ("FRAUD_WINDOW_LIMIT", "-5"),
            ("FRAUD_WINDOW_LIMIT", "9223372036854775807"),
            ("RATE_LIMIT_PER_MINUTE", "0"),
            ("RATE_LIMIT_WEBHOOKS_PER_HOUR", "0"),
            ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "61"),
            ("INSTANCE_ID", "a b"),
            ("STANDBY_REPLICAS", "9"),
            ("STANDBY_REPLICAS", "one"),
            ("STATE_MEMORY_MIB", "15"),
        ] {
            let refused = Config::read(&Env::of(&[(name, value)])).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{name}={value:?}")), "{refused}");
        }
        let least = [("TOPIC_PARTITIONS", "1"), ("FRAUD_WINDOW_LIMIT", "1")];
        assert!(Config::read(&Env::of(&least)).is_ok());
    }

    #[test]
    fn others_are_told_an_address_that_can_be_reached() {
        let told = |pairs: &[(&str, &str)]| {
            Config::read(&Env::of(pairs)).map(|config| config.admin_advertised)
        };
        assert_eq!(told(&[]).unwrap().as_deref(), Some("127.0.0.1:9100"));
        let all = ("ADMIN_ADDR", "0.0.0.0:9100");
        assert_eq!(told(&[all]).unwrap(), None);
        let named = ("ADMIN_ADVERTISED_ADDR", "worker-1:9100");
        assert_eq!(told(&[all, named]).unwrap().as_deref(), Some("worker-1:9100"));
        for bad in ["worker-1", ":9100", "worker:x", "a/b:1"] {
            assert!(told(&[("ADMIN_ADVERTISED_ADDR", bad)]).is_err(), "{bad}");
        }
        assert!(Config::read(&Env::of(&[("QUERY_TOKEN", "short")])).is_err());
    }

    #[test]
    fn work_is_done_exactly_once_unless_told_otherwise() {
        let read = |pairs: &[(&str, &str)]| {
            let config = Config::read(&Env::of(pairs)).map(|config| config.guarantee);
            config.map_err(|error| error.to_string())
        };
        let name = "PROCESSING_GUARANTEE";
        assert_eq!(read(&[]), Ok(ProcessingGuarantee::ExactlyOnce));
        assert_eq!(read(&[(name, "exactly_once_v2")]), Ok(ProcessingGuarantee::ExactlyOnce));
        assert_eq!(read(&[(name, "at_least_once")]), Ok(ProcessingGuarantee::AtLeastOnce));
        let refused = "PROCESSING_GUARANTEE=\"twice\" can't be read: expected exactly_once_v2 or at_least_once";
        assert_eq!(read(&[(name, "twice")]), Err(refused.to_owned()));
    }

    #[test]
    fn a_schedule_with_words_is_refused_by_name() {
        let env = Env::of(&[("WEBHOOK_SCHEDULE", "0,soon")]);
        assert!(Config::read(&env).unwrap_err().to_string().starts_with("WEBHOOK_SCHEDULE="));
    }
}
