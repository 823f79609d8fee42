//! A steady load: a feeder that goes on through every failure of the log, and somebody who sees what comes out.
//!
//! Invariants: an id is sent once and never again, so that one found twice was doubled by the log or by the application;
//! what the feeder doesn't know the outcome of, the log's input decides.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(missing_debug_implementations, reason = "helpers of tests")]

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use log::{
    ConsumedRecord, Isolation, Log, LogError, NewRecord, Reader, TopicPartition, TxnProducer,
    Visibility,
};

use crate::chain::{self, Chains};

/// Ids in a transaction of the feeder.
const BATCH: u64 = 25;
/// So many records may be on their way.
const WINDOW: u64 = 500;

#[derive(Default)]
struct Window {
    appended: u64,
    came_out: u64,
    paused: bool,
    over: bool,
}

/// What both sides know.
#[derive(Default)]
struct Flow(Mutex<Window>, Condvar);

/// Appends lines while there is room.
pub struct Feeder {
    flow: Arc<Flow>,
    thread: Option<JoinHandle<Vec<u64>>>,
}

impl Feeder {
    /// Begins to append lines to the partitions of a topic, in transactions of this id.
    #[must_use]
    pub fn start(
        log: Arc<dyn Log>,
        topic: String,
        partitions: u32,
        transactional_id: String,
    ) -> Self {
        let flow = Arc::new(Flow::default());
        let told = Arc::clone(&flow);
        let thread = std::thread::spawn(move || {
            let (mut acknowledged, mut next) = (Vec::new(), 0);
            let mut producer = None;
            while told.has_room() {
                let batch = next..next + BATCH;
                next = batch.end;
                match append(
                    &*log,
                    &mut producer,
                    &transactional_id,
                    (&topic, partitions),
                    batch.clone(),
                ) {
                    Ok(()) => {
                        acknowledged.extend(batch);
                        told.0.lock().unwrap().appended += BATCH;
                    }
                    // The next one ends what this one left.
                    Err(_) => producer = None,
                }
            }
            acknowledged
        });
        Self { flow, thread: Some(thread) }
    }

    /// Tells how many records have come out.
    pub fn came_out(&self, records: u64) {
        let mut window = self.flow.0.lock().unwrap();
        // What the feeder doesn't know of comes out too.
        window.appended = window.appended.max(records);
        window.came_out = records;
        self.flow.1.notify_one();
    }

    /// Stops for a while, or goes on.
    pub fn pause(&self, paused: bool) {
        self.flow.0.lock().unwrap().paused = paused;
        self.flow.1.notify_one();
    }

    /// Stops; the ids that were acknowledged.
    pub fn stop(&mut self) -> Vec<u64> {
        self.flow.end();
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.flow.end();
    }
}

impl Flow {
    fn end(&self) {
        self.0.lock().unwrap().over = true;
        self.1.notify_one();
    }

    /// Waits for room; false when it is over.
    fn has_room(&self) -> bool {
        let full = |window: &mut Window| {
            !window.over && (window.paused || window.appended >= window.came_out + WINDOW)
        };
        !self.1.wait_while(self.0.lock().unwrap(), full).unwrap().over
    }
}

fn append(
    log: &dyn Log,
    producer: &mut Option<Box<dyn TxnProducer>>,
    transactional_id: &str,
    (topic, partitions): (&str, u32),
    ids: std::ops::Range<u64>,
) -> Result<(), LogError> {
    if producer.is_none() {
        let mut fresh = log.txn_producer("feeder", transactional_id)?;
        fresh.init()?;
        *producer = Some(fresh);
    }
    let producer = producer.as_mut().unwrap();
    producer.begin()?;
    for line in ids.map(chain::line) {
        let record = NewRecord {
            key: None,
            value: Some(line.as_bytes()),
            timestamp: 1_700_000_000_000,
            headers: &[],
        };
        let at = chain::partition(chain::key_and_id(&line).0, partitions);
        producer.send(topic, at, record)?;
    }
    producer.commit()
}

/// Reads what comes out, as it comes and for as long as the test lasts.
pub struct Watcher {
    reader: Box<dyn Reader>,
    partitions: Vec<TopicPartition>,
    /// By key, in order.
    pub seen: Chains,
    /// Of all keys.
    pub records: u64,
}

impl Watcher {
    /// From the beginning of these partitions.
    #[must_use]
    pub fn new(log: &dyn Log, partitions: Vec<TopicPartition>) -> Self {
        let reader = log.reader("watcher", Isolation::ReadCommitted, Visibility::Written);
        let mut reader = reader.unwrap();
        let from: Vec<_> = partitions.iter().map(|at| (at.clone(), 0)).collect();
        reader.assign(&from).unwrap();
        Self { reader, partitions, seen: Chains::new(), records: 0 }
    }

    /// Takes what has come within a moment.
    ///
    /// # Panics
    /// Reading failed for good.
    pub fn look(&mut self) {
        let Self { reader, seen, records, .. } = self;
        let taken = reader.poll(Duration::from_millis(20), 1_000, &mut |record| {
            let (key, chain) = key_and_chain(&record);
            seen.entry(key).or_default().push(chain);
            *records += 1;
        });
        match taken {
            Ok(_) | Err(LogError::Retriable(_)) => {}
            Err(error) => panic!("reading {:?}: {error}", self.partitions),
        }
    }
}

fn key_and_chain(record: &ConsumedRecord<'_>) -> (String, i64) {
    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
    (key, i64::from_be_bytes(record.value.unwrap().try_into().unwrap()))
}
