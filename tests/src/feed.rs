//! The realtime feed as a client sees it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// One socket.
#[derive(Debug)]
pub struct Feed {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Feed {
    /// Connects with a token in the header.
    pub async fn connect(port: u16, token: &str) -> Result<Self> {
        let mut request = format!("ws://127.0.0.1:{port}/ws/orders").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.context("websocket")?;
        Ok(Self { socket })
    }

    /// Sends JSON.
    pub async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    /// Subscribes to a user's feed with a snapshot; the answer.
    pub async fn subscribe(&mut self, topic: &str) -> Result<Value> {
        self.send(&json!({"type": "subscribe", "topic": topic, "snapshot": true})).await?;
        self.next("subscribed").await
    }

    /// The next message of a kind.
    pub async fn next(&mut self, kind: &str) -> Result<Value> {
        let waiting = async {
            while let Some(message) = self.socket.next().await {
                let Message::Text(text) = message? else { continue };
                let value: Value = serde_json::from_str(&text)?;
                if value.get("type").and_then(Value::as_str) == Some(kind) {
                    return Ok(value);
                }
                if value.get("type").and_then(Value::as_str) == Some("error") {
                    bail!("the feed answered {value}");
                }
            }
            bail!("the feed was closed")
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .with_context(|| format!("no {kind} within 30 s"))?
    }

    /// Events of an order until it has a status: types and offsets.
    pub async fn until(&mut self, order_id: &str, status: &str) -> Result<Vec<(String, i64)>> {
        let mut seen = Vec::new();
        loop {
            let event = self.next("event").await?;
            if event.get("order_id").and_then(Value::as_str) != Some(order_id) {
                continue;
            }
            let name =
                event.get("event_type").and_then(Value::as_str).unwrap_or_default().to_owned();
            seen.push((name, event.get("offset").and_then(Value::as_i64).unwrap_or_default()));
            if event.get("status").and_then(Value::as_str) == Some(status) {
                return Ok(seen);
            }
        }
    }
}
