//! Waiters in one process, the sink in another: Postgres tells.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use std::time::Duration;

use common::{Scratch, batch, entry, order_id, postgres, user};
use read_model::{Database, DatabaseOptions};
use tokio::time::Instant;

async fn other_process(scratch: &Scratch) -> Database {
    Database::connect(&scratch.url, &DatabaseOptions::default()).await.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_elsewhere_wakes_the_waiters_here() {
    let Some(scratch) = postgres().await else { return };
    let ingress = other_process(&scratch).await;
    let (early, late) = (order_id(1), order_id(2));

    // Applied after the waiter registered and before anybody listened: the
    // one query at the start finds it.
    let mut first = ingress.applied().watch_order(early);
    scratch
        .database
        .apply("s", &[], &batch(&[entry(user(1), 1, early, 1, "pending")]), &[])
        .await
        .unwrap();
    assert_eq!(first.seen(), 0, "another process's memory");
    let listening = {
        let ingress = ingress.clone();
        tokio::spawn(async move { read_model::listen(&ingress).await })
    };
    assert_eq!(first.reached(1, soon()).await, Ok(1));

    // From here on each commit is told.
    for version in 1..=3 {
        let mut second = ingress.applied().watch_order(late);
        let rows = batch(&[entry(user(1), version + 1, late, version, "pending")]);
        scratch.database.apply("s", &[], &rows, &[]).await.unwrap();
        assert_eq!(second.reached(version, soon()).await, Ok(version));
    }
    listening.abort();
    ingress.close().await;
    scratch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_holds_a_role_until_it_is_gone() {
    let Some(scratch) = postgres().await else { return };
    let other = other_process(&scratch).await;
    let held = scratch.database.hold("role").await.unwrap();
    assert!(held.is_some() && other.hold("another").await.unwrap().is_some());
    assert!(other.hold("role").await.unwrap().is_none());
    drop(held);
    let deadline = soon();
    while other.hold("role").await.unwrap().is_none() {
        assert!(Instant::now() < deadline, "the role is never free");
    }
    other.close().await;
    scratch.end().await;
}
