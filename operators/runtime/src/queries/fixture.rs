//! A worker with a store, for the tests of queries.

use std::sync::Arc;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Log, NewRecord, TopicSpec};
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};
use state_stores::{MemoryEngine, StateDir, StateOptions};

use super::{Answer, PeerError, Peers, StoreQuery};
use crate::{Member, Progress, Worker, WorkerSettings};

/// No other member.
pub(super) struct Nobody;

impl Peers for Nobody {
    fn ask(&self, _: &Member, _: &str, _: &StoreQuery) -> Result<Answer, PeerError> {
        Err(PeerError::Silent("nobody is there".to_owned()))
    }
}

/// Of which the first is `a`.
const WORDS: i64 = 40;

/// A worker that has counted some words, each once.
pub(super) fn worker() -> Worker {
    worker_with(WorkerSettings::new("one"), |_| {})
}

/// The same with these settings, and what `prepare` does before it starts.
pub(crate) fn worker_with(settings: WorkerSettings, prepare: impl FnOnce(&mut Worker)) -> Worker {
    let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(|| 1_700_000_000_000);
    let options = EmbeddedOptions::simulation(clock, 1);
    let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
    let topic = |name: &str| {
        let (name, cleanup) = (name.to_owned(), Cleanup::Keep);
        TopicSpec { name, partitions: 1, replication: 1, cleanup }
    };
    let admin = log.admin().unwrap();
    admin.ensure_topics(&["words", "dead_letters"].map(topic)).unwrap();
    let appender = log.appender("test").unwrap();
    for word in ["a".to_owned()].into_iter().chain((1..WORDS).map(|number| format!("b{number}"))) {
        let key = Some(word.as_bytes());
        let record = NewRecord { key, value: Some(b""), timestamp: 1, headers: &[] };
        appender.append("words", None, record, Box::new(|_| {}));
    }
    log.sync().unwrap();

    let builder = StreamsBuilder::new("words");
    let words = builder.stream::<str, str>(&Topic::new("words", Utf8, Utf8));
    words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    let options = StateOptions::new(admin.log_id().unwrap());
    let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
    let mut worker = Worker::new(builder.build().unwrap(), log.clone(), state, settings, 1);
    prepare(&mut worker);
    for now in 1_700_000_000_000..1_700_000_010_000 {
        let progress = worker.step(now).unwrap();
        log.tick().unwrap();
        let is_read = worker.status().tasks.iter().any(|task| task.inputs[0].1 == WORDS);
        if is_read && matches!(progress, Progress::IdleUntil(_)) {
            return worker;
        }
    }
    panic!("the words aren't counted: {:?}", worker.status());
}
