//! Sending a plan: products first, then orders, then waiting until they settle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::{Plan, PlannedOrder, PlannedProduct};
use super::report::decimal;
use crate::api::{Answer, Api, problem};
use crate::progress::Progress;

/// Namespace of the users that files stand for.
const CUSTOMERS: Uuid = Uuid::from_u128(0x8f6d_1c1e_4d0b_5b7a_9a55_0e2f_6b1d_2c10);

/// The statuses of an order that goes well, in order.
pub(crate) const HAPPY_PATH: [&str; 7] =
    ["pending", "validated", "processing", "paid", "fulfilled", "shipped", "delivered"];

/// A part of the system may be down for so long without ending the replay.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to send.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Requests in flight.
    pub concurrency: usize,
    /// Apply the catalogue's prices and the fraud limit.
    pub enforce: bool,
    /// Orders per second at most; none = as fast as it goes.
    pub rate: Option<f64>,
    /// Wait until every order has this status or is terminal.
    pub until: String,
    /// Give up waiting after this long.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Orders this run placed.
    pub placed: u64,
    /// Orders an earlier run had placed.
    pub replayed: u64,
    /// Orders by status.
    pub statuses: BTreeMap<String, u64>,
    /// Failed orders by reason.
    pub failures: BTreeMap<String, u64>,
    /// Orders the API refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Pence by country, of orders neither failed nor cancelled.
    pub revenue: BTreeMap<String, i64>,
    /// From the first to the last order placed.
    pub elapsed: Duration,
}

/// Sends everything and waits. The report comes even where not all orders
/// settled in time; the second result tells.
pub(crate) async fn run(
    api: &Api,
    plan: &Plan,
    source: &str,
    options: &Options,
) -> Result<(Report, Result<()>)> {
    // Patience is for what fails on the way: a wrong address is told at once.
    api.call(Method::GET, "/health", None, &[]).await?;
    products(api, plan, source, options).await?;
    let mut report = Report::default();
    let ids = orders(api, plan, options, &mut report).await?;
    let settled = settle(api, &ids, options, &mut report).await;
    Ok((report, settled))
}

async fn products(api: &Api, plan: &Plan, source: &str, options: &Options) -> Result<()> {
    let known = known_products(api).await?;
    let progress = Progress::new("products", plan.products.len() as u64);
    stream::iter(plan.products.iter().map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(options.concurrency, |(sku, product)| {
            let (known, progress) = (&known, &progress);
            async move {
                product_in_stock(api, sku, product, source, known.contains(sku)).await?;
                progress.done(1);
                Ok(())
            }
        })
        .await?;
    progress.finish();
    Ok(())
}

/// Makes a product if there is none, then adds what the file sells of it, once.
async fn product_in_stock(
    api: &Api,
    sku: &str,
    product: &PlannedProduct,
    source: &str,
    known: bool,
) -> Result<()> {
    let path = format!("/api/v1/admin/products/{}", escape(sku));
    if !known {
        let body = json!({"name": product.name, "price": number(product.price_minor)?, "currency": "GBP", "stock": 0});
        api.persist(Method::PUT, &path, Some(&body), &[], PATIENCE)
            .await
            .and_then(Answer::success)
            .with_context(|| format!("product {sku}"))?;
    }
    let body = json!({"delta": product.quantity, "reason": format!("opening stock of {source}")});
    let key = format!("replay:{source}:{sku}");
    api.persist(
        Method::POST,
        &format!("{path}/stock-adjustments"),
        Some(&body),
        &[("Idempotency-Key", &key)],
        PATIENCE,
    )
    .await
    .and_then(Answer::success)
    .with_context(|| format!("stock of {sku}"))?;
    Ok(())
}

async fn known_products(api: &Api) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let (rows, next) = page(api, "/api/v1/admin/products", &cursor).await?;
        known.extend(
            rows.iter().filter_map(|row| row.get("product_id")?.as_str().map(str::to_owned)),
        );
        match next {
            Some(next) => cursor = next,
            None => return Ok(known),
        }
    }
}

/// A page of a list and the cursor of the next.
async fn page(api: &Api, path: &str, cursor: &str) -> Result<(Vec<Value>, Option<String>)> {
    let path = format!("{path}?limit=100&cursor={}", escape(cursor));
    let mut page = api.persist(Method::GET, &path, None, &[], PATIENCE).await?.success()?;
    let next = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
    match page.get_mut("data").map(Value::take) {
        Some(Value::Array(rows)) => Ok((rows, next)),
        _ => bail!("{path}: answer without data"),
    }
}

async fn orders(
    api: &Api,
    plan: &Plan,
    options: &Options,
    report: &mut Report,
) -> Result<BTreeSet<String>> {
    let progress = Arc::new(Progress::new("orders", plan.orders.len() as u64));
    let start = Instant::now();
    let pace = options.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let mut answers = stream::iter(plan.orders.iter().enumerate())
        .map(|(number, order)| {
            let due = pace.map(|pace| start + pace * u32::try_from(number).unwrap_or(u32::MAX));
            async move {
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                place(api, order, options.enforce)
                    .await
                    .with_context(|| format!("invoice {}", order.invoice))
            }
        })
        .buffer_unordered(options.concurrency);
    let mut ids = BTreeSet::new();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        progress.done(1);
        match answer.body.get("order_id").and_then(Value::as_str) {
            Some(id) if answer.status.is_success() => {
                ids.insert(id.to_owned());
                *(if answer.replayed { &mut report.replayed } else { &mut report.placed }) += 1;
            }
            _ => {
                let code = answer.body.get("code").and_then(Value::as_str).unwrap_or("other");
                tracing::debug!(answer = problem(&answer), "refused");
                *report.refused.entry(format!("{} {code}", answer.status.as_u16())).or_default() +=
                    1;
            }
        }
    }
    report.elapsed = start.elapsed();
    progress.finish();
    Ok(ids)
}

