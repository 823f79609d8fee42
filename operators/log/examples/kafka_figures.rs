//! Figures of the log on a real broker: what a commit costs, and how many
//! records a second pass through one thread.
//!
//! ```sh
//! export $(compose/dev/up --env)
//! cargo run --release -p operators-log --features kafka --example kafka_figures
//! ```

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first error")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use operators_log::kafka::{KafkaLog, KafkaOptions};
use operators_log::{
    Cleanup, GroupConsumer, GroupMetadata, GroupOptions, Log, NewRecord, Polled, TopicPartition,
    TopicSpec, TxnProducer,
};

const PARTITIONS: u32 = 3;
const ROUNDS: usize = 500;
const RECORDS: usize = 1_000_000;
const COMMIT_EVERY: Duration = Duration::from_millis(100);

fn main() {
    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")
        .expect("run `export $(compose/dev/up --env)` first");
    let log = KafkaLog::new(KafkaOptions::new(servers));
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let (input, output) = (format!("figures-{run}-in"), format!("figures-{run}-out"));
    let topics = [&input, &output].map(|name| TopicSpec {
        name: name.clone(),
        partitions: PARTITIONS,
        replication: 1,
        cleanup: Cleanup::Delete(Duration::from_secs(3600)),
    });
    log.admin().unwrap().ensure_topics(&topics).unwrap();
    let options = GroupOptions {
        group: format!("figures-{run}"),
        client_id: "00-figures".to_owned(),
        session_timeout: Duration::from_secs(6),
        max_poll_interval: Duration::from_secs(60),
        instance_id: None,
    };
    let started = Instant::now();
    let mut producer = log.txn_producer("figures", &options.group).unwrap();
    producer.init().unwrap();
    println!("init_transactions: {:.1?}", started.elapsed());
    let started = Instant::now();
    let mut consumer = log.group_consumer(&options).unwrap();
    consumer.subscribe(&[&input]).unwrap();
    let metadata = join(consumer.as_mut());
    println!("join, one member: {:.1?}", started.elapsed());

    for (records, pause) in [(1, 0), (10, 0), (100, 0), (1, 20)] {
        commits(producer.as_mut(), &input, &output, &metadata, records, pause);
    }
    fill(producer.as_mut(), &input);
    pass_through(consumer.as_mut(), producer.as_mut(), &input, &output, &metadata);
}

fn join(consumer: &mut dyn GroupConsumer) -> GroupMetadata {
    loop {
        let polled = consumer.poll(Duration::from_secs(1), 1, &mut |_| {}).unwrap();
        if let Polled::Assign(partitions) = polled {
            let offsets: Vec<_> = partitions.into_iter().map(|at| (at, 0)).collect();
            return consumer.ack_assign(&offsets).unwrap();
        }
    }
}

fn record(value: &[u8]) -> NewRecord<'_> {
    let timestamp = 1_700_000_000_000;
    NewRecord { key: Some(b"12345678"), value: Some(value), timestamp, headers: &[] }
}

/// begin, send, offsets, flush, commit, `ROUNDS` times.
fn commits(
    producer: &mut dyn TxnProducer,
    input: &str,
    output: &str,
    metadata: &GroupMetadata,
    records: u32,
    pause_ms: u64,
) {
    let offsets: Vec<_> =
        (0..PARTITIONS).map(|partition| (TopicPartition::new(input, partition), 0)).collect();
    let value = [7u8; 100];
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(pause_ms));
            let started = Instant::now();
            producer.begin().unwrap();
            for index in 0..records {
                producer.send(output, index % PARTITIONS, record(&value)).unwrap();
            }
            producer.send_offsets(&offsets, metadata).unwrap();
            producer.flush().unwrap();
            producer.commit().unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "commit of {records} records, {pause_ms} ms apart: p50 {:.1?} p90 {:.1?} p99 {:.1?} max {:.1?}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

fn fill(producer: &mut dyn TxnProducer, input: &str) {
    let value = [7u8; 100];
    let partitions = (0..PARTITIONS).cycle();
    for (index, partition) in (0..RECORDS).zip(partitions) {
        if index % 100_000 == 0 {
            if index > 0 {
                producer.commit().unwrap();
            }
            producer.begin().unwrap();
        }
        producer.send(input, partition, record(&value)).unwrap();
    }
    producer.commit().unwrap();
}

/// Reads everything and writes it again, exactly once, on this thread.
fn pass_through(
    consumer: &mut dyn GroupConsumer,
    producer: &mut dyn TxnProducer,
    input: &str,
    output: &str,
    metadata: &GroupMetadata,
) {
    let started = Instant::now();
    let (mut passed, mut commits) = (0, 0);
    let mut next: Vec<_> =
        (0..PARTITIONS).map(|partition| (TopicPartition::new(input, partition), 0)).collect();
    while passed < RECORDS {
        producer.begin().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < COMMIT_EVERY && passed < RECORDS {
            let polled = consumer.poll(Duration::from_millis(100), 1000, &mut |found| {
                next[found.partition as usize].1 = found.offset + 1;
                let copy = NewRecord {
                    key: found.key,
                    value: found.value,
                    timestamp: found.timestamp,
                    headers: found.headers,
                };
                producer.send(output, found.partition, copy).unwrap();
            });
            if let Polled::Records(count) = polled.unwrap() {
                passed += count;
            }
        }
        producer.send_offsets(&next, metadata).unwrap();
        producer.commit().unwrap();
        commits += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "exactly-once pass-through: {passed} records of 100 B in {seconds:.2} s, {commits} commits: {:.2} M records/s",
        passed as f64 / seconds / 1e6
    );
}
