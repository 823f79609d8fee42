//! The system on real servers, each role a process of its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::process::APPLICATIONS;
use crate::{Api, Orders, Receiver, Servers};

/// All processes of a distributed system, by name; killed with -9 when dropped.
#[derive(Debug)]
pub struct System {
    /// What they run on.
    pub servers: Servers,
    /// Of this run: ids derived from idempotency keys are new in each.
    key: String,
    /// Where the system may send webhooks.
    pub receiver: Receiver,
    /// [`Self::placed`] counts orders from this time on.
    pub began: String,
    processes: BTreeMap<String, Orders>,
}

impl System {
    /// A process with the system's settings and ports of its own.
    pub fn role(&self, arguments: &[&str]) -> Result<Orders> {
        Ok(Orders::new(arguments)?
            .with("KAFKA_BOOTSTRAP_SERVERS", &self.servers.kafka)
            .with("DATABASE_URL", &self.servers.database)
            .with("REDIS_URL", &self.servers.redis)
            .with("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef")
            .with("DATA_ENCRYPTION_KEY", &self.key)
            .with("WEBHOOK_ALLOW_HOSTS", &self.receiver.host())
            .with("WEBHOOK_SCHEDULE", "0,1,1,1,1,1,1,1,1,1,1,1,1,1,1")
            .with("RATE_LIMIT_ENABLED", "false"))
    }

    /// Creates the topics and starts every role.
    pub async fn start(servers: Servers) -> Result<Self> {
        let mut system = Self {
            servers,
            key: Uuid::new_v4().simple().to_string().repeat(2),
            receiver: Receiver::new()?,
            began: String::new(),
            processes: BTreeMap::new(),
        };
        let topics = system.role(&["topics"])?;
        let made = topics.run(&["topics", "create"]).await?;
        ensure!(made == "Topics created successfully!\n", "{made}");
        for application in APPLICATIONS {
            system.add(application, &["worker", application])?;
        }
        system.add("sink", &["sink"])?;
        system.add("websocket-1", &["websocket"])?;
        system.add("websocket-2", &["websocket"])?;
        system.add("webhooks", &["webhooks"])?;
        let mut ingress = system.role(&["ingress"])?;
        ingress.start_ready().await?;
        system.processes.insert("ingress".to_owned(), ingress);
        Ok(system)
    }

    /// Starts another process.
    pub fn add(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut process = self.role(arguments)?;
        process.start()?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// A process by name.
    pub fn process(&mut self, name: &str) -> Result<&mut Orders> {
        self.processes.get_mut(name).with_context(|| format!("no process {name}"))
    }

    /// kill -9, and a new start at once.
    pub async fn restart_killed(&mut self, name: &str) -> Result<()> {
        let process = self.process(name)?;
        process.kill().await?;
        process.start()
    }

    /// Orders placed since the story began, whoever placed them.
    pub async fn placed(&self, api: &Api) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let path =
                format!("/api/v1/orders?limit=100&created_after={}&cursor={cursor}", self.began);
            let (status, page) = api.get(&path).await?;
            ensure!(status == 200, "{path} answered {status}: {page}");
            let rows = page["data"].as_array().context("orders without data")?;
            ids.extend(rows.iter().filter_map(|row| row["order_id"].as_str().map(str::to_owned)));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return Ok(ids),
            }
        }
    }

    /// What all of them printed since their last start.
    pub fn outputs(&self) -> String {
        self.processes
            .iter()
            .map(|(name, process)| format!("--- {name}\n{}\n", process.output()))
            .collect()
    }
}
