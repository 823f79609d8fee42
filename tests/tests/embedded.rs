//! The default run as a newcomer meets it: one process, no servers, kill -9.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::api::{HAPPY_PATH, guide_order};
use system_tests::binary::binary;
use system_tests::process::{APPLICATIONS, output_of};
use system_tests::replay::{
    check_totals, day, independent_totals, independent_totals_enforced, stock,
};
use system_tests::{Feed, Orders, Receiver, apps, queries, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_its_whole_way_and_survives_kill_9() -> Result<()> {
    let mut orders = Orders::new(&["run"])?;
    orders.start_ready().await?;
    let api = orders.api(&["--guide"]).await?;
    let mut feed = Feed::connect(orders.ports().websocket, api.token()).await?;
    feed.subscribe("user:123e4567-e89b-12d3-a456-426614174000").await?;

    let id = api.place(&guide_order()).await?;
    let events = feed.until(&id, "delivered").await?;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == HAPPY_PATH, "{names:?}");
    let offsets: Vec<i64> = events.iter().map(|(_, offset)| *offset).collect();
    ensure!(offsets == [1, 2, 3, 4, 5, 6, 7], "{offsets:?}");
    // The feed and the read model follow the log side by side; neither waits for the other.
    let order = api.reaches(&id, "delivered", 10).await?;
    ensure!(order["order_id"] == json!(id), "{order}");
    let (kept, _) = queries::order(&orders, &id, None).await?;
    ensure!(kept["status"] == "delivered", "{kept:#}");
    let came = apps::records(&orders, "order-lifecycle", "source-order_commands").await?;
    ensure!(came == Some(1), "{came:?} commands came to the lifecycle");
    let (status, said) = apps::topology(&orders, "format=xml").await?;
    ensure!(status == 400 && said.contains("json, mermaid, text"), "{status} {said}");

    let half_way = api.place(&guide_order()).await?;
    orders.kill().await?;
    orders.start_ready().await?;
    api.reaches(&half_way, "delivered", 30).await?;
    let (_, kept) = api.get(&format!("/api/v1/orders/{id}")).await?;
    ensure!(kept["version"] == 7, "{kept}");
    ensure!(orders.stop().await? == Some(0), "{}", orders.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_described_and_begins_anew() -> Result<()> {
    let mut orders = Orders::new(&["run"])?;
    orders.start_ready().await?;
    let api = orders.api(&["--guide"]).await?;
    let id = api.place(&guide_order()).await?;
    api.reaches(&id, "delivered", 30).await?;
    let told = apps::settled(&orders, "order-analytics").await?;
    ensure!(told["state"] == "Stable" && told["in_reset"] == false, "{told:#}");
    ensure!(told["tasks"].as_array().is_some_and(|tasks| tasks.len() >= 3), "{told:#}");
    let shown = orders.run(&["app", "describe", "order-analytics"]).await?;
    ensure!(shown.contains("held by") && shown.contains("order_payment_processed[0]"), "{shown}");
    let said = apps::refused(&orders, &["app", "describe", "order-analytic"]).await?;
    ensure!(said.contains("unknown application") && said.contains("order-analytics"), "{said}");
    let reset = ["app", "reset", "order-analytics", "--execute"];
    let said = apps::refused(&orders, &reset).await?;
    ensure!(said.contains("may be running") && said.contains("stop it"), "{said}");
    let revenue = until("the order's money is counted", 30, || async {
        apps::revenue(&orders).await.ok().filter(|rows| !rows.is_empty())
    })
    .await?;
    ensure!(orders.stop().await? == Some(0), "{}", orders.output());

    let told = apps::described(&orders, "order-analytics").await?;
    ensure!(told["members"] == json!([]), "{told:#}");
    apps::reset_analytics(&orders).await?;
    orders.start_ready().await?;
    until("the same money is counted anew", 60, || async {
        apps::revenue(&orders).await.ok().filter(|rows| *rows == revenue)
    })
    .await?;
    ensure!(orders.stop().await? == Some(0), "{}", orders.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shops_day_adds_up_to_the_penny_although_the_process_is_killed() -> Result<()> {
    let expected = independent_totals().await?;
    let mut orders = Orders::new(&["run"])?;
    orders.start_ready().await?;
    let url = format!("http://127.0.0.1:{}", orders.ports().ingress);
    let file = day().display().to_string();
    let arguments =
        ["replay", &file, "--url", &url, "--json", "--until", "shipped", "--timeout", "90"];
    let api = orders.api(&["--admin"]).await?;

    let slowly = [&arguments[..], &["--rate", "20"]].concat();
    let mut first = orders.spawn(&slowly)?;
    let placed = || async {
        let (_, page) = api.get("/api/v1/orders?limit=100&cursor=").await.ok()?;
        Some(page["data"].as_array()?.len()).filter(|count| *count >= 20)
    };
    let placed = until("20 orders of the replay are placed", 30, placed).await?;
    ensure!(placed < 100, "the replay was nearly over: {placed} orders");
    orders.kill().await?;
    ensure!(first.try_wait()?.is_none(), "the replay ended before the system was killed");
    orders.start_ready().await?;

    // The same replay goes on: its requests carry keys, so it may repeat them.
    check_totals(&output_of(first).await?, &expected)?;
    let before = stock(&api).await?;
    let second = orders.run(&arguments).await?;
    check_totals(&second, &expected)?;
    let second: Value = serde_json::from_str(&second)?;
    ensure!(second["replayed"] == expected["orders"], "the second run placed something: {second}");
    let after = stock(&api).await?;
    ensure!(after == before, "the second run changed the stock");
    ensure!(after.len() > 1_000, "only {} products", after.len());
    Ok(())
}

/// In the order of the file, one by one: which order passes the fraud limit depends on what came before.
#[tokio::test(flavor = "multi_thread")]
async fn an_enforced_replay_fails_exactly_the_orders_that_break_the_rules() -> Result<()> {
    let expected = independent_totals_enforced().await?;
    let mut orders = Orders::new(&["run"])?;
    orders.start_ready().await?;
    let url = format!("http://127.0.0.1:{}", orders.ports().ingress);
    let file = day().display().to_string();
    let report = orders
        .run(&["replay", &file, "--url", &url, "--json", "--enforce", "--concurrency", "1"])
        .await?;
    check_totals(&report, &expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_webhooks_of_an_order_arrive_although_the_process_is_killed() -> Result<()> {
    let mut receiver = Receiver::new()?;
    let mut orders = Orders::new(&["run"])?
        .with("WEBHOOK_ALLOW_HOSTS", &receiver.host())
        .with("WEBHOOK_SCHEDULE", "0,1,1,1,1,1,1,1,1,1")
        .with("SIMULATION_STEP_MS", "300");
    orders.start_ready().await?;
    let api = orders.api(&["--guide"]).await?;
    receiver.register(&api).await?;
    receiver.listen().await?;
    let id = api.place(&guide_order()).await?;
    until("the first webhook arrives", 30, || async {
        receiver.received(&id).ok().filter(|types| !types.is_empty())
    })
    .await?;
    orders.kill().await?;
    let before = receiver.received(&id)?;
    ensure!(before.len() < HAPPY_PATH.len(), "everything had arrived before the kill");
    orders.start_ready().await?;
    receiver.has_all(&id, &HAPPY_PATH, 60).await
}

#[tokio::test]
async fn the_flow_can_be_shown_without_a_server() -> Result<()> {
    let orders = Orders::new(&["topology"])?;
    let shown = orders.run(&["topology", "show"]).await?;
    for application in APPLICATIONS {
        ensure!(shown.contains(&format!("{application}: ")), "{application} is not in\n{shown}");
    }
    ensure!(shown.contains("POST to `validated` on the feed: 4 transactional hops"), "{shown}");
    let drawn = orders.run(&["topology", "show", "order-validator", "--mermaid"]).await?;
    ensure!(drawn.starts_with("flowchart") && drawn.contains("order_created"), "{drawn}");
    for (format, begins) in
        [("text", "order-feed: "), ("mermaid", "flowchart"), ("dot", "digraph"), ("json", "[")]
    {
        let shown = orders.run(&["topology", "show", "order-feed", "--format", format]).await?;
        ensure!(shown.starts_with(begins) && shown.contains("user_feed"), "{format}: {shown}");
    }
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = std::process::Command::new(binary()?);
    command.args(["topology", "show"]).stdout(writer);
    drop(reader);
    let done = command.output()?;
    ensure!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_precise_refusals_and_nothing_else_is_lost() -> Result<()> {
    let mut orders = Orders::new(&["run"])?.with("RATE_LIMIT_ENABLED", "false");
    orders.start_ready().await?;
    let api = orders.api(&["--guide"]).await?;
    let post = |body: Value| {
        let api = api.clone();
        async move { api.send(Method::POST, "/api/v1/orders", &body).await }
    };
    let with = |path: &str, value: Value| {
        let mut body = guide_order();
        if let Some(place) = body.pointer_mut(path) {
            *place = value;
        }
        body
    };
    let (status, problem) = post(with("/items/0/quantity", json!(-1))).await?;
    ensure!(
        status == 422 && problem["errors"][0]["field"] == "items[0].quantity",
        "{status} {problem}"
    );
    let (status, problem) = post(with("/total_amount", json!(60))).await?;
    ensure!(status == 422 && problem.to_string().contains("total_amount"), "{status} {problem}");
    let raw = api
        .request(Method::POST, "/api/v1/orders")
        .header("content-type", "application/json")
        .body("{\"items\": [")
        .send()
        .await?;
    ensure!(raw.status() == 400, "{}", raw.status());
    let large = api
        .request(Method::POST, "/api/v1/orders")
        .header("content-type", "application/json")
        .body(vec![b' '; 10 << 20])
        .send()
        .await;
    // A server may answer or hang up while ten megabytes are on their way.
    ensure!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413), "10 MB were taken");
    let unknown = with("/items/0/product_id", json!("no-such-product"));
    let id = api.place(&unknown).await?;
    let failed = api.reaches(&id, "failed", 20).await?;
    ensure!(failed["failure_reason"] == "unknown_product", "{failed}");
    let stranger = orders.api(&["--user", "00000000-0000-4000-8000-000000000001"]).await?;
    let (status, _) = stranger.get(&format!("/api/v1/orders/{id}")).await?;
    ensure!(status == 404, "{status}");
    let forged = system_tests::Api::new(orders.ports(), "eyJhbGciOiJub25lIn0.e30.");
    let (status, _) = forged.get("/api/v1/orders").await?;
    ensure!(status == 401, "{status}");
    let id = api.place(&guide_order()).await?;
    api.reaches(&id, "delivered", 20).await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_configuration_is_refused_by_name() -> Result<()> {
    let cases = [
        ("RATE_LIMIT_PER_MINUTES", "5", "did you mean RATE_LIMIT_PER_MINUTE?"),
        ("SIMULATION_STEP_MS", "soon", "SIMULATION_STEP_MS"),
        ("ENVIRONMENT", "production", "JWT_SECRET_KEY is not set"),
    ];
    for (name, value, expected) in cases {
        let mut orders = Orders::new(&["run"])?.with(name, value);
        orders.start()?;
        let (code, output) = orders.ended().await?;
        ensure!(code == Some(1) && output.contains(expected), "{name}={value}: {code:?} {output}");
    }
    let mut orders = Orders::new(&["run"])?
        .with("ENVIRONMENT", "production")
        .with("DATA_ENCRYPTION_KEY", &"ab".repeat(32))
        .with("JWT_SECRET_KEY", "your-secret-key-change-in-production");
    orders.start()?;
    let (code, output) = orders.ended().await?;
    ensure!(code == Some(1) && output.contains("placeholder"), "{code:?} {output}");
    Ok(())
}
