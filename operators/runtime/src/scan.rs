//! Reading a topic to where it ends now, committed records only.

use std::time::Duration;

use log::error::LogError;
use log::record::{ConsumedRecord, TopicPartition};
use log::traits::{Admin, Isolation, Log, Visibility};

/// Polls without progress before a topic counts as unreadable.
const POLLS_MAX: u32 = 600;

/// All partitions of a topic; none if there is no such topic.
pub(crate) fn partitions(admin: &dyn Admin, topic: &str) -> Result<Vec<TopicPartition>, LogError> {
    let found = admin.describe(&[topic])?.into_iter().next().flatten();
    let count = found.map_or(0, |topic| topic.partitions);
    Ok((0..count).map(|number| TopicPartition::new(topic, number)).collect())
}

/// Visits what lies between the start of each partition, or the offset in `from`, and its end.
///
/// # Errors
/// The log's, or that the end isn't reached.
pub(crate) fn read_to_end(
    log: &dyn Log,
    admin: &dyn Admin,
    client_id: &str,
    partitions: &[TopicPartition],
    from: &[Option<i64>],
    visit: &mut dyn FnMut(ConsumedRecord<'_>),
) -> Result<(), LogError> {
    let Some(first) = partitions.first() else { return Ok(()) };
    let starts = admin.start_offsets(partitions)?;
    let from = from.iter().copied().chain(std::iter::repeat(None));
    let from =
        starts.into_iter().zip(from).map(|(start, from)| from.map_or(start, |at| at.max(start)));
    // Without isolation: a record may lie above a worker's open transaction, whose end is then waited for.
    let ends = admin.end_offsets(partitions, Isolation::ReadUncommitted)?;
    let mut reader = log.reader(client_id, Isolation::ReadCommitted, Visibility::Written)?;
    reader.assign(&partitions.iter().cloned().zip(from).collect::<Vec<_>>())?;
    let mut silent = 0;
    while !partitions.iter().zip(&ends).all(|(at, end)| reader.reached(at, *end)) {
        let visited = reader.poll(Duration::from_millis(50), 1_000, visit)?;
        silent = if visited > 0 { 0 } else { silent + 1 };
        if silent > POLLS_MAX {
            let topic = &first.topic;
            return Err(LogError::Retriable(format!("{topic} can't be read to its end")));
        }
    }
    Ok(())
}
