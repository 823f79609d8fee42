//! Orders at a fixed rate, and when their `order.validated` reaches a socket.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use load_tests::figures::{histogram, micros, quantiles};

use crate::cpu;

/// How to measure.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    #[arg(long, default_value = "ws://127.0.0.1:8001")]
    ws_url: String,
    /// An administrator's token (`orders token --admin`); limits off.
    #[arg(long, env = "ORDERS_TOKEN", hide_env_values = true)]
    token: String,
    /// Orders per second.
    #[arg(long, value_parser = rate)]
    rate: f64,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Customers, at most 400 (100 subscriptions on each of 4 sockets).
    #[arg(long, default_value_t = 200)]
    users: usize,
}

/// How long to wait for events after the last order.
const PATIENCE: Duration = Duration::from_secs(20);

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if rate.is_finite() && rate >= 0.01 {
        Ok(rate)
    } else {
        Err("expected orders per second, at least 0.01".to_owned())
    }
}

type Seen = HashMap<String, Instant>;

/// Runs and prints one JSON object; fails if an order's event didn't come.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let users: Vec<Uuid> = (0..options.users).map(|_| Uuid::new_v4()).collect();
    let validated = Arc::new(Mutex::new(Seen::new()));
    for part in users.chunks(100) {
        listen(&options, part.to_vec(), validated.clone()).await?;
    }
    let watch = cpu::Watch::start();
    let placed = place(&options, &users).await?;
    let (mut total, mut answered) = (histogram()?, histogram()?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arrived = validated
            .lock()
            .map(|seen| placed.iter().filter(|one| seen.contains_key(&one.id)).count());
        if arrived.unwrap_or_default() == placed.len() || Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let used = watch.stop()?;
    let seen = validated.lock().map(|seen| seen.clone()).unwrap_or_default();
    let mut missing = 0_u64;
    for one in &placed {
        answered.record(micros(one.answered.saturating_duration_since(one.due)))?;
        match seen.get(&one.id) {
            Some(at) => total.record(micros(at.saturating_duration_since(one.due)))?,
            None => missing += 1,
        }
    }
    let figures = json!({
        "rate": options.rate,
        "orders": placed.len(),
        "without_event": missing,
        "post_to_201_ms": quantiles(&answered),
        "post_to_validated_on_websocket_ms": quantiles(&total),
        "cpu_seconds_per_1000_orders": used.cpu_seconds * 1_000.0 / placed.len().max(1) as f64,
        "peak_mib": used.peak_mib,
    });
    println!("{figures:#}");
    ensure!(
        missing == 0,
        "{missing} of {} orders had no order.validated on the feed within {} s",
        placed.len(),
        PATIENCE.as_secs()
    );
    Ok(ExitCode::SUCCESS)
}

struct Placed {
    id: String,
    /// When it should have been sent: a late sender must not hide a slow system.
    due: Instant,
    answered: Instant,
}

async fn place(options: &Options, users: &[Uuid]) -> Result<Vec<Placed>> {
    let http = reqwest::Client::new();
    let count = (options.rate * options.seconds as f64) as usize;
    let pause = Duration::from_secs_f64(1.0 / options.rate);
    let (done, mut results) = mpsc::unbounded_channel();
    let start = tokio::time::Instant::now();
    for (number, user) in users.iter().cycle().take(count).enumerate() {
        let due = start + pause * u32::try_from(number)?;
        tokio::time::sleep_until(due).await;
        let due = due.into_std();
        let body = json!({
            "user_id": user,
            "items": [{"product_id": "prod-1", "quantity": 2, "price": 29.99}],
            "total_amount": 59.98,
            "shipping_address": {"street": "123 Main St", "city": "New York", "state": "NY", "zip": "10001"},
            "payment_method": "CREDIT_CARD",
        });
        let request = http
            .post(format!("{}/api/v1/orders", options.url))
            .bearer_auth(&options.token)
            .json(&body);
        let done = done.clone();
        tokio::spawn(async move {
            let placed = async {
                let response = request.send().await?;
                let status = response.status();
                let order: Value = serde_json::from_str(&response.text().await?)?;
                let id = order
                    .get("order_id")
                    .and_then(Value::as_str)
                    .with_context(|| format!("{status}: {order}"))?;
                Ok::<Placed, anyhow::Error>(Placed {
                    id: id.to_owned(),
                    due,
                    answered: Instant::now(),
                })
            };
            // The receiver waits for every order.
            drop(done.send(placed.await));
        });
    }
    drop(done);
    let mut placed = Vec::new();
    while let Some(result) = results.recv().await {
        placed.push(result?);
    }
    Ok(placed)
}

/// Follows some users on one socket until the process ends.
async fn listen(options: &Options, users: Vec<Uuid>, validated: Arc<Mutex<Seen>>) -> Result<()> {
    let mut request = format!("{}/ws/orders", options.ws_url).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", options.token).parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("websocket")?;
    for user in &users {
        let subscribe =
            json!({"type": "subscribe", "topic": format!("user:{user}"), "snapshot": false});
        socket.send(Message::text(subscribe.to_string())).await?;
    }
    let mut subscribed = 0;
    while subscribed < users.len() {
        let Some(message) = socket.next().await else { bail!("the feed was closed") };
        let Message::Text(text) = message? else { continue };
        match serde_json::from_str::<Value>(&text)?.get("type").and_then(Value::as_str) {
            Some("subscribed") => subscribed += 1,
            Some("error") => bail!("the feed answered {text}"),
            _ => {}
        }
    }
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let at = Instant::now();
            let Message::Text(text) = message else { continue };
            let Ok(event) = serde_json::from_str::<Value>(&text) else { continue };
            let member = |name: &str| event.get(name).and_then(Value::as_str);
            if let (Some("order.validated"), Some(id), Ok(mut seen)) =
                (member("event_type"), member("order_id"), validated.lock())
            {
                seen.insert(id.to_owned(), at);
            }
        }
    });
    Ok(())
}
