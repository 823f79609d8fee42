//! What a person does to a log whose applications stand still: sets offsets, forgets groups, deletes topics.
//!
//! Invariant: each of these is one synced batch under the write lock, so a crash leaves all of it or nothing.

use std::ops::ControlFlow;

use state_stores::{Direction, Durability, WriteBatch, keys::after_prefix};

use super::keys;
use super::partition::Partition;
use super::shared::{Core, Shared};
use crate::{Isolation, LogError, TopicPartition, Visibility};

/// See [`crate::Admin::set_offsets`].
pub(super) fn set_offsets(
    shared: &Shared,
    group: &str,
    offsets: &[(TopicPartition, i64)],
) -> Result<(), LogError> {
    let core = &mut *shared.core.lock();
    core.groups.describe(group).refuse_members(group)?;
    let mut batch = WriteBatch::new();
    for (at, offset) in offsets {
        if *offset < 0 {
            return Err(LogError::Fatal(format!("{at}: {offset} isn't an offset")));
        }
        let key = keys::offset(group, shared.topics.partition(at)?.topic, at.partition);
        refuse_unstable(core, group, &key)?;
        batch.put(&key, &offset.to_be_bytes());
    }
    write(shared, &batch, &format!("offsets of group `{group}`"))
}

/// See [`crate::Admin::forget_group`].
pub(super) fn forget_group(shared: &Shared, group: &str) -> Result<(), LogError> {
    let core = &mut *shared.core.lock();
    core.groups.describe(group).refuse_members(group)?;
    let first = keys::offsets(group);
    let mut batch = WriteBatch::new();
    let mut stable = Ok(());
    let mut visit = |key: &[u8], _: &[u8]| {
        stable = refuse_unstable(core, group, key);
        batch.delete(key);
        if stable.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    shared
        .engine
        .scan(&first, after_prefix(&first).as_deref(), Direction::Forward, &mut visit)
        .map_err(|error| LogError::Fatal(format!("offsets of group `{group}`: {error}")))?;
    stable?;
    write(shared, &batch, &format!("offsets of group `{group}`"))
}

/// See [`crate::Admin::delete_topics`].
pub(super) fn delete_topics(shared: &Shared, names: &[&str]) -> Result<(), LogError> {
    let mut maintenance = shared.maintenance.lock();
    let _order = shared.core.lock();
    let gone = shared.topics.delete(shared.engine.as_ref(), names)?;
    if !gone.is_empty() {
        maintenance.forget();
    }
    for partition in gone.iter().flat_map(|topic| &topic.partitions) {
        partition.deleted(&shared.budget);
    }
    Ok(())
}

/// See [`crate::Admin::offsets_at`]. Reads the partition up to that record.
pub(super) fn offset_at(
    shared: &Shared,
    partition: &Partition,
    time_ms: i64,
) -> Result<i64, LogError> {
    let seen = (Visibility::Written, Isolation::ReadCommitted);
    let (mut position, end) = (partition.bounds().start, partition.visible(seen.0, seen.1));
    while position < end {
        let loaded = partition.load(shared.engine.as_ref(), position, seen)?;
        for batch in &loaded.batches {
            let mut at = super::batch::HEAD;
            while let Some((entry, next)) = batch.entry(at) {
                if entry.offset >= position && entry.timestamp >= time_ms {
                    return Ok(entry.offset.min(end));
                }
                at = next;
            }
        }
        position = loaded.next;
    }
    Ok(end)
}

/// A transaction that is open has offsets for this row.
fn refuse_unstable(core: &Core, group: &str, key: &[u8]) -> Result<(), LogError> {
    if core.open.may_change(key) {
        return Err(LogError::Retriable(format!("offsets of group `{group}` are unstable")));
    }
    Ok(())
}

fn write(shared: &Shared, batch: &WriteBatch, what: &str) -> Result<(), LogError> {
    let written = shared.engine.write(batch, Durability::Synced);
    written.map_err(|error| LogError::Fatal(format!("writing {what}: {error}")))
}
