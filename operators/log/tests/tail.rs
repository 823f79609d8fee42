//! The tail: nothing missed, nothing read far ahead, ends when told to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use operators_log::embedded::EmbeddedLog;
use operators_log::{
    AppendExt, Cleanup, Log, LogError, NewRecord, Tail, TailBatch, TailFrom, TailOptions,
    TopicPartition, TopicSpec,
};

fn log() -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::in_memory().unwrap();
    let topic = |name: &str| TopicSpec {
        name: name.into(),
        partitions: 2,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    log.admin().unwrap().ensure_topics(&[topic("a"), topic("b")]).unwrap();
    Arc::new(log)
}

async fn append(log: &EmbeddedLog, topic: &str, partition: u32, value: &str) {
    let headers: [(&str, &[u8]); 1] = [("kind", b"test")];
    let record = NewRecord {
        key: Some(b"k"),
        value: Some(value.as_bytes()),
        timestamp: 1,
        headers: &headers,
    };
    log.appender("test").unwrap().appended(topic, Some(partition), record).await.unwrap();
}

async fn next(tail: &mut Tail) -> TailBatch {
    let waited = tokio::time::timeout(Duration::from_secs(30), tail.next()).await;
    waited.expect("a batch in time").expect("the tail runs").unwrap()
}

/// Takes batches until `count` records are there.
async fn records(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let batch = next(tail).await;
        found.extend(
            batch
                .records
                .iter()
                .map(|record| String::from_utf8_lossy(record.value.as_ref().unwrap()).into_owned()),
        );
    }
    found
}

#[tokio::test]
async fn an_empty_log_is_caught_up_at_once() {
    let log = log();
    let mut tail =
        Tail::start(log.as_ref(), &TailOptions::new("t", &["a"], TailFrom::Start)).unwrap();
    let batch = next(&mut tail).await;
    assert!(batch.records.is_empty() && batch.caught_up);
    append(&log, "a", 1, "x").await;
    let batch = next(&mut tail).await;
    assert_eq!(batch.records[0].header("kind"), Some(&b"test"[..]));
    assert_eq!(batch.positions, [(TopicPartition::new("a", 1), 1)]);
    tail.stop().await;
}

#[tokio::test]
async fn each_beginning_gives_what_is_due() {
    let log = log();
    for (topic, partition, value) in [("a", 0, "a0"), ("a", 1, "a1"), ("b", 0, "b0")] {
        append(&log, topic, partition, value).await;
    }
    let mut all =
        Tail::start(log.as_ref(), &TailOptions::new("t", &["a", "b"], TailFrom::Start)).unwrap();
    let mut found = records(&mut all, 3).await;
    found.sort();
    assert_eq!(found, ["a0", "a1", "b0"]);
    let from = TailFrom::Positions(vec![
        (TopicPartition::new("a", 0), 1),
        (TopicPartition::new("b", 0), 1),
    ]);
    let mut some = Tail::start(log.as_ref(), &TailOptions::new("t", &["a", "b"], from)).unwrap();
    assert_eq!(records(&mut some, 1).await, ["a1"]);
    let mut new = Tail::start(log.as_ref(), &TailOptions::new("t", &["a"], TailFrom::End)).unwrap();
    append(&log, "a", 0, "new").await;
    assert_eq!(records(&mut new, 1).await, ["new"]);
}

#[tokio::test]
async fn a_slow_reader_holds_the_thread_back_and_loses_nothing() {
    let log = log();
    let options = TailOptions {
        batch_records: 1,
        capacity: 1,
        ..TailOptions::new("t", &["a"], TailFrom::Start)
    };
    let values: Vec<String> = (0..50).map(|index| index.to_string()).collect();
    for value in &values {
        append(&log, "a", 0, value).await;
    }
    let mut tail = Tail::start(log.as_ref(), &options).unwrap();
    assert_eq!(records(&mut tail, 50).await, values);
}

#[tokio::test]
async fn stopping_ends_a_thread_that_waits_for_records_or_for_room() {
    let log = log();
    let idle =
        Tail::start(log.as_ref(), &TailOptions::new("idle", &["a"], TailFrom::Start)).unwrap();
    let options = TailOptions {
        batch_records: 1,
        capacity: 1,
        ..TailOptions::new("full", &["b"], TailFrom::Start)
    };
    for _ in 0..5 {
        append(&log, "b", 0, "x").await;
    }
    let full = Tail::start(log.as_ref(), &options).unwrap();
    let both = async { (idle.stop().await, full.stop().await) };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("both end without a record arriving");
}

#[tokio::test]
async fn a_log_that_ends_is_the_last_item() {
    let log = log();
    let mut tail =
        Tail::start(log.as_ref(), &TailOptions::new("t", &["a"], TailFrom::Start)).unwrap();
    next(&mut tail).await;
    log.crash();
    let last = tokio::time::timeout(Duration::from_secs(20), tail.next()).await.expect("in time");
    assert!(matches!(last, Some(Err(LogError::Fatal(_)))), "{last:?}");
    assert!(tail.next().await.is_none());
}

#[test]
fn an_unknown_topic_is_named() {
    let refused = Tail::start(log().as_ref(), &TailOptions::new("t", &["missing"], TailFrom::End))
        .unwrap_err();
    assert!(refused.to_string().contains("missing"));
}
