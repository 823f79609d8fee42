//! What a run is told: the options of `ks-bench`, and how much memory the state may take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use log::kafka::{KafkaLog, KafkaOptions};
use log::traits::Log;
use runtime::{MemoryPlan, ProcessingGuarantee, WorkerSettings};
use state_stores::{RocksEngine, RocksMemory, StateDir, StateOptions};

const MIB: usize = 1 << 20;

/// What is run. All but `bare` are those of `ks-bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Passthrough,
    Count,
    Join,
    Window,
    Orders,
    /// A cold start from a changelog.
    Restore,
    /// Pass-through by hand: consume, produce, commit, with the settings of our clients.
    Bare,
}

impl Mode {
    /// As in names of topics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Count => "count",
            Self::Join => "join",
            Self::Window => "window",
            Self::Orders => "orders",
            Self::Restore => "restore",
            Self::Bare => "bare",
        }
    }

    /// Whose input topics it reads.
    fn input(self) -> &'static str {
        if self == Self::Bare { Self::Passthrough.name() } else { self.name() }
    }
}

/// How to reach the broker.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Broker {
    /// `host:port`, comma separated.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    brokers: String,
    /// A setting of librdkafka, `name=value`; may repeat, wins over ours.
    #[arg(long, value_parser = pair)]
    conf: Vec<(String, String)>,
}

impl Broker {
    /// With the settings of production.
    pub(crate) fn options(&self) -> KafkaOptions {
        let more = self.conf.clone();
        let request_timeout = Duration::from_secs(30);
        KafkaOptions { more, request_timeout, ..KafkaOptions::new(self.brokers.clone()) }
    }

    pub(crate) fn log(&self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::new(self.options()))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Options of `run` and `load`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value = "passthrough")]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) broker: Broker,
    /// What the input was loaded with.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: u64,
    #[arg(long, default_value_t = 100_000)]
    pub(crate) keys: u64,
    #[arg(long, default_value_t = 100)]
    pub(crate) payload: u64,
    /// Of every topic.
    #[arg(long, default_value_t = 3)]
    pub(crate) partitions: u32,
    /// Of the input topics' names.
    #[arg(long, default_value = "ksb")]
    pub(crate) prefix: String,
    /// Fresh per run unless given; `restore` has a steady one.
    #[arg(long)]
    app_id: Option<String>,
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u32,
    /// Threads that fill stores during a restore, of each worker.
    #[arg(long, default_value_t = 1)]
    restore_threads: usize,
    /// `exactly_once_v2` or `at_least_once`.
    #[arg(long, default_value = "exactly_once_v2")]
    guarantee: ProcessingGuarantee,
    #[arg(long, default_value_t = 100)]
    pub(crate) commit_interval_ms: i64,
    /// Emptied before and after.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("streams-bench"))]
    state_dir: PathBuf,
    /// Memory of everything that grows with the load, as `STATE_MEMORY_MIB` of `orders worker`.
    #[arg(long, default_value_t = 128)]
    memory_mib: usize,
    /// Restore: go on with the state that a former run left, and leave it.
    #[arg(long)]
    pub(crate) keep_state: bool,
    /// Restore: send so many records to the input once it is ready, and wait until they are committed.
    #[arg(long, default_value_t = 0)]
    pub(crate) tail: u64,
    /// Restore: don't close at the end but wait to be killed, or for the end of the standard input.
    #[arg(long)]
    pub(crate) hold: bool,
    /// Seconds after which an unfinished run is given up.
    #[arg(long, default_value_t = 500)]
    timeout_s: u64,
    /// Keep the topics of the run.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Count what a read_committed reader finds in the outputs.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) verify: bool,
}

impl Options {
    pub(crate) fn app_id(&self) -> String {
        self.app_id.clone().unwrap_or_else(|| match self.mode {
            Mode::Restore => format!("{}-restore-ours", self.prefix),
            mode => format!("ours-{}-{}", mode.name(), std::process::id()),
        })
    }

    /// An input topic, such as `ksb-count-in`.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.prefix, self.mode.input())
    }

    /// An output topic of this run.
    pub(crate) fn out_topic(&self, name: &str) -> String {
        format!("{}-{name}", self.app_id())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// How the memory is shared out.
    pub(crate) fn plan(&self) -> MemoryPlan {
        MemoryPlan::of(self.memory_mib * MIB, self.threads as usize)
    }

    /// Of the whole plan.
    pub(crate) fn memory_mib(&self) -> usize {
        self.memory_mib
    }

    /// The broker, with clients that keep to the plan.
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        let MemoryPlan { fetched, sent, .. } = self.plan();
        let options = self.broker.options();
        Arc::new(KafkaLog::new(KafkaOptions { fetch_bytes: fetched, send_bytes: sent, ..options }))
    }

    /// Of one worker thread.
    pub(crate) fn settings(&self, thread: u32) -> WorkerSettings {
        let plan = self.plan();
        WorkerSettings {
            thread,
            guarantee: self.guarantee,
            commit_interval_ms: self.commit_interval_ms,
            staged_bytes_max: plan.staged,
            restore_threads: self.restore_threads,
            buffered_bytes_max: plan.buffered,
            ..WorkerSettings::new("bench")
        }
    }

    /// State on RocksDB, empty unless it is to be kept.
    pub(crate) fn state(&self, log_id: &str) -> Result<Arc<StateDir>> {
        self.forget_state()?;
        let plan = self.plan();
        let memory = RocksMemory::new(plan.cache, plan.write_buffers);
        let engine = RocksEngine::open_within(self.state_folder(), &memory, false)?;
        let options = StateOptions { layer_bytes: plan.layers, ..StateOptions::new(log_id) };
        Ok(StateDir::open(Arc::new(engine), options)?)
    }

    /// Removes what a run has left on disk, unless that is to be kept.
    pub(crate) fn forget_state(&self) -> Result<()> {
        let folder = self.state_folder();
        if self.keep_state || !folder.exists() {
            return Ok(());
        }
        ensure!(folder.join("CURRENT").exists(), "{} isn't a RocksDB folder", folder.display());
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
    }

    fn state_folder(&self) -> PathBuf {
        self.state_dir.join(self.app_id())
    }
}
