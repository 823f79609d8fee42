//! Endpoints that come and go: what is owed to them, who may change them, and
//! two processes at once.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/stage.rs"]
mod stage;

use std::time::Duration;

use common::{World, entry, eventually, order, user};
use egress::webhooks::WebhookSettings;
use read_model::deliveries::DeliveryStatus;
use schemas::messages::WebhookEndpoint;
use stage::{Receiver, Stage};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_the_endpoint() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    stage.receiver.answer(410, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    assert_eq!(stage.attempted("hook", 1).await.status, DeliveryStatus::Failed);
    eventually("the endpoint is written as disabled", || async { stage.endpoint_records() == 2 })
        .await;
    stage.world.feed(&[entry(user(1), 2, order(1), 2), entry(user(3), 1, order(3), 1)]).await;
    stage
        .register(&WebhookEndpoint {
            user_id: user(3),
            ..stage.endpoint("other", &format!("http://{}/", stage.address))
        })
        .await;
    stage.world.feed(&[entry(user(3), 2, order(3), 2)]).await;
    stage.attempted("other", 1).await;
    assert_eq!(stage.deliveries("hook").await.len(), 1, "nothing for the disabled one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_410_that_crosses_the_deletion_does_not_bring_the_endpoint_back() {
    let stage = Stage::new().await;
    let hold = CancellationToken::new();
    let (held, address) =
        Receiver { hold: Some(hold.clone()), ..Receiver::default() }.start().await;
    let _running = stage.run_with(stage.settings(&[&address, &stage.address]));
    stage.register(&stage.endpoint("hook", &format!("http://{address}/"))).await;
    stage.register(&stage.endpoint("moved", &format!("http://{address}/"))).await;
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    held.reached(2).await;
    // Both attempts are under way: one endpoint is deleted, the other moves.
    stage.world.append_raw("webhook_endpoints", "hook", None).await;
    stage.register_here("moved").await;
    held.answer(410, "", "");
    held.answer(410, "", "");
    hold.cancel();
    stage.attempted("hook", 1).await;
    stage.attempted("moved", 1).await;
    // Delivered to the new place, and the dispatcher has looked around since.
    stage.world.feed(&[entry(user(1), 2, order(1), 2)]).await;
    stage.receiver.reached(1).await;
    assert_eq!(stage.endpoint_records(), 4, "nothing was written over the owner's last word");
    assert_eq!(stage.deliveries("hook").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_crossed_the_deletion_is_deleted_again() {
    let stage = Stage::new().await;
    stage.register_here("hook").await;
    stage.world.append_raw("webhook_endpoints", "hook", None).await;
    stage.register_here("hook").await;
    let _running = stage.run();
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    eventually("a second tombstone", || async { stage.endpoint_records() == 4 }).await;
    stage.register_here("other").await;
    stage.world.feed(&[entry(user(1), 2, order(1), 2)]).await;
    stage.attempted("other", 1).await;
    assert!(stage.deliveries("hook").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_off_for_a_while_keeps_its_retries_over_a_restart() {
    let mut stage = Stage::new().await;
    let running = stage.run();
    stage.register_here("hook").await;
    stage.receiver.answer(500, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.attempted("hook", 1).await;
    stage.world.shutdown.cancel();
    running.await.unwrap().unwrap();
    let on = stage.endpoint("hook", &format!("http://{}/hook", stage.address));
    stage.register(&WebhookEndpoint { enabled: false, ..on.clone() }).await;
    stage.register(&on).await;
    stage.world.shutdown = CancellationToken::new();
    let _again = stage.run();
    // Once a later event is delivered, what the history says has been applied.
    stage.world.feed(&[entry(user(1), 2, order(1), 2)]).await;
    stage.receiver.reached(2).await;
    stage.clock.advance(5);
    let hits = stage.receiver.reached(3).await;
    assert_eq!(hits[2].header("webhook-id"), hits[0].header("webhook-id"), "the retry");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_off_in_the_end_is_owed_nothing() {
    let mut stage = Stage::new().await;
    let running = stage.run();
    stage.register_here("hook").await;
    stage.receiver.answer(500, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.attempted("hook", 1).await;
    stage.world.shutdown.cancel();
    running.await.unwrap().unwrap();
    let on = stage.endpoint("hook", &format!("http://{}/hook", stage.address));
    stage.register(&WebhookEndpoint { enabled: false, ..on }).await;
    stage.world.shutdown = CancellationToken::new();
    let _again = stage.run();
    let failed = || async { stage.deliveries("hook").await[0].status == DeliveryStatus::Failed };
    eventually("the retry is given up", failed).await;
    assert_eq!(stage.receiver.hits().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_stands_by_until_the_first_is_gone() {
    let Some(world) = World::on_postgres().await else { return };
    let stage = Stage::on(world).await;
    let settings = |owner: &str| WebhookSettings {
        owner: owner.to_owned(),
        poll: Duration::from_millis(20),
        ..stage.settings(&[&stage.address])
    };
    let stop_first = stage.world.shutdown.child_token();
    let first = stage.run_until(settings("first"), stop_first.clone());
    stage.register_here("hook").await;
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.receiver.reached(1).await;
    let second = stage.run_until(settings("second"), stage.world.shutdown.child_token());
    assert!(stage.world.database.hold("webhooks").await.unwrap().is_none(), "the first has it");
    for version in 2..=20 {
        stage.world.feed(&[entry(user(1), version, order(1), version)]).await;
    }
    let delivered = || async {
        let rows = stage.deliveries("hook").await;
        rows.len() == 20 && rows.iter().all(|row| row.status == DeliveryStatus::Delivered)
    };
    eventually("all delivered", delivered).await;
    assert_eq!(stage.receiver.hits().len(), 20, "each once, by one or the other");
    stop_first.cancel();
    first.await.unwrap().unwrap();
    stage.world.feed(&[entry(user(1), 21, order(1), 21)]).await;
    stage.receiver.reached(21).await;
    stage.world.shutdown.cancel();
    second.await.unwrap().unwrap();
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_targets_are_never_connected_to() {
    let stage = Stage::new().await;
    let _running = stage.run_with(stage.settings(&[]));
    let port = stage.address.rsplit(':').next().unwrap().to_owned();
    let hosts =
        ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "localhost.localdomain."];
    for (n, host) in hosts.into_iter().enumerate() {
        stage
            .register(&stage.endpoint(&format!("hook-{n}"), &format!("http://{host}:{port}/")))
            .await;
    }
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    for n in 0..hosts.len() {
        let row = stage.attempted(&format!("hook-{n}"), 1).await;
        assert_eq!(
            (row.attempts[0].status_code, row.status),
            (None, DeliveryStatus::Pending),
            "{row:?}"
        );
        assert!(row.attempts[0].error.is_some());
    }
    assert!(stage.receiver.hits().is_empty());
}
