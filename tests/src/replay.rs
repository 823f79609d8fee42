//! A real shop's day, and what it must add up to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::api::Api;

/// The committed day.
pub fn day() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/online-retail/2010-12-01.csv")
}

/// What the day must add up to, by a program that shares nothing with ours.
pub async fn independent_totals() -> Result<Value> {
    judge(&[]).await
}

/// The same where the catalogue's prices and the fraud limit are applied.
pub async fn independent_totals_enforced() -> Result<Value> {
    judge(&["--enforce"]).await
}

async fn judge(options: &[&str]) -> Result<Value> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/replay_totals.py");
    let output = tokio::process::Command::new("python3")
        .arg(script)
        .args(options)
        .arg(day())
        .output()
        .await
        .context("python3")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Compares a replay's report with the independent sum, to the penny.
pub fn check_totals(report: &str, expected: &Value) -> Result<()> {
    let report: Value = serde_json::from_str(report)?;
    for name in ["invoices", "orders", "revenue", "revenue_by_country"] {
        ensure!(
            report.get(name) == expected.get(name),
            "{name}: {:?}, expected {:?}",
            report.get(name),
            expected.get(name)
        );
    }
    ensure!(
        report.get("failures") == expected.get("failures"),
        "failures: {:?}, expected {:?}",
        report.get("failures"),
        expected.get("failures")
    );
    let refused = report.get("refused").and_then(Value::as_object).context("refused")?;
    ensure!(refused.is_empty(), "refused {refused:?}");
    Ok(())
}

/// What every product has on hand and held, by id.
pub async fn stock(api: &Api) -> Result<BTreeMap<String, (Value, Value)>> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/admin/products?limit=100&cursor={cursor}");
        let (status, page) = api.get(&path).await?;
        ensure!(status == 200, "{path} answered {status}: {page}");
        for product in page["data"].as_array().context("products without data")? {
            let id = product["product_id"].as_str().context("product without id")?;
            found.insert(id.to_owned(), (product["on_hand"].clone(), product["held"].clone()));
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(found),
        }
    }
}
