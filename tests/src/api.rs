//! The REST API as a caller sees it.

use anyhow::{Context, Result};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::process::Ports;
use crate::wait::until;

/// The events of an order that nothing happens to, in this order, once each.
pub const HAPPY_PATH: [&str; 7] = [
    "order.created",
    "order.validated",
    "order.processing",
    "order.paid",
    "order.fulfilled",
    "order.shipped",
    "order.delivered",
];

/// The API with a token.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    ports: Ports,
    token: String,
}

impl Api {
    /// On these ports.
    pub fn new(ports: Ports, token: &str) -> Self {
        Self { http: reqwest::Client::new(), ports, token: token.to_owned() }
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request to be completed by the caller.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("http://127.0.0.1:{}{path}", self.ports.ingress))
            .bearer_auth(&self.token)
    }

    /// Sends JSON, whatever the answer.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
        split(self.request(method, path).json(body).send().await?).await
    }

    /// GET, whatever the answer.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        split(self.request(Method::GET, path).send().await?).await
    }

    /// Places an order and returns its id.
    pub async fn place(&self, body: &Value) -> Result<String> {
        let (status, order) = self.send(Method::POST, "/api/v1/orders", body).await?;
        anyhow::ensure!(status == 201, "POST answered {status}: {order}");
        Ok(order.get("order_id").and_then(Value::as_str).context("no order_id")?.to_owned())
    }

    /// Waits until an order has a status; the order.
    pub async fn reaches(&self, order_id: &str, status: &str, seconds: u64) -> Result<Value> {
        let path = format!("/api/v1/orders/{order_id}");
        let seen = std::sync::Mutex::new(Value::Null);
        let reached = until(&format!("order {order_id} becomes {status}"), seconds, || async {
            let (_, order) = self.get(&path).await.ok()?;
            if let Ok(mut seen) = seen.lock() {
                seen.clone_from(&order);
            }
            (order.get("status").and_then(Value::as_str) == Some(status)).then_some(order)
        })
        .await;
        reached.with_context(|| {
            format!("last seen: {}", seen.lock().map(|seen| seen.to_string()).unwrap_or_default())
        })
    }
}

/// Status and body.
pub async fn split(response: Response) -> Result<(u16, Value)> {
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// The guide's test body (R293), without its user: the token says who.
pub fn guide_order() -> Value {
    json!({
        "items": [{"product_id": "prod-1", "quantity": 2, "price": 29.99}],
        "total_amount": 59.98,
        "shipping_address": {"street": "123 Main St", "city": "New York", "state": "NY", "zip": "10001"},
        "payment_method": "CREDIT_CARD"
    })
}
