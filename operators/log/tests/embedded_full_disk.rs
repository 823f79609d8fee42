//! A disk without room: the log stops and says where and what to do; once there is room it goes on, with all that it had
//! acknowledged and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../../../state-stores/tests/torn/mod.rs"]
mod torn;

use std::sync::Arc;
use std::time::Duration;

use common::record;
use operators_log::embedded::{EmbeddedLog, EmbeddedOptions};
use operators_log::{Cleanup, Isolation, Log, LogError, TopicPartition, TopicSpec, Visibility};
use state_stores::{Crash, Engine};
use torn::TornEngine;

fn open(engine: &Arc<TornEngine>) -> EmbeddedLog {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    EmbeddedLog::open(engine, EmbeddedOptions::simulation(Arc::new(|| 1_000), 7)).unwrap()
}

fn commit(log: &EmbeddedLog, value: &str) -> Result<(), LogError> {
    let mut producer = log.txn_producer("p", "txn")?;
    producer.init()?;
    producer.begin()?;
    producer.send("t", 0, record("k", Some(value)))?;
    producer.commit()
}

fn values(log: &EmbeddedLog) -> Vec<String> {
    let mut reader = log.reader("r", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(TopicPartition::new("t", 0), 0)]).unwrap();
    let mut values = Vec::new();
    let mut take = |record: operators_log::ConsumedRecord<'_>| {
        values.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
    };
    while reader.poll(Duration::ZERO, 10, &mut take).unwrap() > 0 {}
    values
}

#[test]
fn a_log_without_room_stops_and_goes_on_when_there_is_some() {
    let engine = Arc::new(TornEngine::default());
    let log = open(&engine);
    let spec =
        TopicSpec { name: "t".into(), partitions: 1, replication: 1, cleanup: Cleanup::Keep };
    log.admin().unwrap().ensure_topics(&[spec]).unwrap();
    commit(&log, "before").unwrap();

    engine.fail_after(Some(0), 0);
    let full = commit(&log, "without room").unwrap_err();
    let LogError::Fatal(text) = &full else { panic!("{full:?}") };
    assert!(text.contains("/the/folder") && text.contains("make room"), "{text}");
    // Room alone doesn't help a log that doesn't know what it has written.
    engine.fail_after(None, 0);
    let stopped = commit(&log, "too late").unwrap_err();
    assert_eq!(stopped.to_string(), full.to_string(), "it says so again");

    log.crash();
    drop(log);
    engine.behind.crash(Crash::Process);
    let log = open(&engine);
    assert_eq!(values(&log), ["before"]);
    commit(&log, "after").unwrap();
    assert_eq!(values(&log), ["before", "after"]);
}
