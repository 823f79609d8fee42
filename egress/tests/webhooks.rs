//! The webhook contract (`contract.md` §3) against a receiver, with a clock
//! moved by hand.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/stage.rs"]
mod stage;

use std::time::Duration;

use common::{entries, entry, eventually, order, user};
use egress::webhooks::signature::{Secret, verify};
use read_model::deliveries::DeliveryStatus;
use read_model::webhook_target::TargetPolicy;
use schemas::messages::{WebhookCommandKind, WebhookEndpoint};
use stage::{OLD_SECRET, Receiver, SECRET, START, Stage};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_by_every_secret() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    stage.world.feed(&[entry(user(2), 1, order(2), 1), entry(user(1), 1, order(1), 4)]).await;
    let hits = stage.receiver.reached(1).await;
    let hit = &hits[0];
    let body = hit.json();
    assert_eq!((&body["type"], &body["sequence"]), (&"order.paid".into(), &4.into()));
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20.000004Z");
    assert_eq!(body["data"]["total_amount"].to_string(), "59.98");
    assert_eq!(hit.header("x-shop"), "7");
    let (id, at) = (hit.header("webhook-id"), hit.header("webhook-timestamp"));
    assert_eq!(at, (START / 1_000_000).to_string());
    for secret in [SECRET, OLD_SECRET] {
        let secret = Secret::parse(secret).unwrap();
        verify(&secret, id, at, hit.header("webhook-signature"), &hit.body, START / 1_000_000)
            .unwrap();
    }
    let done = stage.attempted("hook", 1).await;
    assert_eq!(
        (done.status, done.delivery_id.to_string().as_str()),
        (DeliveryStatus::Delivered, id)
    );
    assert_eq!((done.attempts[0].status_code, done.next_attempt_at), (Some(204), None));
    assert_eq!(
        stage.deliveries("hook").await.len(),
        1,
        "the other user's event is not this endpoint's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_follow_the_schedule_with_the_same_id_and_bytes() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    for (status, header, value) in
        [(500, "", ""), (302, "location", "http://127.0.0.1:1/"), (429, "retry-after", "1000")]
    {
        stage.receiver.answer(status, header, value);
    }
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.receiver.reached(1).await;
    let first = stage.attempted("hook", 1).await;
    assert_eq!(first.next_attempt_at, Some(START + 5_000_000), "5 s after the first failure");
    stage.clock.advance(5);
    let second = stage.attempted("hook", 2).await;
    assert_eq!(second.attempts[1].error.as_deref(), Some("redirects are not followed"));
    assert_eq!(second.next_attempt_at, Some(START + 305_000_000));
    stage.clock.advance(300);
    let third = stage.attempted("hook", 3).await;
    assert_eq!(
        third.next_attempt_at,
        Some(START + 305_000_000 + 1_800_000_000),
        "the schedule is later than Retry-After"
    );
    stage.clock.advance(1_800);
    let fourth = stage.attempted("hook", 4).await;
    assert_eq!((fourth.status, fourth.attempts.len()), (DeliveryStatus::Delivered, 4));
    let hits = stage.receiver.hits();
    assert_eq!(hits.len(), 4);
    for hit in &hits[1..] {
        assert_eq!(
            (hit.header("webhook-id"), &hit.body),
            (hits[0].header("webhook-id"), &hits[0].body)
        );
        assert_ne!(hit.header("webhook-timestamp"), hits[0].header("webhook-timestamp"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_and_the_last_failure_is_final() {
    let stage = Stage::new().await;
    let mut settings = stage.settings(&[&stage.address]);
    settings.schedule = egress::webhooks::Schedule::parse("0,5").unwrap();
    let _running = stage.run_with(settings);
    stage.register_here("hook").await;
    stage.receiver.answer(503, "retry-after", "60");
    stage.receiver.answer(500, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    let first = stage.attempted("hook", 1).await;
    assert_eq!(first.next_attempt_at, Some(START + 60_000_000));
    stage.clock.advance(60);
    let second = stage.attempted("hook", 2).await;
    assert_eq!((second.status, second.next_attempt_at), (DeliveryStatus::Failed, None));

    let failed = second.delivery_id.to_string();
    stage.command(1, WebhookCommandKind::Recover, None, Some(START)).await;
    let third = stage.attempted("hook", 3).await;
    assert_eq!(third.status, DeliveryStatus::Delivered);
    stage.command(2, WebhookCommandKind::Retry, Some(failed.clone()), None).await;
    stage.attempted("hook", 4).await;
    assert!(stage.receiver.hits().iter().all(|hit| hit.header("webhook-id") == failed), "one id");
    stage.command(3, WebhookCommandKind::Test, None, None).await;
    let hits = stage.receiver.reached(5).await;
    assert_eq!(hits[4].json()["type"], "webhook.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_owed_when_the_process_died_is_sent_by_the_next() {
    let mut stage = Stage::new().await;
    let mut settings = stage.settings(&[&stage.address]);
    settings.drain = Duration::ZERO;
    let hold = CancellationToken::new();
    let (held, address) =
        Receiver { hold: Some(hold.clone()), ..Receiver::default() }.start().await;
    settings.targets = TargetPolicy::parse(&address).unwrap();
    let running = stage.run_with(settings.clone());
    stage.register(&stage.endpoint("hook", &format!("http://{address}/"))).await;
    stage.world.feed(&entries(user(1), order(1), 1, 3)).await;
    held.reached(3).await;
    // Sent, not answered, not noted: as good as killed.
    stage.world.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(stage.deliveries("hook").await.iter().all(|row| row.status == DeliveryStatus::Pending));
    hold.cancel();
    stage.world.shutdown = CancellationToken::new();
    let _again = stage.run_with(settings);
    let all = || async {
        stage.deliveries("hook").await.iter().all(|row| row.status == DeliveryStatus::Delivered)
    };
    eventually("all three delivered", all).await;
    let hits = held.hits();
    assert_eq!(hits.len(), 6);
    let ids: std::collections::BTreeSet<_> =
        hits.iter().map(|hit| hit.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 3, "repeated with the same ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_does_not_hold_up_a_healthy_one() {
    let stage = Stage::new().await;
    let (hole, address) =
        Receiver { hold: Some(CancellationToken::new()), ..Receiver::default() }.start().await;
    let mut settings = stage.settings(&[&stage.address, &address]);
    settings.per_endpoint = 2;
    settings.concurrency = 4;
    let _running = stage.run_with(settings);
    stage.register(&stage.endpoint("hole", &format!("http://{address}/"))).await;
    stage.register_here("hook").await;
    stage.world.feed(&entries(user(1), order(1), 1, 200)).await;
    stage.receiver.reached(200).await;
    assert_eq!(hole.hits().len(), 2, "as many as it has slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_endpoint_gets_each_order_in_sequence() {
    let stage = Stage::new().await;
    let _running = stage.run();
    let ordered = WebhookEndpoint {
        ordered: true,
        ..stage.endpoint("hook", &format!("http://{}/", stage.address))
    };
    stage.register(&ordered).await;
    stage.receiver.answer(500, "", "");
    stage.world.feed(&entries(user(1), order(1), 1, 5)).await;
    stage.receiver.reached(1).await;
    let refused =
        || async { stage.deliveries("hook").await.iter().any(|row| row.attempts.len() == 1) };
    eventually("the first attempt is noted", refused).await;
    stage.world.feed(&[entry(user(1), 6, order(2), 1)]).await;
    let hits = stage.receiver.reached(2).await;
    assert_eq!(hits[1].json()["data"]["order_id"], order(2).to_string(), "another order flows on");
    stage.clock.advance(5);
    let hits = stage.receiver.reached(7).await;
    let sequence: Vec<_> =
        hits[2..].iter().map(|hit| hit.json()["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_comes_without_its_items() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    let mut large = entry(user(1), 1, order(1), 1);
    let line = large.event.order.items[0].clone();
    large.event.order.items = (0..1_000)
        .map(|n| schemas::messages::Line { line_id: n.to_string(), ..line.clone() })
        .collect();
    stage.world.feed(&[large]).await;
    let hits = stage.receiver.reached(1).await;
    assert!(hits[0].body.len() <= 20_000);
    let data = &hits[0].json()["data"];
    assert_eq!((data.get("items"), &data["items_truncated"]), (None, &true.into()));
}
