//! The sink over the embedded log: everything arrives once, whatever happens.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use common::{PATIENCE, World, entries, entry, eventually, order, user};
use egress::EgressError;
use egress::sink::{CONSUMER, rebuild};
use schemas::messages::{Product, StockLevel};
use schemas::{Money, Sku, topics};

fn product(n: i64) -> Product {
    Product {
        product_id: Sku::new("prod-1"),
        name: "Mug".to_owned(),
        price: Money { minor: 2999, currency: "USD".parse().unwrap() },
        version: n,
        command_id: format!("command-{n}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_numbers_and_timeline_follow_the_log() {
    let world = World::new().await;
    let _sink = world.sink();
    world.feed_and_apply(&entries(user(1), order(1), 1, 7)).await;
    let row = world.database.order(order(1)).await.unwrap().unwrap();
    assert_eq!((row.version, row.status.as_str(), row.user_id), (7, "delivered", user(1)));
    let document: serde_json::Value = serde_json::from_str(&row.document).unwrap();
    assert_eq!(document["total_amount"].to_string(), "59.98");
    assert!(!row.document.contains("pm_card_ok"), "payment tokens don't leave");
    let timeline = world.database.timeline(order(1)).await.unwrap();
    let names: Vec<_> = timeline.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(names[3], "order.paid");
    assert_eq!(names.len(), 7);
    let snapshot = world.database.feed_snapshot(user(1), 10).await.unwrap();
    assert_eq!((snapshot.number, snapshot.orders), (7, vec![row]));
}

#[tokio::test(flavor = "multi_thread")]
async fn products_and_stock_are_awaited_by_request() {
    let world = World::new().await;
    let _sink = world.sink();
    let mut first = world.database.applied().watch_request("command-1");
    let mut stocked = world.database.applied().watch_request("stock-1");
    let level = StockLevel {
        warehouse: "main".to_owned(),
        product_id: Sku::new("prod-1"),
        on_hand: 5,
        held: 1,
        version: 1,
        request_id: "stock-1".to_owned(),
    };
    world.append(&topics::PRODUCTS, "prod-1", &product(1)).await;
    world.append(&topics::PRODUCTS, "prod-1", &product(2)).await;
    world.append(&topics::STOCK_LEVELS, "main/prod-1", &level).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    first.applied(deadline).await.expect("superseded in the same batch, still told");
    stocked.applied(deadline).await.unwrap();
    let known = async || {
        world
            .database
            .product(&Sku::new("prod-1"))
            .await
            .unwrap()
            .is_some_and(|row| row.version == 2)
    };
    eventually("the second version", known).await;
    assert_eq!(world.database.product(&Sku::new("prod-1")).await.unwrap().unwrap().available(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_nobody_can_read_is_set_aside_and_nothing_stops() {
    let world = World::new().await;
    let _sink = world.sink();
    let key = user(1).to_string();
    world.append_raw(topics::USER_FEED.name(), &key, Some(b"not avro")).await;
    world.feed_and_apply(&[entry(user(1), 1, order(1), 1)]).await;
    let set_aside = world.database.unreadable(CONSUMER).await.unwrap();
    assert_eq!(set_aside.len(), 1);
    assert_eq!((set_aside[0].0.as_str(), set_aside[0].2), ("user_feed", 0));
    let admin = world.log.admin().unwrap();
    let places: Vec<_> = (0..3).map(|n| log::TopicPartition::new("dead_letters", n)).collect();
    let ends = admin.end_offsets(&places, log::Isolation::ReadUncommitted).unwrap();
    assert_eq!(ends.iter().sum::<i64>(), 1, "its bytes are on dead_letters");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_share_the_work_and_each_range_is_applied_once() {
    let world = World::new().await;
    let _first = world.sink();
    let _second = world.sink();
    for n in 1..=20_u128 {
        world.feed_and_apply(&entries(user(n), order(n), 1, 7)).await;
    }
    for n in 1..=20_u128 {
        assert_eq!(world.database.timeline(order(n)).await.unwrap().len(), 7);
        assert_eq!(world.database.feed_number(user(n)).await.unwrap(), 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_stopped_goes_on_where_it_was() {
    let mut world = World::new().await;
    for round in 0..5 {
        let sink = world.sink();
        world.feed_and_apply(&entries(user(1), order(1), round * 3 + 1, round * 3 + 3)).await;
        world.shutdown.cancel();
        sink.await.unwrap().unwrap();
        world.shutdown = tokio_util::sync::CancellationToken::new();
    }
    assert_eq!(world.database.timeline(order(1)).await.unwrap().len(), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_refused_until_rebuilt() {
    let (world, other) = (World::new().await, World::new().await);
    let sink = world.sink();
    world.feed_and_apply(&[entry(user(1), 1, order(1), 1)]).await;
    world.shutdown.cancel();
    sink.await.unwrap().unwrap();

    let mixed = || {
        let (log, database, codecs) =
            (other.log.clone(), world.database.clone(), other.codecs.clone());
        let settings = egress::sink::SinkSettings::default();
        tokio::spawn(egress::sink::run_sink(
            log,
            database,
            codecs,
            settings,
            other.shutdown.clone(),
        ))
    };
    let refused = mixed().await.unwrap().unwrap_err();
    assert!(matches!(refused, EgressError::Foreign { .. }), "{refused}");
    assert!(refused.to_string().contains("orders sink rebuild"), "{refused}");

    rebuild(&world.database).await.unwrap();
    assert!(world.database.order(order(1)).await.unwrap().is_none());
    let mut watch = world.database.applied().watch_order(order(2));
    let _sink = mixed();
    other.feed(&[entry(user(2), 1, order(2), 1)]).await;
    watch.reached(1, tokio::time::Instant::now() + PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_has_the_orders_and_timelines_that_left_the_feed() {
    let world = World::new().await;
    let old = entries(user(1), order(1), 1, 7);
    for entry in &old {
        let (key, event) = (order(1).to_string(), &entry.event);
        world.append(&topics::ORDER_EVENTS, &key, event).await;
        world.append(&topics::ORDERS, &key, &event.order).await;
    }
    world.feed(&old).await;
    let admin = world.log.admin().unwrap();
    let places: Vec<_> = (0..3).map(|n| log::TopicPartition::new("user_feed", n)).collect();
    let ends = admin.end_offsets(&places, log::Isolation::ReadCommitted).unwrap();
    admin.delete_records(&places.into_iter().zip(ends).collect::<Vec<_>>()).unwrap();

    let _sink = world.sink();
    world.feed_and_apply(&[entry(user(1), 8, order(2), 1)]).await;
    let row = world.database.order(order(1)).await.unwrap().unwrap();
    assert_eq!((row.version, row.status.as_str()), (7, "delivered"));
    let timeline = world.database.timeline(order(1)).await.unwrap();
    assert_eq!(
        timeline.iter().map(|event| event.version).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(timeline[3].event_type, "order.paid");
}
