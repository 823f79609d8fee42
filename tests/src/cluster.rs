//! Brokers of a test's own that are there to fail: one, or a cluster of three.
//!
//! Invariant: the servers that other tests use aren't touched; only one such cluster runs at a time in a process, and it is
//! deleted with all it holds when it is dropped.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use log::Log;
use log::contract::{LogFixture, Victim};
use log::kafka::{KafkaLog, KafkaOptions};

use crate::replicas::until_in_sync;

/// What a developer's shell may say of other servers.
const OF_OTHERS: [&str; 7] = [
    "DEV_DIR",
    "INSTANCE",
    "KAFKA_PORT",
    "KAFKA_CONTROLLER_PORT",
    "POSTGRES_PORT",
    "REDIS_PORT",
    "DEV_TIMEOUT_S",
];
/// Three of them beside members and a build.
const HEAP_MB: &str = "256";

/// Set by who wants to look at the brokers of a test that fails.
const KEEP: &str = "KAFKA_FAULTS_KEEP";

static ALONE: Mutex<()> = Mutex::new(());

/// What happens to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It ends in its own time (SIGTERM).
    Stopped,
    /// It is gone at once (SIGKILL).
    Killed,
    /// It stands still and its connections stay open (SIGSTOP).
    Halted,
}

impl Outage {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Stopped, Self::Killed, Self::Halted];
}

/// Running brokers.
#[derive(Debug)]
pub struct Cluster {
    instance: String,
    variables: Vec<(&'static str, String)>,
    servers: String,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// So many brokers (1 or 3), with these lines added to their configurations. With three, topics of three replicas
    /// need two in sync. None unless `KAFKA_CLUSTER=1`: these trials take minutes, and are run by hand.
    ///
    /// # Errors
    /// They don't start; says what they said.
    pub fn start(nodes: u32, properties: &[&str]) -> Result<Option<Self>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("KAFKA_CLUSTER").is_none() {
            eprintln!("not run: KAFKA_CLUSTER=1 starts a cluster of its own");
            return Ok(None);
        }
        // A test that failed has left nothing behind.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("faults-{}-{number}", std::process::id());
        let variables = vec![
            ("KAFKA_NODES", nodes.to_string()),
            ("KAFKA_HEAP_MB", HEAP_MB.to_owned()),
            ("KAFKA_PROPERTIES", properties.join("\n")),
        ];
        let mut cluster = Self { instance, variables, servers: String::new(), _alone: alone };
        let told = cluster.run("up", ["--only", "kafka", "--env"])?;
        let told = String::from_utf8(told.stdout)?;
        let servers = told.trim().strip_prefix("KAFKA_BOOTSTRAP_SERVERS=");
        servers.with_context(|| format!("up said {told:?}"))?.clone_into(&mut cluster.servers);
        Ok(Some(cluster))
    }

    /// `host:port` of each broker, comma separated.
    #[must_use]
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Lets a broker, by its number from 1, go away.
    ///
    /// # Errors
    /// It isn't there.
    pub fn fail(&self, node: u32, outage: Outage) -> Result<()> {
        let doing = match outage {
            Outage::Stopped => "stop",
            Outage::Killed => "kill",
            Outage::Halted => "halt",
        };
        self.broker(node, doing)
    }

    /// Lets a halted broker go on, with no regard to the others.
    ///
    /// # Errors
    /// It isn't there.
    pub fn wake(&self, node: u32) -> Result<()> {
        self.broker(node, "resume")
    }

    /// Brings a broker back. Returns when it has what the others have, so that another may fail.
    ///
    /// # Errors
    /// It doesn't come.
    pub fn mend(&self, node: u32, outage: Outage) -> Result<()> {
        self.broker(node, if outage == Outage::Halted { "resume" } else { "start" })?;
        self.until_known(&[])
    }

    /// Waits until every broker knows these topics and all replicas are in sync.
    ///
    /// # Errors
    /// They don't.
    pub fn until_known(&self, topics: &[String]) -> Result<()> {
        self.servers.split(',').try_for_each(|server| until_in_sync(server, topics))
    }

    fn broker(&self, node: u32, doing: &str) -> Result<()> {
        self.run("broker", ["--node", &node.to_string(), doing]).map(|_said| ())
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        script: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../compose/dev");
        let mut command = Command::new(scripts.join(script));
        command.args(["--instance", &self.instance]).args(arguments).stdin(Stdio::null());
        for name in OF_OTHERS {
            command.env_remove(name);
        }
        let output = command.envs(self.variables.iter().cloned()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "compose/dev/{script}: {}: {said}", output.status);
        Ok(output)
    }
}

impl LogFixture for Cluster {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::new(KafkaOptions::new(&self.servers)))
    }

    fn session_timeout(&self) -> Duration {
        // The least that brokers accept by default.
        Duration::from_secs(6)
    }

    fn kill_in_transaction(&self, _victim: &Victim) -> Arc<dyn Log> {
        panic!("the contract's cases run on the servers of everybody")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
            eprintln!(
                "what the brokers have is kept: compose/dev/down --instance {} --purge",
                self.instance
            );
            return;
        }
        if let Err(error) = self.run("down", ["--purge"]) {
            eprintln!("{} stays: {error:#}", self.instance);
        }
    }
}
