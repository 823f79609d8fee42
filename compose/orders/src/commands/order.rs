//! `orders order …`: acting as a caller of the REST API and the feed.

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::api::Api;
use crate::cli::{OrderCommand, Target};
use crate::output::say;
use crate::table::table;

/// Runs one of the commands.
pub(crate) async fn run(command: OrderCommand, target: &Target, token: String) -> Result<()> {
    let api = Api::new(&target.url, Some(token.clone()))?;
    match command {
        OrderCommand::Create {
            items,
            currency,
            payment_method,
            payment_token,
            idempotency_key,
            file,
        } => {
            let body = match file {
                Some(path) => serde_json::from_str(
                    &std::fs::read_to_string(&path).with_context(|| path.display().to_string())?,
                )?,
                None => body(&items, &currency, &payment_method, payment_token.as_deref())?,
            };
            let key = idempotency_key.as_deref().map(|key| ("Idempotency-Key", key));
            let headers: Vec<(&str, &str)> = key.into_iter().collect();
            let order = api.must(Method::POST, "/api/v1/orders", Some(&body), &headers).await?;
            show(&order, target.json)
        }
        OrderCommand::Get { order_id } => show(
            &api.must(Method::GET, &format!("/api/v1/orders/{order_id}"), None, &[]).await?,
            target.json,
        ),
        OrderCommand::List { limit, status } => {
            let filters: String = status.iter().map(|status| format!("&status={status}")).collect();
            let orders = api
                .must(Method::GET, &format!("/api/v1/orders?limit={limit}{filters}"), None, &[])
                .await?;
            list(&orders, target.json)
        }
        OrderCommand::Watch { order_id } => watch(target, &token, order_id).await,
        OrderCommand::Cancel { order_id, reason } => {
            let body = reason.map(|reason| json!({ "reason": reason }));
            let path = format!("/api/v1/orders/{order_id}/cancel");
            show(&api.must(Method::POST, &path, body.as_ref(), &[]).await?, target.json)
        }
    }
}

fn body(items: &[String], currency: &str, method: &str, token: Option<&str>) -> Result<Value> {
    let mut lines = Vec::new();
    let mut total: i64 = 0;
    for item in items {
        let parsed = item.split_once('=').and_then(|(product, rest)| {
            let (quantity, price) = rest.split_once('@')?;
            Some((product, quantity.parse::<i64>().ok()?, price))
        });
        let Some((product, quantity, price)) = parsed else {
            bail!("--item {item:?}: expected PRODUCT=QUANTITY@PRICE, e.g. prod-1=2@29.99");
        };
        let (whole, part) = price.split_once('.').unwrap_or((price, ""));
        let minor: i64 = format!("{whole}{part:0<2}")
            .parse()
            .with_context(|| format!("--item {item:?}: price {price:?}"))?;
        total += quantity * minor;
        lines.push(json!({"product_id": product, "quantity": quantity, "price": serde_json::from_str::<Value>(price)?}));
    }
    let mut body = json!({
        "items": lines,
        "total_amount": serde_json::from_str::<Value>(&crate::replay::decimal(total))?,
        "currency": currency,
        "shipping_address": {"street": "123 Main St", "city": "New York", "state": "NY", "zip": "10001"},
        "payment_method": method,
    });
    if let Some(token) = token {
        body["payment_token"] = json!(token);
    }
    Ok(body)
}

fn show(order: &Value, as_json: bool) -> Result<()> {
    if as_json {
        say!("{}", serde_json::to_string_pretty(order)?);
        return Ok(());
    }
    let mut table = table();
    for name in [
        "order_id",
        "status",
        "version",
        "total_amount",
        "currency",
        "payment_status",
        "fulfillment_status",
        "failure_reason",
        "failure_detail",
        "cancel_reason",
        "created_at",
        "updated_at",
    ] {
        if let Some(value) = order.get(name).filter(|value| !value.is_null()) {
            table.add_row([name.to_owned(), plain(value)]);
        }
    }
    say!("{table}");
    Ok(())
}

fn list(orders: &Value, as_json: bool) -> Result<()> {
    if as_json {
        say!("{}", serde_json::to_string_pretty(orders)?);
        return Ok(());
    }
    let mut table = table();
    table.set_header(["order_id", "status", "total", "currency", "created_at"]);
    for order in orders.as_array().into_iter().flatten() {
        let text = |name: &str| order.get(name).map(plain).unwrap_or_default();
        table.add_row([
            text("order_id"),
            text("status"),
            text("total_amount"),
            text("currency"),
            text("created_at"),
        ]);
    }
    say!("{table}");
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Prints feed events; with an order, until it is terminal.
async fn watch(target: &Target, token: &str, order_id: Option<uuid::Uuid>) -> Result<()> {
    let mut request =
        format!("{}/ws/orders", target.ws_url.trim_end_matches('/')).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .with_context(|| format!("{}: is the system running? (`orders run`)", target.ws_url))?;
    if let Some(order_id) = order_id {
        let subscribe =
            json!({"type": "subscribe", "topic": format!("order:{order_id}"), "snapshot": true});
        socket.send(Message::text(subscribe.to_string())).await?;
    }
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let value: Value = serde_json::from_str(&text)?;
        if target.json {
            say!("{value}");
        }
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let statuses: Vec<String> = match kind {
            "event" => vec![line(&value, target.json)?],
            "subscribed" => {
                let rows = value.get("snapshot").and_then(Value::as_array);
                let shown = rows.into_iter().flatten().map(|order| row(order, target.json));
                shown.collect::<Result<_>>()?
            }
            "error" => bail!("{}", value.get("message").map(plain).unwrap_or_default()),
            _ => Vec::new(),
        };
        let ended = statuses
            .iter()
            .any(|status| matches!(status.as_str(), "delivered" | "cancelled" | "failed"));
        if order_id.is_some() && ended {
            return Ok(());
        }
    }
    bail!("the feed was closed by the server")
}

/// Prints an event; its status.
fn line(event: &Value, quiet: bool) -> Result<String> {
    print_line(event, "occurred_at", "event_type", quiet)
}

/// Prints how an order stands now; its status.
fn row(order: &Value, quiet: bool) -> Result<String> {
    print_line(order, "updated_at", "", quiet)
}

fn print_line(value: &Value, at: &str, event: &str, quiet: bool) -> Result<String> {
    let text = |name: &str| value.get(name).map(plain).unwrap_or_default();
    if !quiet {
        let event = if event.is_empty() { "(now)".to_owned() } else { text(event) };
        say!("{}  {}  {event:<18} {}", text(at), text("order_id"), text("status"));
    }
    Ok(text("status"))
}
