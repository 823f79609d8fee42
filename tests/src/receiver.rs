//! A receiver of webhooks: `orders webhooks listen`, which checks signatures.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::process::Orders;
use crate::wait::until;

/// An endpoint at a port of its own; whether anybody listens there is the test's choice.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    /// Its id, once registered.
    pub webhook_id: String,
    listener: Option<Orders>,
    secret: String,
    /// Lines of listeners that have stopped.
    earlier: String,
}

impl Receiver {
    /// An endpoint nobody has registered yet.
    pub fn new() -> Result<Self> {
        let port = crate::ports::free()?;
        Ok(Self {
            port,
            webhook_id: String::new(),
            listener: None,
            secret: String::new(),
            earlier: String::new(),
        })
    }

    /// `host:port`, as `WEBHOOK_ALLOW_HOSTS` wants it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Registers it for all order events of the API's user.
    pub async fn register(&mut self, api: &Api) -> Result<()> {
        let body = json!({"url": format!("http://{}/", self.host()), "events": ["order.*"]});
        let (status, made) = api.send(Method::POST, "/api/v1/webhooks", &body).await?;
        ensure!(status == 201, "POST of a webhook answered {status}: {made}");
        let member = |name: &str| {
            made.get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .with_context(|| name.to_owned())
        };
        (self.secret, self.webhook_id) = (member("secret")?, member("webhook_id")?);
        Ok(())
    }

    /// Starts listening.
    pub async fn listen(&mut self) -> Result<()> {
        let host = self.host();
        let arguments = ["webhooks", "listen", "--json", "--addr", &host, "--secret", &self.secret];
        let mut listener = Orders::new(&arguments)?;
        listener.start()?;
        until("the receiver listens", 30, || async {
            listener.output().contains("listening on").then_some(())
        })
        .await?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Stops listening; what it received is kept.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut listener) = self.listener.take() {
            listener.kill().await?;
            self.earlier.push_str(&listener.output());
        }
        Ok(())
    }

    /// The event types received for an order, each with a good signature.
    pub fn received(&self, order_id: &str) -> Result<BTreeSet<String>> {
        let now = self.listener.as_ref().map(Orders::output).unwrap_or_default();
        let mut types = BTreeSet::new();
        for line in self.earlier.lines().chain(now.lines()) {
            let Ok(delivery) = serde_json::from_str::<Value>(line) else { continue };
            if delivery.pointer("/body/data/order_id") != Some(&json!(order_id)) {
                continue;
            }
            ensure!(delivery["verified"] == json!(true), "a signature is wrong: {delivery}");
            types.extend(delivery["body"]["type"].as_str().map(str::to_owned));
        }
        Ok(types)
    }

    /// Waits until all of these have arrived for an order, and nothing else has.
    pub async fn has_all(&self, order_id: &str, types: &[&str], seconds: u64) -> Result<()> {
        let all: BTreeSet<String> = types.iter().map(|name| (*name).to_owned()).collect();
        let waited = until("the webhooks of an order", seconds, || async {
            (self.received(order_id).ok()?.len() >= all.len()).then_some(())
        })
        .await;
        let received = self.received(order_id)?;
        waited.with_context(|| format!("order {order_id}: received only {received:?}"))?;
        ensure!(received == all, "order {order_id}: {received:?}");
        Ok(())
    }
}
