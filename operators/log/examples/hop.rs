//! Measures one transactional hop in memory: a member reads, a producer writes
//! the same records to another topic and commits them with the input offsets.
//!
//! `cargo run -p operators-log --example hop [records] [records per transaction]`

use std::error::Error;
use std::time::{Duration, Instant};

use operators_log::embedded::EmbeddedLog;
use operators_log::{Cleanup, GroupOptions, Log, NewRecord, Polled, TopicPartition, TopicSpec};

const PARTITIONS: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let total: usize = arguments.next().transpose()?.unwrap_or(1_000_000);
    let batch: usize = arguments.next().transpose()?.unwrap_or(1_000);
    let log = EmbeddedLog::in_memory()?;
    let topic = |name: &str| TopicSpec {
        name: name.into(),
        partitions: PARTITIONS,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    log.admin()?.ensure_topics(&[topic("in"), topic("out")])?;
    fill(&log, total)?;
    let started = Instant::now();
    let transactions = hop(&log, total, batch)?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{total} records of 100 bytes, {transactions} transactions: {:.0} records/s, {:.1} µs per transaction",
        total as f64 / seconds,
        seconds * 1e6 / transactions as f64
    );
    Ok(())
}

fn fill(log: &EmbeddedLog, total: usize) -> Result<(), Box<dyn Error>> {
    let mut producer = log.txn_producer("fill", "fill")?;
    producer.init()?;
    for chunk in (0..total).collect::<Vec<_>>().chunks(10_000) {
        producer.begin()?;
        for index in chunk {
            let key = index.to_string();
            let record = NewRecord {
                key: Some(key.as_bytes()),
                value: Some(&[7; 100]),
                timestamp: 0,
                headers: &[],
            };
            producer.send("in", *index as u32 % PARTITIONS, record)?;
        }
        producer.commit()?;
    }
    Ok(())
}

fn hop(log: &EmbeddedLog, total: usize, batch: usize) -> Result<usize, Box<dyn Error>> {
    let mut producer = log.txn_producer("hop", "hop")?;
    producer.init()?;
    let mut member = log.group_consumer(&GroupOptions {
        group: "hop-group".into(),
        client_id: "00-hop".into(),
        session_timeout: Duration::from_secs(6),
        max_poll_interval: Duration::from_secs(60),
        instance_id: None,
    })?;
    member.subscribe(&["in"])?;
    let Polled::Assign(owned) = member.poll(Duration::from_secs(1), batch, &mut |_| {})? else {
        return Err("no assignment".into());
    };
    let offsets: Vec<_> = owned.into_iter().map(|at| (at, 0)).collect();
    let membership = member.ack_assign(&offsets)?;
    let (mut read, mut transactions) = (0, 0);
    while read < total {
        producer.begin()?;
        let mut failed = Ok(());
        let mut positions = [None; PARTITIONS as usize];
        let polled = member.poll(Duration::from_secs(1), batch, &mut |record| {
            positions[record.partition as usize] = Some(record.offset + 1);
            let copy = NewRecord {
                key: record.key,
                value: record.value,
                timestamp: record.timestamp,
                headers: record.headers,
            };
            if let Err(error) = producer.send("out", record.partition, copy) {
                failed = Err(error);
            }
        })?;
        failed?;
        if let Polled::Records(count) = polled {
            read += count;
        }
        let offsets: Vec<_> = (0..)
            .zip(positions)
            .filter_map(|(partition, next)| Some((TopicPartition::new("in", partition), next?)))
            .collect();
        producer.send_offsets(&offsets, &membership)?;
        producer.commit()?;
        transactions += 1;
    }
    Ok(transactions)
}
