//! A table join with everything in the log already: whatever a poll brings
//! first, a record waits for the earlier rows of the other input (KIP-695).

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};
use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings};
use state_stores::{MemoryEngine, StateDir, StateOptions};

const ROWS: usize = 100;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("enrich");
    let names = builder.table("names", &Topic::new("names", Utf8, Utf8));
    builder
        .stream::<str, str>(&Topic::new("clicks", Utf8, Utf8))
        .join("named", &names, |click: &str, name: &str| format!("{click} by {name}"))
        .with_value_serde(Utf8)
        .to(&Topic::new("out", Utf8, Utf8));
    builder.build().unwrap()
}

fn append(log: &EmbeddedLog, topic: &str, timestamp: i64, numbers: impl Iterator<Item = usize>) {
    let appender = log.appender("test").unwrap();
    for number in numbers {
        let key = format!("user-{number}");
        let value = Some(key.as_bytes());
        let record = NewRecord { key: value, value, timestamp, headers: &[] };
        appender.append(topic, Some(0), record, Box::new(|done| assert!(done.is_ok())));
    }
    log.sync().unwrap();
}

fn joined(log: &EmbeddedLog) -> usize {
    let mut reader = log.reader("test", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(TopicPartition::new("out", 0), 0)]).unwrap();
    let mut count = 0;
    while reader.poll(Duration::ZERO, 1_000, &mut |_| count += 1).unwrap() > 0 {}
    count
}

#[test]
fn a_backlog_is_joined_in_the_order_of_its_times() {
    let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
    let now = clock.clone();
    let now: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || now.load(Ordering::SeqCst));
    let options = EmbeddedOptions::simulation(now, 1);
    let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
    let topic = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    let topics = ["clicks", "dead_letters", "names", "out"].map(topic);
    log.admin().unwrap().ensure_topics(&topics).unwrap();
    append(&log, "clicks", 2_000, 0..ROWS);
    // The other way round, so that taking turns doesn't help.
    append(&log, "names", 1_000, (0..ROWS).rev());

    let id = log.admin().unwrap().log_id().unwrap();
    let state = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new(id)).unwrap();
    let settings = WorkerSettings { poll_records_max: 7, ..WorkerSettings::new("here") };
    let mut worker = Worker::new(topology(), log.clone(), state, settings, 1);
    for _ in 0..5_000 {
        worker.step(clock.fetch_add(1, Ordering::SeqCst)).unwrap();
        log.tick().unwrap();
        if joined(&log) == ROWS {
            return;
        }
    }
    panic!("{} of {ROWS} clicks found the name that was there before them", joined(&log));
}
