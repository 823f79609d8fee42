//! `orders app …` as a person uses it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Orders, until};

/// What `orders app describe` tells.
pub async fn described(orders: &Orders, application: &str) -> Result<Value> {
    let text = orders.run(&["app", "describe", application, "--json"]).await?;
    serde_json::from_str(&text).with_context(|| text)
}

/// Waits until each of the application's tasks is held by somebody who says so, and gives what is told then.
pub async fn settled(orders: &Orders, application: &str) -> Result<Value> {
    let what = format!("all of {application}'s tasks are held");
    until(&what, 60, || async {
        let told = described(orders, application).await.ok()?;
        let tasks = told["tasks"].as_array()?.iter();
        let held = tasks.filter(|task| task["held_by"].is_array()).count();
        let speaks = |member: &Value| member["status"]["phase"] == "running";
        let all = told["members"].as_array()?.iter().all(speaks);
        (all && held > 0 && held == told["tasks"].as_array()?.len()).then_some(told)
    })
    .await
}

/// What the admin endpoint says of the topology: status and body.
pub async fn topology(orders: &Orders, query: &str) -> Result<(u16, String)> {
    let url = format!("http://127.0.0.1:{}/topology?{query}", orders.ports().admin);
    let answer = reqwest::get(url).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// How many records came to a node of an application that this process runs alone.
pub async fn records(orders: &Orders, application: &str, node: &str) -> Result<Option<u64>> {
    let (_, text) = topology(orders, &format!("format=json&application={application}")).await?;
    let drawn: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let nodes = drawn[0]["subtopologies"][0]["nodes"].as_array().with_context(|| text.clone())?;
    let found = nodes.iter().find(|one| one["name"] == node).with_context(|| text.clone())?;
    Ok(found["records"].as_u64())
}

/// A command that must fail, and what it says then.
pub async fn refused(orders: &Orders, arguments: &[&str]) -> Result<String> {
    let done = orders.run(arguments).await;
    let error = done.err().with_context(|| format!("{arguments:?} was accepted"))?;
    Ok(format!("{error:#}"))
}

/// Captured money per minute, as the analytics keep it: key, window and value of each row.
pub async fn revenue(orders: &Orders) -> Result<Vec<Value>> {
    let query = ["query", "order-analytics/revenue", "--limit", "1000", "--json"];
    let answer: Value = serde_json::from_str(&orders.run(&query).await?)?;
    let rows = answer["rows"].as_array().context("rows")?.iter();
    Ok(rows.map(|row| json!([row["key"], row["window"], row["value"]])).collect())
}

/// Lets the analytics, of which nobody runs, begin anew from the first record: shown first, then done, then nothing is
/// left to do.
pub async fn reset_analytics(orders: &Orders) -> Result<()> {
    let reset = ["app", "reset", "order-analytics", "--to-earliest", "--json"];
    let plan: Value = serde_json::from_str(&orders.run(&reset).await?)?;
    let deleted = plan["delete"].to_string();
    ensure!(plan["executed"] == false, "{plan:#}");
    for topic in ["order-analytics-manifest", "order-analytics-revenue-changelog"] {
        ensure!(deleted.contains(topic), "{topic} isn't in {plan:#}");
    }
    let committed = |plan: &Value| {
        let inputs = plan["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
        inputs.iter().filter_map(|input| input["committed"].as_i64()).sum::<i64>()
    };
    ensure!(committed(&plan) > 0, "nothing was committed: {plan:#}");
    let again: Value = serde_json::from_str(&orders.run(&reset).await?)?;
    ensure!(again == plan, "looking changed something: {again:#}");
    let done =
        orders.run(&["app", "reset", "order-analytics", "--to-earliest", "--execute"]).await?;
    ensure!(done.contains("begins anew"), "{done}");
    let left: Value = serde_json::from_str(&orders.run(&reset).await?)?;
    ensure!(left["delete"] == json!([]) && committed(&left) == 0, "{left:#}");
    Ok(())
}
