//! Exactly once through real processes: two members of one group copy records
//! in transactions, each is killed with SIGKILL and started again while the
//! other goes on. Every record arrives once, in its partition's order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod kafka;

use std::process::{Child, Command};
use std::time::Duration;

use log::contract::{LogFixture, Scene, scene::unique};
use log::{
    GroupConsumer, GroupMetadata, Isolation, LogError, NewRecord, Polled, TopicPartition,
    TxnProducer,
};

use kafka::Kafka;

/// Set in a child: its slot and the scene's name.
const WORKER: &str = "KAFKA_EXACTLY_ONCE_WORKER";
const PARTITIONS: u32 = 4;
const RECORDS: usize = 12_000;
const KILLS: usize = 3;

#[test]
fn two_members_and_kills_copy_every_record_once() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let name = unique("exactly-once");
    let scene = Scene::on(kafka.log(), &kafka, &name);
    let (input, output) = (scene.topic("in", PARTITIONS), scene.topic("out", PARTITIONS));
    let mut workers = [Worker::start(0, &name), Worker::start(1, &name)];
    let chunk = RECORDS / (KILLS + 1);
    let written = scene.partitions(&output, PARTITIONS);
    for round in 0..=KILLS {
        fill(&scene, &input, round * chunk..(round + 1) * chunk);
        if round < KILLS {
            // In the middle of this round's work.
            let enough = (round * chunk + chunk / 4) as i64;
            scene.until("the members are at work", || {
                let ends = scene.admin.end_offsets(&written, Isolation::ReadUncommitted).unwrap();
                ends.iter().sum::<i64>() > enough
            });
            let slot = round % 2;
            workers[slot].kill();
            workers[slot] = Worker::start(slot, &name);
        }
    }
    let read = scene.partitions(&input, PARTITIONS);
    scene.until("everything is consumed", || {
        let ends = scene.admin.end_offsets(&read, Isolation::ReadCommitted).unwrap();
        let committed = scene.admin.committed_offsets(&scene.name("group"), &read).unwrap();
        // The last offset of each partition is the marker of the last filling.
        ends.iter().zip(committed).all(|(end, next)| next == Some(end - 1))
    });
    let records = scene.read(&output, PARTITIONS);
    let mut numbers: Vec<usize> =
        records.iter().map(|found| found.text().parse().unwrap()).collect();
    for pair in records.windows(2).filter(|pair| pair[0].partition == pair[1].partition) {
        let [left, right] =
            [&pair[0], &pair[1]].map(|found| found.text().parse::<usize>().unwrap());
        assert!(left < right, "partition {}: {left} before {right}", pair[0].partition);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>(), "each exactly once");
}

/// Numbers, dealt over the partitions in order.
fn fill(scene: &Scene, input: &str, numbers: std::ops::Range<usize>) {
    let mut producer = scene.producer("filler");
    producer.begin().unwrap();
    for number in numbers {
        let value = number.to_string();
        let record =
            NewRecord { key: None, value: Some(value.as_bytes()), timestamp: 1, headers: &[] };
        producer.send(input, number as u32 % PARTITIONS, record).unwrap();
    }
    producer.commit().unwrap();
}

/// A member in a process of its own.
struct Worker(Child);

impl Worker {
    fn start(slot: usize, name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_worker", "--nocapture"]);
        Self(command.env(WORKER, format!("{slot} {name}")).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_worker() {
    let (Ok(told), Some(kafka)) = (std::env::var(WORKER), Kafka::from_environment()) else {
        return;
    };
    let (slot, name) = told.split_once(' ').unwrap();
    let scene = Scene::on(kafka.log(), &kafka, name);
    let mut consumer = scene.consumer("group", &format!("{slot}-member"));
    let mut producer = scene.producer(slot);
    consumer.subscribe(&[&scene.name("in")]).unwrap();
    let mut metadata = None;
    loop {
        let mut read = Vec::new();
        let polled = consumer
            .poll(Duration::from_millis(100), 50, &mut |found| {
                let value = found.value.unwrap().to_vec();
                read.push((found.partition, found.offset, value));
            })
            .unwrap();
        match polled {
            Polled::Assign(partitions) => {
                metadata = Some(take(&scene, consumer.as_mut(), &partitions))
            }
            Polled::Revoke { .. } => consumer.ack_revoke().unwrap(),
            Polled::Records(0) => {}
            Polled::Records(_) => {
                let metadata = metadata.as_ref().expect("records come after an assignment");
                match copy(&scene, producer.as_mut(), metadata, &read) {
                    Ok(()) => {}
                    Err(LogError::Abort(_)) => {
                        producer.abort().unwrap();
                        back(&scene, consumer.as_mut(), &read);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

fn starts(scene: &Scene, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
    let committed = scene.admin.committed_offsets(&scene.name("group"), partitions).unwrap();
    partitions.iter().cloned().zip(committed.into_iter().map(Option::unwrap_or_default)).collect()
}

fn take(
    scene: &Scene,
    consumer: &mut dyn GroupConsumer,
    partitions: &[TopicPartition],
) -> GroupMetadata {
    consumer.ack_assign(&starts(scene, partitions)).unwrap()
}

/// After an abort what was read is read again.
fn back(scene: &Scene, consumer: &mut dyn GroupConsumer, read: &[(u32, i64, Vec<u8>)]) {
    let mut touched: Vec<_> = read.iter().map(|(partition, ..)| *partition).collect();
    touched.sort_unstable();
    touched.dedup();
    let input = scene.name("in");
    let touched: Vec<_> = touched
        .into_iter()
        .map(|partition| TopicPartition::new(input.as_str(), partition))
        .collect();
    consumer.seek(&starts(scene, &touched)).unwrap();
}

/// One transaction: the records and how far the input was read.
fn copy(
    scene: &Scene,
    producer: &mut dyn TxnProducer,
    metadata: &GroupMetadata,
    read: &[(u32, i64, Vec<u8>)],
) -> Result<(), LogError> {
    let (input, output) = (scene.name("in"), scene.name("out"));
    let mut next = std::collections::BTreeMap::new();
    producer.begin()?;
    for (partition, offset, value) in read {
        let record = NewRecord { key: None, value: Some(value), timestamp: 1, headers: &[] };
        producer.send(&output, *partition, record)?;
        next.insert(*partition, offset + 1);
    }
    let offsets: Vec<_> = next
        .into_iter()
        .map(|(partition, offset)| (TopicPartition::new(input.as_str(), partition), offset))
        .collect();
    producer.send_offsets(&offsets, metadata)?;
    producer.flush()?;
    producer.commit()
}
