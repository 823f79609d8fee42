//! What a member keeps while others come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::LogFixture;
use super::scene::{Scene, record};
use crate::{ConsumedRecord, GroupConsumer, Polled, TopicPartition, TxnProducer};

const PARTITIONS: u32 = 6;
/// Transactions of one record per partition that lie between writer and reader: a reader that is never level has markers
/// waiting among its records when a rebalance comes.
const AHEAD: u64 = 40;
/// What a record costs. Most rebalances begin in the middle of a poll then, with partitions that it comes to afterwards.
const EFFORT: Duration = Duration::from_micros(200);

/// Over every rebalance a member reads on where it was: no record is missing and none comes twice, although transactions
/// end among what it has fetched and not yet seen.
pub fn rebalances_leave_no_gap(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "kept");
    let topic = scene.topic("in", PARTITIONS);
    let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut producer = scene.producer("txn");
    std::thread::scope(|threads| {
        // Or a failure would wait for the writer.
        let stopping = Stopping(&stop);
        let writing = threads.spawn(|| write(&mut *producer, &topic, (&stop, &seen)));
        let mut reading = Reading::new(scene.consumer("group", "00-staying"), &topic, &seen);
        scene.until("the first has all", || reading.turn() == PARTITIONS as usize);
        for _ in 0..6 {
            let mut other = scene.member("group", "01-coming", &[&topic]);
            scene.until("the other has a share", || {
                reading.turn();
                other.turn(&scene);
                !other.owned.is_empty()
            });
            other.consumer.unsubscribe().unwrap();
            scene.until("the first has all again", || {
                if let Polled::Revoke { partitions, .. } = other.poll() {
                    other.give_up(&partitions);
                }
                reading.turn() == PARTITIONS as usize && other.owned.is_empty()
            });
        }
        drop(stopping);
        let written = writing.join().unwrap();
        scene.until("all is read", || {
            reading.turn();
            (0..PARTITIONS).all(|partition| reading.counts[&partition] == written)
        });
        reading.leave(&scene);
    });
}

struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes transactions until it is stopped; how many.
fn write(producer: &mut dyn TxnProducer, topic: &str, flags: (&AtomicBool, &AtomicU64)) -> u64 {
    let (stop, seen) = flags;
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        if written > seen.load(Ordering::Relaxed) + AHEAD {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        producer.begin().unwrap();
        for partition in 0..PARTITIONS {
            producer.send(topic, partition, record("k", &written.to_string())).unwrap();
        }
        producer.commit().unwrap();
        written += 1;
    }
    written
}

/// A member that begins where it has read to, and checks that each partition counts up.
struct Reading<'s> {
    consumer: Box<dyn GroupConsumer>,
    counts: BTreeMap<u32, u64>,
    offsets: BTreeMap<u32, i64>,
    owned: Vec<TopicPartition>,
    seen: &'s AtomicU64,
}

impl<'s> Reading<'s> {
    fn new(mut consumer: Box<dyn GroupConsumer>, topic: &str, seen: &'s AtomicU64) -> Self {
        consumer.subscribe(&[topic]).unwrap();
        let counts = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        Self { consumer, counts, offsets: BTreeMap::new(), owned: Vec::new(), seen }
    }

    /// A few records, or the answer to an event; how many partitions it has.
    fn turn(&mut self) -> usize {
        let Self { consumer, counts, offsets, seen, .. } = self;
        let mut visit = |found: ConsumedRecord<'_>| {
            let value = std::str::from_utf8(found.value.unwrap()).unwrap();
            let count = counts.get_mut(&found.partition).unwrap();
            assert_eq!(
                value,
                count.to_string(),
                "what follows in partition {} at offset {}, read to {:?}",
                found.partition,
                found.offset,
                offsets.get(&found.partition)
            );
            *count += 1;
            std::thread::sleep(EFFORT);
            offsets.insert(found.partition, found.offset + 1);
        };
        let polled = consumer.poll(Duration::from_millis(2), 1_000, &mut visit).unwrap();
        seen.store(counts.values().copied().min().unwrap_or(0), Ordering::Relaxed);
        match polled {
            Polled::Records(_) => {}
            Polled::Assign(partitions) => {
                let at = |at: TopicPartition| {
                    (at.clone(), *self.offsets.get(&at.partition).unwrap_or(&0))
                };
                let offsets: Vec<_> = partitions.iter().cloned().map(at).collect();
                self.consumer.ack_assign(&offsets).unwrap();
                self.owned = partitions;
            }
            Polled::Revoke { partitions, .. } => {
                self.consumer.ack_revoke().unwrap();
                self.owned.retain(|at| !partitions.contains(at));
            }
        }
        self.owned.len()
    }

    fn leave(mut self, scene: &Scene) {
        self.consumer.unsubscribe().unwrap();
        scene.until("the revoke that follows an unsubscribe", || self.turn() == 0);
    }
}
