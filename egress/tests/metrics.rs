//! What the metrics of webhooks and sockets say, as Prometheus reads them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/sockets.rs"]
mod sockets;
#[path = "common/stage.rs"]
mod stage;

use std::sync::OnceLock;

use common::{entries, entry, eventually, order, user};
use egress::clock::{Clock as _, SystemClock};
use egress::webhooks::Schedule;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use read_model::deliveries::DeliveryStatus;
use schemas::messages::WebhookCommandKind;
use serde_json::json;
use sockets::server;
use stage::Stage;

/// One recorder for the process: each test has metrics that the others leave alone.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// The value of a metric without labels.
fn value(name: &str) -> Option<f64> {
    let page = recorder().render();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_tell_what_is_owed_and_how_long_it_took() {
    recorder();
    let stage = Stage::new().await;
    let mut settings = stage.settings(&[&stage.address]);
    settings.schedule = Schedule::parse("0,60").unwrap();
    let running = stage.run_with(settings);
    stage.register_here("hook").await;
    stage.receiver.answer(500, "", "");
    // Happened 100 s before the stage's clock begins.
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.attempted("hook", 1).await;
    stage.clock.advance(30);
    eventually("one is owed", || async { value("webhook_backlog") == Some(1.0) }).await;
    assert_eq!(value("webhook_oldest_pending_seconds"), Some(30.0));
    assert_eq!(value("webhook_publish_to_delivered_seconds_count"), None, "not yet");

    stage.clock.advance(30);
    let done = stage.attempted("hook", 2).await;
    assert_eq!(done.status, DeliveryStatus::Delivered);
    assert_eq!(value("webhook_publish_to_delivered_seconds_count"), Some(1.0));
    let took = value("webhook_publish_to_delivered_seconds_sum").unwrap();
    assert!((took - 160.0).abs() < 0.01, "{took}");
    stage.clock.advance(15);
    eventually("nothing is owed", || async { value("webhook_backlog") == Some(0.0) }).await;
    assert_eq!(value("webhook_oldest_pending_seconds"), Some(0.0));

    let again = Some(done.delivery_id.to_string());
    stage.command(1, WebhookCommandKind::Retry, again, None).await;
    stage.attempted("hook", 3).await;
    let count = value("webhook_publish_to_delivered_seconds_count");
    assert_eq!(count, Some(1.0), "sent again because its owner asked");

    stage.receiver.answer(500, "", "");
    stage.world.feed(&[entry(user(1), 2, order(1), 2)]).await;
    eventually("the second failed", || async { stage.receiver.hits().len() == 4 }).await;
    stage.clock.advance(15);
    eventually("one is owed again", || async { value("webhook_backlog") == Some(1.0) }).await;
    stage.world.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(value("webhook_backlog"), Some(0.0), "whoever dispatches now tells it");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_tell_how_old_events_are_that_come_while_they_are_open() {
    recorder();
    let server = server().await;
    let count = || value("ws_event_latency_seconds_count");
    server.world.feed_and_apply(&entries(user(1), order(1), 1, 3)).await;
    let mut socket = server.user(1).await;
    let wish = json!({"type": "subscribe", "topic": format!("user:{}", user(1)), "snapshot": true});
    let subscribed = socket.subscribe(wish.clone()).await;
    server.world.feed(&entries(user(1), order(1), 4, 5)).await;
    for offset in 4..=5 {
        assert_eq!(socket.json().await["offset"], offset);
    }
    eventually("both are told", || async { count() == Some(2.0) }).await;
    let happened = 1_700_000_000.0;
    let age = SystemClock.now().0 as f64 / 1e6 - happened;
    let mean = value("ws_event_latency_seconds_sum").unwrap() / 2.0;
    assert!((mean - age).abs() < 60.0, "{mean} of {age}");
    drop(socket);

    server.world.feed_and_apply(&entries(user(1), order(1), 6, 8)).await;
    let mut again = server.user(1).await;
    let mut resume = wish;
    resume["position"] = json!({"epoch": subscribed["position"]["epoch"], "offset": 5});
    assert_eq!(again.subscribe(resume).await["recovered"], true);
    for offset in 6..=8 {
        assert_eq!(again.json().await["offset"], offset);
    }
    server.world.feed(&entries(user(1), order(1), 9, 9)).await;
    assert_eq!(again.json().await["offset"], 9);
    eventually("the last is told", || async { count().is_some_and(|count| count > 2.0) }).await;
    assert_eq!(count(), Some(3.0), "what was caught up on is not");
}
