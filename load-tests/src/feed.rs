//! What the feed says of orders, over sockets that resume as a client should:
//! by the last offset of each topic, whatever the socket was closed for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where the feed is and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) ws_url: String,
    pub(crate) token: String,
}

/// What the checks made of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Validated,
    /// With its `failure_reason`.
    Failed(String),
}

/// All that was heard on all sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The first verdict on each order, and when it came.
    pub(crate) verdicts: HashMap<String, (Verdict, Instant)>,
    /// How often sockets were closed, by close code.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Topics whose position could not be resumed: events were not sent.
    pub(crate) gaps: u64,
}

/// Shared by all sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows users until the process ends; returns once all are followed.
///
/// # Errors
/// The feed refuses.
pub(crate) async fn follow(address: Address, users: &[Uuid], ear: Ear) -> Result<()> {
    let mut positions: BTreeMap<String, Value> =
        users.iter().map(|user| (format!("user:{user}"), Value::Null)).collect();
    let mut socket = subscribed(&address, &mut positions, &ear).await?;
    tokio::spawn(async move {
        loop {
            let code = listen(&mut socket, &mut positions, &ear).await;
            *ear.heard().closed.entry(code).or_default() += 1;
            match subscribed(&address, &mut positions, &ear).await {
                Ok(again) => socket = again,
                Err(error) => {
                    *ear.heard().closed.entry(format!("for good: {error:#}")).or_default() += 1;
                    return;
                }
            }
        }
    });
    Ok(())
}

/// A socket on which every topic goes on behind its position.
async fn subscribed(
    address: &Address,
    positions: &mut BTreeMap<String, Value>,
    ear: &Ear,
) -> Result<Socket> {
    let mut request = format!("{}/ws/orders", address.ws_url).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", address.token).parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("websocket")?;
    for (topic, position) in positions.iter() {
        let subscribe =
            json!({"type": "subscribe", "topic": topic, "snapshot": false, "position": position});
        socket.send(Message::text(subscribe.to_string())).await?;
    }
    let mut left = positions.len();
    while left > 0 {
        let Some(message) = socket.next().await else { bail!("the feed was closed") };
        let Message::Text(text) = message? else { continue };
        let said: Value = serde_json::from_str(&text)?;
        match member(&said, "type") {
            Some("subscribed") => {
                left -= 1;
                let topic = member(&said, "topic").unwrap_or_default();
                let resumed = said.get("recovered").and_then(Value::as_bool).unwrap_or_default();
                if let Some(position) = positions.get_mut(topic) {
                    ear.heard().gaps += u64::from(!position.is_null() && !resumed);
                    *position = said.get("position").cloned().unwrap_or_default();
                }
            }
            Some("error") => bail!("the feed answered {text}"),
            _ => hear(&said, positions, ear),
        }
    }
    Ok(socket)
}

/// Listens until the socket ends; the close code.
async fn listen(socket: &mut Socket, positions: &mut BTreeMap<String, Value>, ear: &Ear) -> String {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                if let Ok(said) = serde_json::from_str(&text) {
                    hear(&said, positions, ear);
                }
            }
            Some(Ok(Message::Close(frame))) => {
                return frame.map_or_else(|| "1005".to_owned(), |f| u16::from(f.code).to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return "1006".to_owned(),
        }
    }
}

fn hear(event: &Value, positions: &mut BTreeMap<String, Value>, ear: &Ear) {
    let at = Instant::now();
    let place = member(event, "topic").and_then(|topic| positions.get_mut(topic));
    if let (Some(place), Some(offset)) = (place, event.get("offset")) {
        place["offset"] = offset.clone();
    }
    if let (Some(verdict), Some(order)) = (verdict(event), member(event, "order_id")) {
        ear.heard().verdicts.entry(order.to_owned()).or_insert((verdict, at));
    }
}

fn verdict(event: &Value) -> Option<Verdict> {
    match member(event, "event_type")? {
        "order.validated" => Some(Verdict::Validated),
        "order.failed" => {
            let reason = member(event.get("data")?, "failure_reason");
            Some(Verdict::Failed(reason.unwrap_or("no reason").to_owned()))
        }
        _ => None,
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, offset: i64) -> Value {
        json!({
            "type": "event", "topic": "user:1", "offset": offset, "event_type": kind, "order_id": "a",
            "data": {"failure_reason": "fraud_limit"},
        })
    }

    #[test]
    fn the_first_verdict_counts_and_the_last_offset_is_where_to_go_on() {
        let ear = Ear::default();
        let mut positions =
            BTreeMap::from([("user:1".to_owned(), json!({"epoch": "e", "offset": 0}))]);
        for (kind, offset) in [
            ("order.created", 1),
            ("order.validated", 2),
            ("order.processing", 3),
            ("order.failed", 4),
        ] {
            hear(&event(kind, offset), &mut positions, &ear);
        }
        assert_eq!(positions["user:1"], json!({"epoch": "e", "offset": 4}));
        assert_eq!(ear.heard().verdicts["a"].0, Verdict::Validated);
    }

    #[test]
    fn a_failed_order_has_its_reason() {
        assert_eq!(
            verdict(&event("order.failed", 1)),
            Some(Verdict::Failed("fraud_limit".to_owned()))
        );
        assert_eq!(verdict(&json!({"type": "pong"})), None);
    }
}
