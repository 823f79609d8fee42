//! A members' topic that doesn't take what it is told, and who goes on all the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::record::TopicPartition;
use log::traits::{Admin, GroupConsumer, GroupOptions, Isolation, Reader, TxnProducer, Visibility};

use super::*;
use crate::WorkerSettings;
use crate::queries::fixture::worker_with;

/// Its appender is made when it is let go, and refuses the first records.
struct Stuck {
    log: Arc<EmbeddedLog>,
    gate: Mutex<Option<Receiver<()>>>,
    refusals: Arc<AtomicUsize>,
}

struct Refusing(Box<dyn Appender>, Arc<AtomicUsize>);

impl Appender for Refusing {
    fn append(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: NewRecord<'_>,
        done: Box<dyn FnOnce(Appended) + Send>,
    ) {
        let less = |left: usize| left.checked_sub(1);
        if self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return done(Err(LogError::Retriable("not now".to_owned())));
        }
        self.0.append(topic, partition, record, done);
    }
}

impl Log for Stuck {
    fn admin(&self) -> Result<Box<dyn Admin>, LogError> {
        self.log.admin()
    }

    fn appender(&self, client_id: &str) -> Result<Box<dyn Appender>, LogError> {
        if let Some(gate) = self.gate.lock().unwrap().take() {
            // Closed for good: as a broker that never answers.
            gate.recv().map_err(|_| LogError::Retriable("closed".to_owned()))?;
        }
        Ok(Box::new(Refusing(self.log.appender(client_id)?, Arc::clone(&self.refusals))))
    }

    fn txn_producer(&self, client: &str, id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        self.log.txn_producer(client, id)
    }

    fn plain_producer(&self, client: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        self.log.plain_producer(client)
    }

    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.log.group_consumer(options)
    }

    fn reader(
        &self,
        client_id: &str,
        isolation: Isolation,
        visibility: Visibility,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(client_id, isolation, visibility)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.log.sync()
    }
}

const TOPIC: &str = "app-members";

/// Its appender waits where there is a gate.
fn stuck(gate: Option<Receiver<()>>, refusals: usize) -> (Arc<dyn Log>, Arc<EmbeddedLog>) {
    let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(|| 0);
    let engine = Arc::new(state_stores::MemoryEngine::new());
    let options = EmbeddedOptions::simulation(clock, 1);
    let log = Arc::new(EmbeddedLog::open(engine, options).unwrap());
    let refusals = Arc::new(AtomicUsize::new(refusals));
    (Arc::new(Stuck { log: Arc::clone(&log), gate: Mutex::new(gate), refusals }), log)
}

fn gate() -> (Sender<()>, Option<Receiver<()>>) {
    let (open, gate) = channel();
    (open, Some(gate))
}

fn post(board: &Announcements, text: &str) {
    let value = Some(text.as_bytes().to_vec());
    board.post(TOPIC, "one/0", Post { value, timestamp: 0, replication: 1 });
}

/// What was written, in order.
fn written(log: &EmbeddedLog) -> Vec<String> {
    log.sync().unwrap();
    let mut reader = log.reader("test", Isolation::ReadCommitted, Visibility::Written).unwrap();
    let mut texts = Vec::new();
    if reader.assign(&[(TopicPartition::new(TOPIC, 0), 0)]).is_err() {
        return texts;
    }
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    while reader.poll(Duration::ZERO, 100, &mut |it| texts.push(text(it.value))).unwrap() > 0 {}
    texts
}

#[test]
fn who_announces_does_not_wait_and_only_the_last_word_counts() {
    let (open, gate) = gate();
    let (log, inner) = stuck(gate, 0);
    let board = Announcements::spawn(&log).unwrap();
    for text in ["a", "b", "c"] {
        post(&board, text);
    }
    open.send(()).unwrap();
    // The thread may have taken the first one before the others came. The end waits for the last.
    let ends = std::thread::spawn(move || drop(board));
    while !ends.is_finished() {
        inner.sync().unwrap();
    }
    let texts = written(&inner);
    assert!(texts.len() <= 2 && texts.last().is_some_and(|last| last == "c"), "{texts:?}");
}

#[test]
fn what_was_refused_is_written_again_a_second_later() {
    let (log, inner) = stuck(None, 1);
    let board = Announcements::inline(&log);
    post(&board, "a");
    for now in [0, AGAIN_MS - 1] {
        board.look(now);
        assert!(written(&inner).is_empty(), "at {now}");
    }
    board.look(AGAIN_MS);
    assert_eq!(written(&inner), ["a"]);
    board.look(3 * AGAIN_MS);
    assert_eq!(written(&inner), ["a"], "once");
}

#[test]
fn a_topic_that_was_deleted_is_made_again() {
    let (log, inner) = stuck(None, 0);
    let board = Announcements::inline(&log);
    post(&board, "a");
    inner.admin().unwrap().delete_topics(&[TOPIC]).unwrap();
    post(&board, "b");
    for now in [0, AGAIN_MS] {
        board.look(now);
    }
    assert_eq!(written(&inner), ["b"]);
}

#[test]
fn a_word_that_failed_after_the_next_one_was_said_casts_doubt_on_the_topic_too() {
    let (log, inner) = stuck(None, 0);
    let board = Announcements::inline(&log);
    post(&board, "a");
    post(&board, "b");
    inner.admin().unwrap().delete_topics(&[TOPIC]).unwrap();
    let (key, late) = (TOPIC.to_owned(), LogError::Retriable("it takes no record".to_owned()));
    let lost = Post { value: None, timestamp: 0, replication: 1 };
    board.desk.failed((key, b"one/0".to_vec()), 1, lost, &late);
    post(&board, "c");
    assert_eq!(written(&inner), ["c"]);
}

#[test]
fn what_was_refused_is_forgotten_for_what_came_after_it() {
    let (log, inner) = stuck(None, 1);
    let board = Announcements::inline(&log);
    post(&board, "a");
    post(&board, "b");
    for now in [0, AGAIN_MS, 2 * AGAIN_MS] {
        board.look(now);
    }
    assert_eq!(written(&inner), ["b"]);
}

#[test]
fn a_worker_goes_on_while_nobody_can_be_told() {
    let (open, gate) = gate();
    let (log, _) = stuck(gate, 0);
    let board = Announcements::spawn(&log).unwrap();
    let settings =
        WorkerSettings { advertised: Some("a:1".to_owned()), ..WorkerSettings::new("one") };
    let worker = worker_with(settings, |worker| worker.announce_through(&board));
    assert!(worker.status().ready);
    drop(open);
}
