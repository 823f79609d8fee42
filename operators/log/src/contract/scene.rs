//! What every case needs: fresh names, topics, producers, members and reads
//! that wait for a condition under one deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::LogFixture;
use crate::{
    Admin, Appended, Cleanup, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log,
    NewRecord, Polled, TopicPartition, TopicSpec, TxnProducer, Visibility,
};

pub use crate::OwnedRecord as Owned;

impl Owned {
    /// The value as text; `-` for a tombstone.
    pub fn text(&self) -> String {
        self.value
            .as_ref()
            .map_or_else(|| "-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
    }
}

/// The values of some records as text, in their order.
pub fn texts(records: &[Owned]) -> Vec<String> {
    records.iter().map(Owned::text).collect()
}

/// A record with a key and a text.
pub fn record<'a>(key: &'a str, value: &'a str) -> NewRecord<'a> {
    NewRecord {
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        timestamp: 1_700_000_000_000,
        headers: &[],
    }
}

/// One case's stage.
pub struct Scene {
    /// The log under test.
    pub log: Arc<dyn Log>,
    /// Its admin.
    pub admin: Box<dyn Admin>,
    name: String,
    session_timeout: Duration,
    patience: Duration,
}

impl Scene {
    /// A stage with names nobody else uses.
    pub fn new(fixture: &dyn LogFixture, name: &str) -> Self {
        Self::on(fixture.log(), fixture, &unique(name))
    }

    /// The stage `name` of an earlier process on a log.
    pub fn on(log: Arc<dyn Log>, fixture: &dyn LogFixture, name: &str) -> Self {
        let admin = log.admin().unwrap();
        let (session_timeout, patience) = (fixture.session_timeout(), fixture.patience());
        Self { log, admin, name: name.to_owned(), session_timeout, patience }
    }

    /// A name of this scene.
    pub fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.name)
    }

    /// Makes a topic that keeps its records.
    pub fn topic(&self, base: &str, partitions: u32) -> String {
        self.topic_with(base, partitions, Cleanup::Keep)
    }

    /// Makes a topic.
    pub fn topic_with(&self, base: &str, partitions: u32, cleanup: Cleanup) -> String {
        let name = self.name(base);
        let spec = TopicSpec { name: name.clone(), partitions, replication: 1, cleanup };
        self.admin.ensure_topics(&[spec]).unwrap();
        name
    }

    /// A producer that was initialised.
    pub fn producer(&self, transactional_id: &str) -> Box<dyn TxnProducer> {
        let mut producer =
            self.log.txn_producer("contract-producer", &self.name(transactional_id)).unwrap();
        producer.init().unwrap();
        producer
    }

    /// A producer without transactions.
    pub fn plain_producer(&self) -> Box<dyn TxnProducer> {
        let mut producer = self.log.plain_producer("contract-plain").unwrap();
        producer.init().unwrap();
        producer
    }

    /// A member that joined with these topics.
    pub fn member(&self, group: &str, client_id: &str, topics: &[&str]) -> Member {
        let mut consumer = self.consumer(group, client_id);
        consumer.subscribe(topics).unwrap();
        Member {
            consumer,
            group: self.name(group),
            owned: Vec::new(),
            metadata: None,
            records: Vec::new(),
        }
    }

    /// A member that hasn't joined.
    pub fn consumer(&self, group: &str, client_id: &str) -> Box<dyn GroupConsumer> {
        let options = GroupOptions {
            group: self.name(group),
            client_id: client_id.to_owned(),
            session_timeout: self.session_timeout,
            max_poll_interval: Duration::from_secs(60),
            instance_id: None,
        };
        self.log.group_consumer(&options).unwrap()
    }

    /// Appends in order and waits for every acknowledgement.
    pub fn append(&self, topic: &str, partition: u32, values: &[&str]) -> Vec<i64> {
        let appender = self.log.appender("contract-appender").unwrap();
        let (sender, receiver) = mpsc::channel::<(usize, Appended)>();
        for (index, value) in values.iter().enumerate() {
            let sender = sender.clone();
            let done = Box::new(move |appended| sender.send((index, appended)).unwrap_or(()));
            appender.append(topic, Some(partition), record(value, value), done);
        }
        let mut offsets = vec![-1; values.len()];
        for _ in values {
            let (index, appended) =
                receiver.recv_timeout(self.patience).expect("acknowledged in time");
            offsets[index] = appended.unwrap().1;
        }
        offsets
    }

    /// The partitions `0..count` of a topic.
    pub fn partitions(&self, topic: &str, count: u32) -> Vec<TopicPartition> {
        (0..count).map(|partition| TopicPartition::new(topic, partition)).collect()
    }

    /// Waits until nothing is open on the topic, then reads all of it, sorted
    /// by partition and offset.
    pub fn read(&self, topic: &str, count: u32) -> Vec<Owned> {
        let partitions = self.partitions(topic, count);
        self.until("no transaction is open", || {
            self.admin.end_offsets(&partitions, Isolation::ReadUncommitted).unwrap()
                == self.admin.end_offsets(&partitions, Isolation::ReadCommitted).unwrap()
        });
        self.read_now(topic, count)
    }

    /// Reads what is committed below the last stable offset of now.
    pub fn read_now(&self, topic: &str, count: u32) -> Vec<Owned> {
        let partitions = self.partitions(topic, count);
        let ends = self.admin.end_offsets(&partitions, Isolation::ReadCommitted).unwrap();
        let starts = self.admin.start_offsets(&partitions).unwrap();
        let mut reader = self
            .log
            .reader("contract-reader", Isolation::ReadCommitted, Visibility::Written)
            .unwrap();
        let positions: Vec<_> = partitions.iter().cloned().zip(starts).collect();
        reader.assign(&positions).unwrap();
        let mut records = Vec::new();
        self.until("the reader is at the end", || {
            reader
                .poll(Duration::from_millis(20), 1000, &mut |found| records.push(Owned::of(found)))
                .unwrap();
            partitions.iter().zip(&ends).all(|(at, end)| reader.reached(at, *end))
        });
        records.retain(|found: &Owned| found.offset < ends[found.partition as usize]);
        records.sort_by_key(|found| (found.partition, found.offset));
        records
    }

    /// Turns a member until it owns something (or the same again).
    pub fn settle(&self, member: &mut Member) {
        self.until("the member has an assignment", || {
            member.turn(self);
            member.metadata.is_some()
        });
    }

    /// Repeats `step` until it is true; fails after the fixture's patience.
    pub fn until(&self, what: &str, mut step: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !step() {
            assert!(Instant::now() < deadline, "{}: not in time: {what}", self.name);
            std::thread::yield_now();
        }
    }
}

