//! What every role has in common: its ports, its folder, its admin endpoint;
//! and what a newcomer types wrong.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system_tests::api::guide_order;
use system_tests::{Orders, Servers, until};

async fn answer(port: u16, path: &str) -> Option<(u16, String)> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_system_is_degraded_and_goes_on() -> Result<()> {
    let mut orders = Orders::new(&["run"])?.with("REDIS_URL", "redis://127.0.0.1:1/");
    orders.start_ready().await?;
    let api = orders.api(&["--guide"]).await?;
    let id = api.place(&guide_order()).await?;
    // Known since the order's limits were asked for.
    let (_, health) = api.get("/health/ready").await?;
    ensure!(health["status"] == "degraded", "{health}");
    let mut stream = api.request(reqwest::Method::GET, "/api/v1/orders/stream").send().await?;
    ensure!(stream.status() == 200, "{}", stream.status());
    ensure!(stream.headers().contains_key("x-request-id"), "not behind the ingress's layers");
    let first = stream.chunk().await?.context("no event")?;
    ensure!(String::from_utf8_lossy(&first).contains(&id), "the snapshot has the order");
    let metrics = answer(orders.ports().admin, "/metrics").await.context("no metrics")?;
    ensure!(metrics.1.contains("# TYPE"), "{}", metrics.1);
    let ready = answer(orders.ports().admin, "/health/ready").await.context("no health")?;
    ensure!(ready.0 == 200, "{ready:?}");

    // The same folder, other ports: the second one must not touch it.
    let ports = system_tests::Ports::free()?;
    let mut second = Orders::sharing(&["run"], orders.data().clone(), ports)?;
    second.start()?;
    let (code, said) = second.ended().await?;
    ensure!(code == Some(1) && said.contains("DATA_DIR=") && !said.contains("ready:"), "{said}");
    ensure!(orders.stop().await? == Some(0), "{}", orders.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_before_anything_starts() -> Result<()> {
    for variable in ["INGRESS_ADDR", "WEBSOCKET_ADDR", "REGISTRY_ADDR", "ADMIN_ADDR"] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut orders = Orders::new(&["run"])?.with(variable, &taken.local_addr()?.to_string());
        orders.start()?;
        let (code, said) = orders.ended().await?;
        ensure!(code == Some(1) && said.contains(&format!("{variable}=")), "{said}");
        ensure!(!said.contains("ready:") && !orders.data().path().join("log").exists(), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_of_its_own_serves_metrics_and_health() -> Result<()> {
    let servers = Servers::from_environment()?;
    let mut roles = Vec::new();
    for role in [&["sink"][..], &["websocket"], &["webhooks"], &["ingress"], &["registry"]] {
        let orders = Orders::new(role)?
            .with("KAFKA_BOOTSTRAP_SERVERS", &servers.kafka)
            .with("DATABASE_URL", &servers.database)
            .with("REDIS_URL", "redis://127.0.0.1:1/");
        if roles.is_empty() {
            orders.run(&["topics", "create"]).await?;
        }
        roles.push(orders);
    }
    for role in &mut roles {
        role.start()?;
    }
    for role in &mut roles {
        let port = role.ports().admin;
        let metrics = until("metrics are served", 60, || answer(port, "/metrics")).await;
        let (status, _) = metrics.with_context(|| role.output())?;
        let health = answer(port, "/health").await.context("no health")?;
        ensure!((status, health.0) == (200, 200), "{health:?}");
        ensure!(role.stop().await? == Some(0), "{}", role.output());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_json_and_refuse_what_they_can_not_do() -> Result<()> {
    let orders = Orders::new(&["commands"])?;
    let json = |text: &str| serde_json::from_str::<Value>(text).with_context(|| text.to_owned());
    let token = json(&orders.run(&["token", "--guide", "--json"]).await?)?;
    ensure!(token["access_token"].is_string() && token["expires_in"] == 900, "{token}");
    let flow = json(&orders.run(&["topology", "show", "--json"]).await?)?;
    ensure!(flow.as_array().is_some_and(|all| all.len() == 7), "{flow}");
    let day = system_tests::replay::day().display().to_string();
    for wrong in [["--until", "shiped"], ["--rate", "0"]] {
        let refused = orders.run(&["replay", &day, wrong[0], wrong[1]]).await;
        let said = format!("{:#}", refused.err().context("accepted")?);
        ensure!(said.contains(wrong[0]) && !said.contains("panicked"), "{said}");
    }
    let refused = orders.run(&["webhooks", "reset"]).await.err().context("reset without asking")?;
    ensure!(format!("{refused:#}").contains("--yes"), "{refused:#}");
    Ok(())
}
