//! A worker on a thread of its own.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Log, NewRecord, TopicSpec};
use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerError, WorkerSettings, spawn};
use state_stores::{MemoryEngine, StateDir, StateOptions};

fn log_with_topics() -> Arc<dyn Log> {
    let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(|| 1_700_000_000_000);
    let engine = Arc::new(MemoryEngine::new());
    let log = EmbeddedLog::open(engine, EmbeddedOptions::simulation(clock, 1)).unwrap();
    let topic = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    log.admin().unwrap().ensure_topics(&[topic("in"), topic("dead_letters")]).unwrap();
    Arc::new(log)
}

fn panicking() -> Topology {
    let builder = StreamsBuilder::new("careless");
    builder.stream::<str, str>(&Topic::new("in", Utf8, Utf8)).peek(|_| panic!("no such luck"));
    builder.build().unwrap()
}

#[test]
fn a_panic_is_the_workers_end_and_is_told_with_its_application() {
    let log = log_with_topics();
    let record = NewRecord { key: Some(b"k"), value: Some(b"v"), timestamp: 1, headers: &[] };
    log.appender("test").unwrap().append(
        "in",
        None,
        record,
        Box::new(|done| {
            done.unwrap();
        }),
    );
    log.sync().unwrap();

    let id = log.admin().unwrap().log_id().unwrap();
    let state = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new(id)).unwrap();
    let worker = Worker::new(panicking(), log, state, WorkerSettings::new("here"), 1);
    let (send, ended) = mpsc::channel();
    let handle = spawn(worker, Arc::new(|| 1_700_000_000_000), move |result| {
        send.send(result.as_ref().map_err(ToString::to_string).copied()).unwrap();
    })
    .unwrap();

    let said = ended.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
    assert_eq!(said, "careless: its thread panicked: no such luck");
    assert!(matches!(handle.join(), Err(WorkerError::Panicked { .. })));
}
