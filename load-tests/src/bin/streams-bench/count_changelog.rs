//! Writes the changelog for `run --mode restore`: the rows that `ks-bench load --mode restore` has written, record for
//! record. Ours have the time in the row as well (8 bytes), because the log's time is when a row was committed.

use std::time::Duration;

use anyhow::{Result, ensure};
use log::record::NewRecord;
use log::topic::{Cleanup, TopicSpec};
use log::traits::{Isolation, Visibility};
use serde_json::{Value, json};

use crate::options::{Mode, Options};
use crate::topics;

/// Of the store `count`.
pub(crate) const CHANGELOG: &str = "count-changelog";

/// Records in a transaction.
const BATCH: u64 = 50_000;

/// Says how many rows there are now.
pub(crate) fn write(options: &Options) -> Result<Value> {
    ensure!(options.mode == Mode::Restore, "only the mode restore has something to load");
    let theirs = format!("{}-restore-app-{CHANGELOG}", options.prefix);
    let ours = options.out_topic(CHANGELOG);
    topics::forget(options)?;
    let log = options.log();
    let admin = log.admin()?;
    let ends = topics::ends_of(admin.as_ref(), &[theirs])?;
    admin.ensure_topics(&[TopicSpec {
        name: ours.clone(),
        partitions: options.partitions,
        replication: 1,
        cleanup: Cleanup::Compact,
    }])?;
    let mut reader = log.reader("copy", Isolation::ReadCommitted, Visibility::Durable)?;
    reader.assign(&ends.iter().map(|(at, _)| (at.clone(), 0)).collect::<Vec<_>>())?;
    let mut producer = log.txn_producer("copy", &format!("{ours}-copy"))?;
    producer.init()?;
    producer.begin()?;
    let (mut written, mut row, mut failed) = (0, Vec::new(), None);
    while !ends.iter().all(|(at, end)| reader.reached(at, *end)) {
        let before = written;
        reader.poll(Duration::from_secs(1), 10_000, &mut |record| {
            row.clear();
            row.extend_from_slice(&record.timestamp.to_be_bytes());
            row.extend_from_slice(record.value.unwrap_or_default());
            let copy = NewRecord {
                key: record.key,
                value: Some(&row),
                timestamp: record.timestamp,
                headers: &[],
            };
            failed = failed.take().or(producer.send(&ours, record.partition, copy).err());
            written += 1;
        })?;
        failed.take().map_or(Ok(()), Err)?;
        if written / BATCH > before / BATCH {
            producer.commit()?;
            producer.begin()?;
        }
    }
    producer.commit()?;
    Ok(json!({"topic": ours, "rows": written}))
}
