//! Deliveries survive, are claimed once, and keep their order, on both
//! databases.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use common::{order_id, postgres, sqlite};
use read_model::Database;
use read_model::deliveries::{Attempted, DeliveryChange, DeliveryStatus, NewDelivery, Owed};
use uuid::Uuid;

const READER: &str = "webhooks";

fn new(n: u128, webhook: &str, sequence: i64, ordered: bool) -> DeliveryChange {
    DeliveryChange::Insert(Box::new(NewDelivery {
        delivery_id: Uuid::from_u128(n),
        webhook_id: webhook.to_owned(),
        event_id: format!("event-{n}"),
        event_type: "order.created".to_owned(),
        order_id: Some(order_id(1)),
        sequence,
        ordered,
        body: vec![0, 1, 255],
        traceparent: None,
        created_at: n as i64,
        next_attempt_at: 100,
    }))
}

async fn due(database: &Database, now: i64, except: &[&str]) -> Vec<u128> {
    let except: Vec<String> = except.iter().map(ToString::to_string).collect();
    let mut ids: Vec<u128> = database
        .due_deliveries(now, &except, 10)
        .await
        .unwrap()
        .iter()
        .map(|(id, _)| id.as_u128())
        .collect();
    ids.sort_unstable();
    ids
}

async fn a_delivery_is_claimed_by_one(database: &Database) {
    let changes = [new(1, "a", 1, false), new(1, "a", 1, false), new(2, "b", 1, false)];
    database.apply_deliveries(READER, &[], &changes, &[]).await.unwrap();
    assert!(due(database, 99, &[]).await.is_empty());
    assert_eq!(due(database, 100, &[]).await, [1, 2]);
    assert_eq!(due(database, 100, &["b"]).await, [1]);
    let id = [Uuid::from_u128(1)];
    let (one, two) = tokio::join!(
        database.claim_deliveries(&id, "x", 100, 200),
        database.claim_deliveries(&id, "y", 100, 200)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.len() + two.len(), 1);
    assert_eq!(one.iter().chain(&two).next().unwrap().body, [0, 1, 255]);
    assert_eq!(due(database, 150, &[]).await, [2], "leased");
    assert_eq!(database.next_delivery_due(150).await.unwrap(), Some(200), "the lease's end");
    assert_eq!(due(database, 200, &[]).await, [1, 2], "its holder died");
}

async fn a_result_after_the_lease_was_lost_is_dropped(database: &Database) {
    database.apply_deliveries(READER, &[], &[new(1, "a", 1, false)], &[]).await.unwrap();
    let id = Uuid::from_u128(1);
    database.claim_deliveries(&[id], "x", 100, 200).await.unwrap();
    database.claim_deliveries(&[id], "y", 200, 300).await.unwrap();
    let done = Attempted {
        delivery_id: id,
        attempts: vec![],
        status: DeliveryStatus::Delivered,
        step: 1,
        next_attempt_at: None,
    };
    assert!(!database.record_attempt("x", &done).await.unwrap());
    assert!(database.record_attempt("y", &done).await.unwrap());
    assert_eq!(
        database.delivery("a", id).await.unwrap().unwrap().status,
        DeliveryStatus::Delivered
    );
    assert!(database.delivery("b", id).await.unwrap().is_none(), "another webhook's");
}

async fn an_ordered_endpoint_gets_the_first_pending_only(database: &Database) {
    let changes = [new(1, "a", 1, true), new(2, "a", 2, true), new(3, "b", 2, false)];
    database.apply_deliveries(READER, &[], &changes, &[]).await.unwrap();
    assert_eq!(due(database, 100, &[]).await, [1, 3]);
    database.claim_deliveries(&[Uuid::from_u128(1)], "x", 100, 200).await.unwrap();
    assert_eq!(due(database, 100, &[]).await, [3], "1 is under way");
    let done = Attempted {
        delivery_id: Uuid::from_u128(1),
        attempts: vec![],
        status: DeliveryStatus::Failed,
        step: 8,
        next_attempt_at: None,
    };
    assert!(database.record_attempt("x", &done).await.unwrap());
    assert_eq!(due(database, 100, &[]).await, [2, 3]);
}

async fn retry_recover_and_give_up(database: &Database) {
    database
        .apply_deliveries(READER, &[], &[new(1, "a", 1, false), new(2, "a", 2, false)], &[])
        .await
        .unwrap();
    let change = |change| async move {
        database.apply_deliveries(READER, &[], &[change], &[]).await.unwrap()
    };
    change(DeliveryChange::GiveUp { webhook_id: "a".to_owned() }).await;
    assert!(due(database, 1_000, &[]).await.is_empty());
    change(DeliveryChange::Recover { webhook_id: "a".to_owned(), since: 2, now: 500 }).await;
    assert_eq!(due(database, 1_000, &[]).await, [2]);
    let retry = DeliveryChange::Retry {
        webhook_id: "a".to_owned(),
        delivery_id: Uuid::from_u128(1),
        now: 600,
    };
    change(retry).await;
    assert_eq!(due(database, 1_000, &[]).await, [1, 2]);
    let list = database.deliveries("a", None, 10).await.unwrap();
    assert_eq!(list.iter().map(|row| row.created_at).collect::<Vec<_>>(), [2, 1], "newest first");
    assert_eq!(database.prune_deliveries(1_000, 10).await.unwrap(), 0, "pending ones stay");
    let rest = database
        .deliveries("a", Some((list[0].created_at, list[0].delivery_id)), 10)
        .await
        .unwrap();
    assert_eq!(rest, list[1..]);
}

async fn what_is_owed_is_counted_over_all_webhooks(database: &Database) {
    assert_eq!(database.owed_deliveries().await.unwrap(), Owed::default());
    let changes = [new(3, "b", 1, false), new(1, "a", 1, false), new(2, "a", 2, false)];
    database.apply_deliveries(READER, &[], &changes, &[]).await.unwrap();
    let owed = |deliveries, oldest| Owed { deliveries, oldest };
    assert_eq!(database.owed_deliveries().await.unwrap(), owed(3, Some(1)));
    let gone = [DeliveryChange::GiveUp { webhook_id: "a".to_owned() }];
    database.apply_deliveries(READER, &[], &gone, &[]).await.unwrap();
    assert_eq!(database.owed_deliveries().await.unwrap(), owed(1, Some(3)));
    assert_eq!(database.prune_deliveries(2, 10).await.unwrap(), 1, "settled and made before 2");
}

macro_rules! on_both {
    ($($check:ident),* $(,)?) => {
        mod on_sqlite { $(#[tokio::test] async fn $check() { super::$check(&super::sqlite().await.database).await; })* }
        mod on_postgres {
            $(#[tokio::test] async fn $check() {
                if let Some(scratch) = super::postgres().await {
                    super::$check(&scratch.database).await;
                    scratch.end().await;
                }
            })*
        }
    };
}

on_both!(
    a_delivery_is_claimed_by_one,
    a_result_after_the_lease_was_lost_is_dropped,
    an_ordered_endpoint_gets_the_first_pending_only,
    retry_recover_and_give_up,
    what_is_owed_is_counted_over_all_webhooks,
);
