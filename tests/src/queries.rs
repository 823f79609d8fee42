//! What `orders query` shows of an order, wherever it is asked.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Orders, System, until};

/// The one row of an order in the lifecycle's store, asked at `at` or where the command finds somebody; with the name of
/// who answered.
pub async fn order(orders: &Orders, id: &str, at: Option<&str>) -> Result<(Value, String)> {
    let at: Vec<&str> = at.into_iter().flat_map(|at| ["--at", at]).collect();
    let query = [&["query", "order-lifecycle/orders", id, "--json"], &at[..]].concat();
    let text = orders.run(&query).await?;
    ensure!(!text.contains("pm_card"), "a payment token is shown: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    let by = answer["from"][0]["instance"].as_str().context("who answered")?.to_owned();
    let rows = answer["rows"].as_array().context("rows")?;
    ensure!(rows.len() == 1 && rows[0]["key"] == id, "{answer:#}");
    Ok((rows[0]["value"]["state"]["order"].clone(), by))
}

/// A second process joins the lifecycle; both answer for all these orders, each for some from its own state.
pub async fn any_process_answers(system: &mut System, ids: &[String]) -> Result<()> {
    system.add("order-lifecycle-2", &["worker", "order-lifecycle"])?;
    let mut doors = Vec::new();
    for name in ["order-lifecycle", "order-lifecycle-2"] {
        doors.push(format!("127.0.0.1:{}", system.process(name)?.ports().admin));
    }
    let asker = system.role(&["query"])?;
    until("both processes have tasks and all are owned", 60, || async {
        for door in &doors {
            let listed = asker.run(&["query", "--list", "--at", door, "--json"]).await.ok()?;
            let stores: Value = serde_json::from_str(&listed).ok()?;
            let orders = stores.as_array()?.iter().find(|store| store["store"] == "orders")?;
            let owned = orders["here"].as_object()?.len();
            (owned > 0 && owned < 3).then_some(())?;
            // A claim of a partition that has just moved may still be on its way to who is asked.
            let all =
                ["query", "order-lifecycle/orders", "--limit", "1000", "--json", "--at", door];
            let answer: Value = serde_json::from_str(&asker.run(&all).await.ok()?).ok()?;
            (answer["from"].as_array()?.len() == 3).then_some(())?;
        }
        Some(())
    })
    .await?;
    for id in ids {
        let mut told = Vec::new();
        for door in [Some(doors[0].as_str()), Some(doors[1].as_str()), None] {
            told.push(order(&asker, id, door).await?);
        }
        ensure!(told[0].0["status"] == "delivered", "{:#}", told[0].0);
        ensure!(
            told.iter().all(|one| *one == told[0]),
            "two members told different stories: {told:#?}"
        );
    }
    let range = ["query", "order-lifecycle/orders", "--limit", "1000", "--json", "--at", &doors[0]];
    let answer: Value = serde_json::from_str(&asker.run(&range).await?)?;
    ensure!(answer["from"].as_array().context("from")?.len() == 3, "{}", answer["from"]);
    ensure!(answer["rows"].as_array().context("rows")?.len() >= ids.len(), "too few rows");
    ensure!(system.process("order-lifecycle-2")?.stop().await? == Some(0), "{}", system.outputs());
    Ok(())
}
