//! Topics of a run: made before it, looked at during it, deleted after it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use log::record::TopicPartition;
use log::topic::{Cleanup, TopicSpec};
use log::traits::{Admin, Isolation, Log, Visibility};
use operators::DEAD_LETTERS;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::options::Options;

/// Nothing came for so long: the outputs can't be counted.
const SILENCE: Duration = Duration::from_secs(30);

/// Makes what is missing, kept for ever.
pub(crate) fn ensure_kept(admin: &dyn Admin, names: &[&str], partitions: u32) -> Result<()> {
    let topic = |name: &&str| TopicSpec {
        name: (*name).to_owned(),
        partitions,
        replication: 1,
        cleanup: Cleanup::Keep,
    };
    Ok(admin.ensure_topics(&names.iter().map(topic).collect::<Vec<_>>())?)
}

/// Makes the topic of dead letters; one that is there may have any number of partitions.
pub(crate) fn ensure_dead_letters(admin: &dyn Admin) -> Result<()> {
    match admin.describe(&[DEAD_LETTERS])?.pop().flatten() {
        Some(_) => Ok(()),
        None => ensure_kept(admin, &[DEAD_LETTERS], 1),
    }
}

/// All partitions of these topics.
pub(crate) fn partitions_of(admin: &dyn Admin, topics: &[String]) -> Result<Vec<TopicPartition>> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for (name, found) in names.iter().zip(admin.describe(&names)?) {
        let found = found.with_context(|| format!("topic {name} is missing: ks-bench load"))?;
        all.extend((0..found.partitions).map(|partition| TopicPartition::new(*name, partition)));
    }
    Ok(all)
}

/// Input partitions with their ends.
pub(crate) fn ends_of(admin: &dyn Admin, topics: &[String]) -> Result<Vec<(TopicPartition, i64)>> {
    let all = partitions_of(admin, topics)?;
    let ends = admin.end_offsets(&all, Isolation::ReadCommitted)?;
    Ok(all.into_iter().zip(ends).collect())
}

/// True when the group has committed these ends; of topics that end in a marker, one less will do.
pub(crate) fn committed(
    admin: &dyn Admin,
    group: &str,
    ends: &[(TopicPartition, i64)],
    markers: i64,
) -> Result<bool> {
    let of: Vec<TopicPartition> = ends.iter().map(|(at, _)| at.clone()).collect();
    let committed = admin.committed_offsets(group, &of)?;
    let there =
        |((_, end), at): (&(TopicPartition, i64), Option<i64>)| at.unwrap_or(0) >= end - markers;
    Ok(ends.iter().zip(committed).all(there))
}

/// How many records a read_committed reader finds in these topics.
pub(crate) fn count(log: &dyn Log, admin: &dyn Admin, topics: &[String]) -> Result<u64> {
    let ends = ends_of(admin, topics)?;
    let mut reader = log.reader("count", Isolation::ReadCommitted, Visibility::Durable)?;
    let from: Vec<_> = ends.iter().map(|(at, _)| (at.clone(), 0)).collect();
    reader.assign(&from)?;
    let (mut found, mut last) = (0, std::time::Instant::now());
    while !ends.iter().all(|(at, end)| reader.reached(at, *end)) {
        let visited = reader.poll(Duration::from_millis(100), 10_000, &mut |_| {})?;
        found += visited as u64;
        if visited > 0 {
            last = std::time::Instant::now();
        }
        ensure!(last.elapsed() < SILENCE, "the outputs end early: {found} records");
    }
    Ok(found)
}

/// A client of the broker that only asks.
fn plain(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", options.broker.options().bootstrap_servers);
    config
}

/// Deletes the topics whose names begin with the application's.
pub(crate) fn forget(options: &Options) -> Result<()> {
    let timeout = Duration::from_secs(30);
    let asking: BaseConsumer = plain(options).create()?;
    let all = asking.fetch_metadata(None, timeout)?;
    let own = format!("{}-", options.app_id());
    let names: Vec<&str> = all
        .topics()
        .iter()
        .map(|topic| topic.name())
        .filter(|name| name.starts_with(&own))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = plain(options).create()?;
    let deleted =
        admin.delete_topics(&names, &AdminOptions::new().operation_timeout(Some(timeout)));
    for topic in futures::executor::block_on(deleted)? {
        topic.map_err(|(name, code)| anyhow::anyhow!("deleting {name}: {code}"))?;
    }
    Ok(())
}
