//! Several workers in threads, joining and leaving while records flow: every
//! record comes out exactly once, in the order of its partition, and waiting
//! polls are woken by what they wait for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use operators_log::embedded::EmbeddedLog;
use operators_log::{
    AppendExt, Cleanup, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log, LogError,
    NewRecord, Polled, TopicPartition, TopicSpec, TxnProducer, Visibility,
};

const PARTITIONS: u32 = 6;
const PER_PARTITION: usize = 2_000;

fn log() -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::in_memory().unwrap();
    let topic = |name: &str| TopicSpec {
        name: name.into(),
        partitions: PARTITIONS,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    log.admin().unwrap().ensure_topics(&[topic("in"), topic("out")]).unwrap();
    Arc::new(log)
}

fn record(value: &[u8]) -> NewRecord<'_> {
    NewRecord { key: Some(value), value: Some(value), timestamp: 0, headers: &[] }
}

/// Copies `in` to `out` until told to stop, then leaves as the contract says.
struct Worker {
    log: Arc<EmbeddedLog>,
    consumer: Box<dyn GroupConsumer>,
    producer: Box<dyn TxnProducer>,
    membership: Option<GroupMetadata>,
}

impl Worker {
    fn start(log: &Arc<EmbeddedLog>, name: &str, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
        let (log, stop) = (Arc::clone(log), Arc::clone(stop));
        let options = GroupOptions {
            group: "group".into(),
            client_id: name.into(),
            session_timeout: Duration::from_secs(6),
            max_poll_interval: Duration::from_secs(60),
            instance_id: None,
        };
        let mut consumer = log.group_consumer(&options).unwrap();
        consumer.subscribe(&["in"]).unwrap();
        let mut producer = log.txn_producer(name, name).unwrap();
        producer.init().unwrap();
        let mut worker = Self { log, consumer, producer, membership: None };
        std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                worker.turn();
            }
            worker.consumer.unsubscribe().unwrap();
            while worker.turn() {}
        })
    }

    /// False once a revoke was answered.
    fn turn(&mut self) -> bool {
        let mut copied: Vec<(u32, i64, Vec<u8>)> = Vec::new();
        let visit = &mut |found: operators_log::ConsumedRecord<'_>| {
            copied.push((found.partition, found.offset, found.value.unwrap().to_vec()));
        };
        match self.consumer.poll(Duration::from_millis(50), 37, visit).unwrap() {
            Polled::Revoke { .. } => {
                self.consumer.ack_revoke().unwrap();
                self.membership = None;
                return false;
            }
            Polled::Assign(owned) => self.take(owned),
            Polled::Records(0) => {}
            Polled::Records(_) => self.commit(&copied),
        }
        true
    }

    fn take(&mut self, owned: Vec<TopicPartition>) {
        let committed = self.log.admin().unwrap().committed_offsets("group", &owned).unwrap();
        let offsets: Vec<_> = owned
            .into_iter()
            .zip(committed.into_iter().map(|committed| committed.unwrap_or(0)))
            .collect();
        self.membership = Some(self.consumer.ack_assign(&offsets).unwrap());
    }

    fn commit(&mut self, copied: &[(u32, i64, Vec<u8>)]) {
        self.producer.begin().unwrap();
        for (partition, offset, value) in copied {
            self.producer.send("out", *partition, record(value)).unwrap();
            let next = (TopicPartition::new("in", *partition), offset + 1);
            self.producer.send_offsets(&[next], self.membership.as_ref().unwrap()).unwrap();
        }
        self.producer.commit().unwrap();
    }
}

