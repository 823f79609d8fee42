//! A real shop's day, and what it must add up to.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The committed day.
pub fn day() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/online-retail/2010-12-01.csv")
}

/// What the day must add up to, by a program that shares nothing with ours.
pub async fn independent_totals() -> Result<Value> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/replay_totals.py");
    let output = tokio::process::Command::new("python3")
        .arg(script)
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
    let refused = report.get("refused").and_then(Value::as_object).context("refused")?;
    let failures = report.get("failures").and_then(Value::as_object).context("failures")?;
    ensure!(refused.is_empty() && failures.is_empty(), "refused {refused:?}, failed {failures:?}");
    Ok(())
}