/// Places one order; the key makes repeats harmless.
async fn place(api: &Api, order: &PlannedOrder, enforce: bool) -> Result<Answer> {
    let body = order_body(order, enforce)?;
    let key = format!("replay:invoice:{}{}", order.invoice, if enforce { ":enforce" } else { "" });
    let headers = [("Idempotency-Key", key.as_str())];
    api.persist(Method::POST, "/api/v1/orders", Some(&body), &headers, PATIENCE).await
}

fn order_body(order: &PlannedOrder, enforce: bool) -> Result<Value> {
    let user = match order.customer.as_str() {
        "" => format!("invoice:{}", order.invoice),
        customer => format!("customer:{customer}"),
    };
    let items: Result<Vec<Value>> = order
        .lines
        .iter()
        .map(|line| {
            let mut item = json!({"product_id": line.sku, "quantity": line.quantity, "price": number(line.price_minor)?});
            if !enforce {
                item["price_override"] = json!(true);
            }
            Ok(item)
        })
        .collect();
    let mut body = json!({
        "user_id": Uuid::new_v5(&CUSTOMERS, user.as_bytes()),
        "items": items?,
        "total_amount": number(order.total_minor)?,
        "currency": "GBP",
        "shipping_address": {"street": "unknown", "city": "unknown", "state": "unknown", "zip": "unknown", "country": country_code(&order.country)},
        "payment_method": "INVOICE",
        "metadata": {"invoice": order.invoice, "country": order.country, "invoice_date": order.date},
    });
    if !enforce {
        body["channel"] = json!("import");
    }
    Ok(body)
}

/// Waits until every order is where `--until` says, or terminal.
async fn settle(
    api: &Api,
    ids: &BTreeSet<String>,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let place = |status: &str| HAPPY_PATH.iter().position(|known| *known == status);
    let target = place(&options.until).with_context(|| format!("--until {}", options.until))?;
    let progress = Progress::new("settled", ids.len() as u64);
    let deadline = Instant::now() + options.timeout;
    loop {
        let orders = fetch(api, ids).await?;
        let settled = orders.values().filter(|order| {
            let status = order.get("status").and_then(Value::as_str).unwrap_or_default();
            place(status).is_none_or(|at| at >= target)
        });
        let count = settled.count() as u64;
        progress.set(count);
        if count == ids.len() as u64 || Instant::now() >= deadline {
            progress.finish();
            summarise(&orders, report)?;
            if count < ids.len() as u64 {
                bail!(
                    "{} of {} orders have not reached {:?} in time",
                    ids.len() as u64 - count,
                    ids.len(),
                    options.until
                );
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn fetch(api: &Api, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    while found.len() < ids.len() {
        let (rows, next) = page(api, "/api/v1/orders", &cursor).await?;
        for order in rows {
            if let Some(id) =
                order.get("order_id").and_then(Value::as_str).and_then(|id| ids.get(id))
            {
                found.insert(id.to_owned(), order);
            }
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(found)
}

fn summarise(orders: &BTreeMap<String, Value>, report: &mut Report) -> Result<()> {
    for order in orders.values() {
        let text =
            |name: &str| order.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let status = text("status");
        if status == "failed" {
            *report.failures.entry(text("failure_reason")).or_default() += 1;
        } else if status != "cancelled" {
            let country = order
                .pointer("/metadata/country")
                .and_then(Value::as_str)
                .unwrap_or("unknown")
                .to_owned();
            let total = order.get("total_amount").map(ToString::to_string).unwrap_or_default();
            *report.revenue.entry(country).or_default() += minor(&total)?;
        }
        *report.statuses.entry(status).or_default() += 1;
    }
    Ok(())
}

/// `59.98` → 5998, exactly.
fn minor(text: &str) -> Result<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<2}").parse().with_context(|| format!("amount {text:?}"))
}

/// Pence as an exact JSON number.
fn number(minor: i64) -> Result<Value> {
    Ok(serde_json::from_str(&decimal(minor))?)
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Countries of the files as ISO 3166; others stay out of the address.
fn country_code(name: &str) -> Option<&'static str> {
    const CODES: &[(&str, &str)] = &[
        ("United Kingdom", "GB"),
        ("France", "FR"),
        ("Australia", "AU"),
        ("Netherlands", "NL"),
        ("Germany", "DE"),
        ("Norway", "NO"),
        ("EIRE", "IE"),
        ("Switzerland", "CH"),
        ("Spain", "ES"),
        ("Poland", "PL"),
        ("Portugal", "PT"),
        ("Italy", "IT"),
        ("Belgium", "BE"),
        ("Lithuania", "LT"),
        ("Japan", "JP"),
        ("Iceland", "IS"),
    ];
    CODES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_every_penny_on_the_way_out_and_back() {
        for pence in [1, 10, 99, 100, 5_998, 186_786] {
            assert_eq!(minor(&number(pence).unwrap().to_string()).unwrap(), pence);
        }
        assert_eq!(minor("12.5").unwrap(), 1_250);
        assert_eq!(minor("7").unwrap(), 700);
    }
}
