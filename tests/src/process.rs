//! Processes of the `orders` binary, with their own data folder and ports.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::api::Api;
use crate::binary::binary;
use crate::wait::until;

/// The applications of the order flow.
pub const APPLICATIONS: [&str; 7] = [
    "order-lifecycle",
    "order-validator",
    "inventory-worker",
    "payment-worker",
    "fulfillment-worker",
    "order-feed",
    "order-analytics",
];

/// Loopback ports nobody listens on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// REST.
    pub ingress: u16,
    /// WebSocket.
    pub websocket: u16,
    /// Registry.
    pub registry: u16,
    /// Admin endpoint.
    pub admin: u16,
}

impl Ports {
    /// Ports nobody listens on.
    pub fn free() -> Result<Self> {
        use crate::ports::free;
        Ok(Self { ingress: free()?, websocket: free()?, registry: free()?, admin: free()? })
    }
}

/// One process of the binary; killed with -9 when dropped.
#[derive(Debug)]
pub struct Orders {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    data: Arc<TempDir>,
    ports: Ports,
    child: Option<Child>,
    starts: u32,
}

impl Orders {
    /// `orders <arguments>` with a data folder and ports of its own.
    pub fn new(arguments: &[&str]) -> Result<Self> {
        let data = Arc::new(tempfile::Builder::new().prefix("orders-").tempdir()?);
        Self::sharing(arguments, data, Ports::free()?)
    }

    /// As [`Self::new`], in a given folder.
    pub fn sharing(arguments: &[&str], data: Arc<TempDir>, ports: Ports) -> Result<Self> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let variables = BTreeMap::from([
            ("DATA_DIR".to_owned(), data.path().display().to_string()),
            ("INGRESS_ADDR".to_owned(), local(ports.ingress)),
            ("WEBSOCKET_ADDR".to_owned(), local(ports.websocket)),
            ("REGISTRY_ADDR".to_owned(), local(ports.registry)),
            ("ADMIN_ADDR".to_owned(), local(ports.admin)),
            ("SIMULATION_STEP_MS".to_owned(), "20".to_owned()),
            ("CARRIER_DELIVERY_SECONDS".to_owned(), "0".to_owned()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ]);
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Ok(Self { arguments, variables, data, ports, child: None, starts: 0 })
    }

    /// Sets a variable for the next start.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The data folder.
    pub fn data(&self) -> &Arc<TempDir> {
        &self.data
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Starts the process; its output goes to a file in the data folder.
    pub fn start(&mut self) -> Result<()> {
        self.starts += 1;
        let log = File::create(self.log_path())?;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let child = self
            .command(&arguments)?
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start orders")?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts the process and waits until `/health/ready` says so.
    pub async fn start_ready(&mut self) -> Result<()> {
        self.start()?;
        let url = format!("http://127.0.0.1:{}/health/ready", self.ports.ingress);
        let http = reqwest::Client::new();
        let ready = until("the system becomes ready", 60, || async {
            http.get(&url).send().await.ok().filter(|answer| answer.status() == 200).map(|_| ())
        })
        .await;
        ready.with_context(|| self.output())
    }

    /// A command of the binary with the variables of this process and nothing
    /// else: no test may depend on what a developer's shell exports. It is killed
    /// when whoever waits for it stops waiting.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let kept = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"];
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| kept.iter().any(|kept| name == kept)))
            .envs(&self.variables)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs a command to its end; its standard output.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        output_of(self.spawn(arguments)?)
            .await
            .with_context(|| format!("orders {}", arguments.join(" ")))
    }

    /// Starts a command; [`output_of`] waits for its end.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.command(arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().context("cannot start orders")
    }

    /// kill -9.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.start_kill()?;
            child.wait().await?;
        }
        Ok(())
    }

    /// SIGTERM, then waits for the end; the exit code.
    pub async fn stop(&mut self) -> Result<Option<i32>> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        if let Some(pid) = child.id() {
            Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await?;
        }
        let status = tokio::time::timeout(std::time::Duration::from_secs(30), child.wait())
            .await
            .with_context(|| {
                format!("orders did not stop within 30 s of SIGTERM\n{}", self.output())
            })??;
        Ok(status.code())
    }

    /// Waits until the process ends by itself; its exit code and output.
    pub async fn ended(&mut self) -> Result<(Option<i32>, String)> {
        let Some(mut child) = self.child.take() else { bail!("not started") };
        let status = tokio::time::timeout(std::time::Duration::from_secs(30), child.wait())
            .await
            .context("orders did not end within 30 s")??;
        Ok((status.code(), self.output()))
    }

    /// What the process printed since its last start.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The API as the holder of a token made by `orders token <arguments>`.
    pub async fn api(&self, token: &[&str]) -> Result<Api> {
        let token = self.run(&[&["token"], token].concat()).await?;
        Ok(Api::new(self.ports, token.trim()))
    }

    fn log_path(&self) -> PathBuf {
        let name = self.arguments.join("-").replace('/', "_");
        self.data.path().join(format!("{name}-{}-{}.log", self.ports.ingress, self.starts))
    }
}

/// Waits for the end of a command; its standard output.
///
/// # Errors
/// It failed; what it wrote to standard error is in the message.
pub async fn output_of(child: Child) -> Result<String> {
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