/// A member of a group that answers events at once, starting at the committed
/// offsets.
pub struct Member {
    /// The client.
    pub consumer: Box<dyn GroupConsumer>,
    /// What it owns.
    pub owned: Vec<TopicPartition>,
    /// Since the last assignment was answered; None while it owns nothing.
    pub metadata: Option<GroupMetadata>,
    /// Everything visited.
    pub records: Vec<Owned>,
    group: String,
}

impl Member {
    /// One poll and, if need be, the answer.
    pub fn turn(&mut self, scene: &Scene) {
        match self.poll() {
            Polled::Records(_) => {}
            Polled::Revoke { partitions, .. } => self.give_up(&partitions),
            Polled::Assign(partitions) => self.take(scene, partitions),
        }
    }

    /// One poll; the event is the caller's.
    pub fn poll(&mut self) -> Polled {
        let records = &mut self.records;
        self.consumer
            .poll(Duration::from_millis(20), 100, &mut |found| records.push(Owned::of(found)))
            .unwrap()
    }

    /// Answers a revoke. What it doesn't name stays, with its metadata.
    pub fn give_up(&mut self, partitions: &[TopicPartition]) {
        self.consumer.ack_revoke().unwrap();
        self.owned.retain(|at| !partitions.contains(at));
        if self.owned.is_empty() {
            self.metadata = None;
        }
    }

    /// Answers an assignment.
    pub fn take(&mut self, scene: &Scene, partitions: Vec<TopicPartition>) {
        let committed = scene.admin.committed_offsets(&self.group, &partitions).unwrap();
        let starts = scene.admin.start_offsets(&partitions).unwrap();
        let offsets: Vec<_> = partitions
            .iter()
            .cloned()
            .zip(
                committed
                    .into_iter()
                    .zip(starts)
                    .map(|(committed, start)| committed.unwrap_or(start)),
            )
            .collect();
        self.metadata = Some(self.consumer.ack_assign(&offsets).unwrap());
        self.owned = partitions;
    }

    /// Leaves as the contract says: unsubscribe, poll until `Revoke`, answer.
    pub fn leave(mut self, scene: &Scene) {
        self.consumer.unsubscribe().unwrap();
        scene.until("the revoke that follows an unsubscribe", || match self.poll() {
            Polled::Revoke { partitions, .. } => {
                self.give_up(&partitions);
                self.owned.is_empty()
            }
            _ => false,
        });
    }

    /// Where the group committed.
    pub fn committed(&self, scene: &Scene, at: &TopicPartition) -> Option<i64> {
        scene.admin.committed_offsets(&self.group, std::slice::from_ref(at)).unwrap()[0]
    }

    /// The metadata of the assignment it holds.
    pub fn membership(&self) -> &GroupMetadata {
        self.metadata.as_ref().expect("the member holds an assignment")
    }
}

/// A name that no other run used.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    format!("{name}-{micros:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