/// Reads `out` until everything is there; waits only in polls.
fn collect(log: &EmbeddedLog, count: usize) -> BTreeMap<u32, Vec<usize>> {
    let mut reader = log.reader("r", Isolation::ReadCommitted, Visibility::Durable).unwrap();
    let all: Vec<_> =
        (0..PARTITIONS).map(|partition| (TopicPartition::new("out", partition), 0)).collect();
    reader.assign(&all).unwrap();
    let (mut found, mut read) = (BTreeMap::<u32, Vec<usize>>::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while read < count {
        assert!(Instant::now() < deadline, "{read} of {count} records in time");
        read += reader
            .poll(Duration::from_secs(5), 1_000, &mut |record| {
                let value = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                found.entry(record.partition).or_default().push(value);
            })
            .unwrap();
    }
    found
}

#[test]
fn workers_come_and_go_and_every_record_comes_out_once() {
    let log = log();
    let stop_early = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let first = Worker::start(&log, "00", &stop);
    let early = Worker::start(&log, "01", &stop_early);
    let mut producer = log.txn_producer("fill", "fill").unwrap();
    producer.init().unwrap();
    let mut late = None;
    for index in 0..PER_PARTITION {
        producer.begin().unwrap();
        for partition in 0..PARTITIONS {
            producer.send("in", partition, record(index.to_string().as_bytes())).unwrap();
        }
        producer.commit().unwrap();
        if index == PER_PARTITION / 3 {
            late = Some(Worker::start(&log, "02", &stop));
        }
        if index == PER_PARTITION / 2 {
            stop_early.store(true, Ordering::Release);
        }
    }
    let found = collect(&log, PER_PARTITION * PARTITIONS as usize);
    stop.store(true, Ordering::Release);
    for thread in [Some(first), Some(early), late].into_iter().flatten() {
        thread.join().unwrap();
    }
    let due: Vec<usize> = (0..PER_PARTITION).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(found[&partition], due, "partition {partition}");
    }
}

#[test]
fn a_waiting_poll_is_woken_by_the_record_and_an_acknowledgement_by_the_sync() {
    for visibility in [Visibility::Written, Visibility::Durable] {
        let log = log();
        let (ready, go) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut reader = log.reader("r", Isolation::ReadCommitted, visibility).unwrap();
                reader.assign(&[(TopicPartition::new("in", 0), 0)]).unwrap();
                ready.send(()).unwrap();
                reader.poll(Duration::from_secs(30), 1, &mut |_| {}).unwrap()
            }
        });
        go.recv().unwrap();
        let started = Instant::now();
        let appended = log.appender("a").unwrap().appended("in", Some(0), record(b"x"));
        assert_eq!(futures::executor::block_on(appended).unwrap(), (0, 0));
        assert_eq!(waiting.join().unwrap(), 1);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{visibility:?}: woken, not timed out"
        );
    }
}

#[test]
fn a_waiting_member_is_woken_by_its_events() {
    let log = log();
    let join = |name: &str| {
        let mut member = log
            .group_consumer(&GroupOptions {
                group: "events".into(),
                client_id: name.into(),
                session_timeout: Duration::from_secs(6),
                max_poll_interval: Duration::from_secs(60),
                instance_id: None,
            })
            .unwrap();
        member.subscribe(&["in"]).unwrap();
        member
    };
    let mut first = join("00");
    let wait = |member: &mut dyn GroupConsumer| {
        let started = Instant::now();
        let polled = member.poll(Duration::from_secs(30), 1, &mut |_| {}).unwrap();
        assert!(started.elapsed() < Duration::from_secs(20), "woken, not timed out");
        polled
    };
    let Polled::Assign(owned) = wait(first.as_mut()) else { panic!("an assignment is due") };
    let offsets: Vec<_> = owned.into_iter().map(|at| (at, 0)).collect();
    first.ack_assign(&offsets).unwrap();
    let mut second = std::thread::scope(|scope| {
        let revoked = scope.spawn(|| wait(first.as_mut()));
        let second = join("01");
        assert!(matches!(revoked.join().unwrap(), Polled::Revoke { lost: false, .. }));
        second
    });
    std::thread::scope(|scope| {
        let assigned = scope.spawn(|| wait(second.as_mut()));
        first.ack_revoke().unwrap();
        let assigned = assigned.join().unwrap();
        assert!(matches!(assigned, Polled::Assign(owned) if owned.len() == 3));
    });
}

#[test]
fn dropping_the_log_ends_waiting_polls_and_answers_appends() {
    let log = log();
    let mut reader = log.reader("r", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(TopicPartition::new("in", 0), 0)]).unwrap();
    let appender = log.appender("a").unwrap();
    let waiting = std::thread::spawn(move || reader.poll(Duration::from_secs(600), 1, &mut |_| {}));
    drop(Arc::into_inner(log).expect("the clients hold no log"));
    assert!(matches!(waiting.join().unwrap(), Err(LogError::Fatal(_))));
    let refused = futures::executor::block_on(appender.appended("in", Some(0), record(b"x")));
    assert!(matches!(refused, Err(LogError::Fatal(_))), "{refused:?}");
}
