//! Reading a topic to where it ends now, committed records only.

use std::time::Duration;

use log::error::LogError;
use log::record::{ConsumedRecord, TopicPartition};
use log::traits::{Admin, Isolation, Log, Reader, Visibility};

/// One poll, at most.
const POLL: Duration = Duration::from_millis(50);
/// Without a record for so long, a topic counts as unreadable.
const SILENCE: Duration = Duration::from_secs(30);

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
    if partitions.is_empty() {
        return Ok(());
    }
    let starts = admin.start_offsets(partitions)?;
    let from = from.iter().copied().chain(std::iter::repeat(None));
    let from =
        starts.into_iter().zip(from).map(|(start, from)| from.map_or(start, |at| at.max(start)));
    // Without isolation: a record may lie above a worker's open transaction, whose end is then waited for.
    let ends = admin.end_offsets(partitions, Isolation::ReadUncommitted)?;
    let mut reader = log.reader(client_id, Isolation::ReadCommitted, Visibility::Written)?;
    reader.assign(&partitions.iter().cloned().zip(from).collect::<Vec<_>>())?;
    reach_ends(reader.as_mut(), partitions, &ends, SILENCE, visit)
}

/// Visits what lies between where the reader is and `ends`, however much that is.
///
/// # Errors
/// The log's; `Retriable` where there is nothing to read for `silence` and the ends aren't reached.
pub(crate) fn reach_ends(
    reader: &mut dyn Reader,
    partitions: &[TopicPartition],
    ends: &[i64],
    silence: Duration,
    visit: &mut dyn FnMut(ConsumedRecord<'_>),
) -> Result<(), LogError> {
    let mut silent = Duration::ZERO;
    loop {
        let mut missing =
            partitions.iter().zip(ends).filter(|(at, end)| !reader.reached(at, **end));
        let Some((at, end)) = missing.next() else { return Ok(()) };
        if silent > silence {
            return Err(LogError::Retriable(format!("{at} can't be read to its end ({end})")));
        }
        let visited = reader.poll(POLL, 1_000, visit)?;
        silent = if visited > 0 { Duration::ZERO } else { silent + POLL };
    }
}
