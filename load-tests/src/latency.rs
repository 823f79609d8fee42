//! Orders at a fixed rate, and when their `order.validated` reaches a socket.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use load_tests::figures::{histogram, micros, quantiles};

use crate::cpu;
use crate::feed::{self, Address, Ear, Heard, Verdict};
use crate::outcomes::{self, Outcomes};

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

/// Runs and prints one JSON object; fails unless every order was validated.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let users: Vec<Uuid> = (0..options.users).map(|_| Uuid::new_v4()).collect();
    let ear = Ear::default();
    for part in users.chunks(100) {
        let address = Address { ws_url: options.ws_url.clone(), token: options.token.clone() };
        feed::follow(address, part, ear.clone()).await?;
    }
    let watch = cpu::Watch::start();
    let http = reqwest::Client::new();
    let placed = place(&options, &http, &users).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heard = {
            let heard = ear.heard();
            placed.iter().filter(|one| heard.verdicts.contains_key(&one.id)).count()
        };
        if heard == placed.len() || Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let used = watch.stop()?;
    let heard = ear.heard().clone();
    let mut outcomes = Outcomes::default();
    let silent = outcomes.count(&heard, placed.iter().map(|one| one.id.as_str()));
    for order in outcomes::ask(&http, &options.url, &options.token, &silent).await? {
        outcomes.count_silent(&order);
    }
    let (total, answered) = latencies(&placed, &heard)?;
    let figures = json!({
        "rate": options.rate,
        "orders": placed.len(),
        "outcomes": outcomes.figures(),
        "sockets_closed": heard.closed,
        "topics_not_resumed": heard.gaps,
        "post_to_201_ms": quantiles(&answered),
        "post_to_validated_on_websocket_ms": quantiles(&total),
        "cpu_seconds_per_1000_orders": used.cpu_seconds * 1_000.0 / placed.len().max(1) as f64,
        "peak_mib": used.peak_mib,
    });
    println!("{figures:#}");
    match outcomes.complaint() {
        None => Ok(ExitCode::SUCCESS),
        Some(complaint) => {
            bail!(
                "of {} orders, {} s after the last: {complaint}",
                placed.len(),
                PATIENCE.as_secs()
            )
        }
    }
}

/// Microseconds from when an order was due to `order.validated`, and to the
/// answer of its POST.
fn latencies(placed: &[Placed], heard: &Heard) -> Result<(Histogram<u64>, Histogram<u64>)> {
    let (mut total, mut answered) = (histogram()?, histogram()?);
    for one in placed {
        answered.record(micros(one.answered.saturating_duration_since(one.due)))?;
        if let Some((Verdict::Validated, at)) = heard.verdicts.get(&one.id) {
            total.record(micros(at.saturating_duration_since(one.due)))?;
        }
    }
    Ok((total, answered))
}

struct Placed {
    id: String,
    /// When it should have been sent: a late sender must not hide a slow system.
    due: Instant,
    answered: Instant,
}

async fn place(options: &Options, http: &reqwest::Client, users: &[Uuid]) -> Result<Vec<Placed>> {
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
