//! Each range of the log is applied once, whoever writes it and whenever it
//! dies, on both databases.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use common::{batch, entry, order_id, postgres, sqlite, user};
use read_model::{
    Database, OrderFilter, OrderPage, Progress, ReadModelError, StoredOffset, Unreadable,
};

const SINK: &str = "sql-sink";

fn at(next_offset: i64) -> StoredOffset {
    StoredOffset {
        topic: "user_feed".to_owned(),
        partition: 0,
        log_id: "log-1".to_owned(),
        topic_id: "topic-1".to_owned(),
        next_offset,
    }
}

async fn a_range_is_applied_once(database: &Database) {
    database.begin_at(SINK, &[at(0)]).await.unwrap();
    let first = [
        entry(user(1), 1, order_id(1), 1, "pending"),
        entry(user(1), 2, order_id(1), 2, "validated"),
    ];
    let step = [Progress { from: at(0), next: 2 }];
    let mut watch = database.applied().watch_order(order_id(1));
    database.apply(SINK, &step, &batch(&first), &[]).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    assert_eq!(watch.reached(2, deadline).await, Ok(2));

    // Killed after the commit and before it knew: the same range again.
    let again = database.apply(SINK, &step, &batch(&first), &[]).await.unwrap_err();
    assert!(matches!(again, ReadModelError::Fenced { expected: 0, .. }), "{again}");
    assert_eq!(database.offsets(SINK).await.unwrap(), [at(2)]);
    let row = database.order(order_id(1)).await.unwrap().unwrap();
    assert_eq!((row.version, row.position.arrival), (2, 1));
    assert!(row.document.contains("59.98"), "{}", row.document);
    let timeline = database.timeline(order_id(1)).await.unwrap();
    assert_eq!(timeline.iter().map(|entry| entry.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(timeline[0].occurred_at, 1_700_000_000_000_001);
}

async fn of_two_writers_one_wins(database: &Database) {
    database.begin_at(SINK, &[at(10)]).await.unwrap();
    let step = [Progress { from: at(10), next: 11 }];
    let (left, right) = (
        [entry(user(2), 1, order_id(2), 1, "pending")],
        [entry(user(2), 1, order_id(3), 1, "pending")],
    );
    let (left_batch, right_batch) = (batch(&left), batch(&right));
    let (a, b) = tokio::join!(
        database.apply(SINK, &step, &left_batch, &[]),
        database.apply(SINK, &step, &right_batch, &[])
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
    let orders =
        [database.order(order_id(2)).await.unwrap(), database.order(order_id(3)).await.unwrap()];
    assert_eq!(orders.iter().flatten().count(), 1, "the loser left rows behind");
}

async fn another_log_is_fenced(database: &Database) {
    database.begin_at(SINK, &[at(5)]).await.unwrap();
    let foreign = StoredOffset { log_id: "log-2".to_owned(), ..at(5) };
    let step = [Progress { from: foreign, next: 6 }];
    let refused = database.apply(SINK, &step, &batch(&[]), &[]).await.unwrap_err();
    assert!(matches!(refused, ReadModelError::Fenced { .. }));
}

async fn rebuild_forgets_rows_and_offsets(database: &Database) {
    database.begin_at(SINK, &[at(0)]).await.unwrap();
    let bad = Unreadable {
        topic: "user_feed".to_owned(),
        partition: 0,
        offset: 1,
        reason: "not avro".to_owned(),
    };
    let rows = [entry(user(1), 1, order_id(1), 1, "pending")];
    database
        .apply(SINK, &[Progress { from: at(0), next: 2 }], &batch(&rows), &[bad])
        .await
        .unwrap();
    assert_eq!(database.unreadable(SINK).await.unwrap().len(), 1);
    database.reset_projections(SINK).await.unwrap();
    assert!(database.offsets(SINK).await.unwrap().is_empty());
    assert!(database.order(order_id(1)).await.unwrap().is_none());
    assert_eq!(database.feed_number(user(1)).await.unwrap(), 0);
}

async fn lists_are_newest_first_and_pages_fit(database: &Database) {
    database.begin_at(SINK, &[at(0)]).await.unwrap();
    let rows: Vec<_> =
        (1..=5).map(|n| entry(user(7), n, order_id(n as u128), 1, "pending")).collect();
    database.apply(SINK, &[Progress { from: at(0), next: 5 }], &batch(&rows), &[]).await.unwrap();
    let filter = OrderFilter { user_id: Some(user(7)), ..OrderFilter::default() };
    let all = database.orders(&filter, OrderPage::Skip { skip: 0, limit: 10 }).await.unwrap();
    let arrivals: Vec<_> = all.iter().map(|row| row.position.arrival).collect();
    assert_eq!(arrivals, [5, 4, 3, 2, 1], "equal times: by arrival");
    let after = OrderPage::After { position: Some(all[1].position), limit: 2 };
    assert_eq!(database.orders(&filter, after).await.unwrap(), all[2..4]);
    let skipped = database.orders(&filter, OrderPage::Skip { skip: 3, limit: 1 }).await.unwrap();
    assert_eq!(skipped, all[3..4]);

    let created = all[0].position.created_at;
    let count = async |filter: OrderFilter| {
        database.orders(&filter, OrderPage::Skip { skip: 0, limit: 10 }).await.unwrap().len()
    };
    assert_eq!(
        count(OrderFilter { created_after: Some(created), ..filter.clone() }).await,
        5,
        "inclusive"
    );
    assert_eq!(
        count(OrderFilter { created_before: Some(created), ..filter.clone() }).await,
        0,
        "exclusive"
    );
    let statuses = vec![schemas::messages::OrderStatus::Paid];
    assert_eq!(count(OrderFilter { statuses, ..filter.clone() }).await, 0);
    let later = schemas::Micros(created.0 + 1_000_000);
    assert_eq!(count(OrderFilter { stuck_since: Some(later), ..filter.clone() }).await, 5);

    let snapshot = database.feed_snapshot(user(7), 3).await.unwrap();
    assert_eq!((snapshot.number, snapshot.orders.len()), (5, 3));
}

async fn products_show_their_stock(database: &Database) {
    database.begin_at(SINK, &[at(0)]).await.unwrap();
    let mut rows = batch(&[]);
    let product = serde_json::from_value(serde_json::json!({
        "product_id": "prod-1", "name": "Mug", "price": {"minor": 2999, "currency": "USD"}, "version": 1, "command_id": "c1"
    }));
    rows.product("prod-1", Some(product.unwrap()));
    for (warehouse, on_hand) in [("main", 5), ("west", 7)] {
        let level = serde_json::json!({
            "warehouse": warehouse, "product_id": "prod-1", "on_hand": on_hand, "held": 2, "version": 1, "request_id": warehouse
        });
        rows.stock_level(
            &format!("{warehouse}/prod-1"),
            Some(serde_json::from_value(level).unwrap()),
        );
    }
    let mut watch = database.applied().watch_request("c1");
    database.apply(SINK, &[Progress { from: at(0), next: 1 }], &rows, &[]).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    watch.applied(deadline).await.unwrap();
    let product = database.product(&schemas::Sku::new("prod-1")).await.unwrap().unwrap();
    assert_eq!(
        (product.on_hand, product.held, product.available(), product.price.minor),
        (12, 4, 8, 2999)
    );
    assert_eq!(database.products(None, 10).await.unwrap(), std::slice::from_ref(&product));
    assert!(database.products(Some(&product.product_id), 10).await.unwrap().is_empty());
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
    a_range_is_applied_once,
    of_two_writers_one_wins,
    another_log_is_fenced,
    rebuild_forgets_rows_and_offsets,
    lists_are_newest_first_and_pages_fit,
    products_show_their_stock,
);

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let scratch = sqlite().await;
    scratch.database.migrate().await.unwrap();
    if let Some(scratch) = postgres().await {
        let (a, b) = tokio::join!(scratch.database.migrate(), scratch.database.migrate());
        a.unwrap();
        b.unwrap();
        scratch.end().await;
    }
}
