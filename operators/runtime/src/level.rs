//! Waiting until a task has read what the log held: before a timer that is due fires, and before a record of a join goes
//! on while another input may still have an earlier one.
//!
//! Invariant: ends that somebody waits for were read after the timer was due, or after the record was there, and without
//! isolation. A transaction ends with a marker per partition, and these come one by one: a record that is visible already
//! may have a neighbour of the same transaction that lies above another partition's last stable offset. (Kafka Streams
//! waits for records below it only, so its joins may miss such a row.)

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::Isolation;

use crate::worker::{Clients, Slot};

/// Ends that the inputs of a join are to reach before its record goes on.
#[derive(Debug)]
struct Level {
    ends: Vec<i64>,
    /// When the patience with open transactions ends.
    until: i64,
}

/// What a task waits for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Ends that a due timer waits for.
    timer: Option<Vec<i64>>,
    /// Of a join: the ends that inputs without buffered records are to reach before the task takes others'.
    join: Option<Level>,
    /// Per input: the last stable offset whose transaction was waited for in vain. It isn't waited for again: what
    /// brought a visible record has ended, and its markers have had their time.
    given_up: Vec<Option<i64>>,
}

impl Waits {
    pub(crate) fn timer(&self) -> bool {
        self.timer.is_some()
    }

    pub(crate) fn join(&self) -> bool {
        self.join.is_some()
    }
}

/// Moves positions over holes: where the log has nothing left below the ends a timer or a record waits for, the task is
/// level with them. `patience_ms` is for open transactions that a join waits for.
pub(crate) fn proceed(
    slot: &mut Slot,
    clients: &Clients,
    now: i64,
    patience_ms: i64,
) -> Result<(), LogError> {
    if let Some(ends) = slot.waits.timer.take()
        && !advance(slot, clients, &ends)
    {
        slot.waits.timer = Some(ends);
    }
    if let Some(level) = slot.waits.join.take()
        && !advance(slot, clients, &level.ends)
    {
        if now >= level.until {
            give_up(slot, clients, &level.ends)?;
            return before_join(slot, clients, now, patience_ms);
        }
        slot.waits.join = Some(level);
    }
    Ok(())
}

/// Reads the ends a due timer needs; true if the task can go on at once.
pub(crate) fn before_timer(slot: &mut Slot, clients: &Clients, now: i64) -> Result<bool, LogError> {
    if slot.waits.timer() {
        return Ok(false);
    }
    let ends = clients.admin.end_offsets(&slot.inputs, Isolation::ReadUncommitted)?;
    slot.task.observe_ends(&ends, now);
    let level = advance(slot, clients, &ends);
    slot.waits.timer = (!level).then_some(ends);
    Ok(level)
}

/// Reads the ends that a record of a join needs.
pub(crate) fn before_join(
    slot: &mut Slot,
    clients: &Clients,
    now: i64,
    patience_ms: i64,
) -> Result<(), LogError> {
    let mut ends = clients.admin.end_offsets(&slot.inputs, Isolation::ReadUncommitted)?;
    if slot.waits.given_up.iter().any(Option::is_some) {
        let stable = clients.admin.end_offsets(&slot.inputs, Isolation::ReadCommitted)?;
        for ((end, stable), given_up) in ends.iter_mut().zip(stable).zip(&mut slot.waits.given_up) {
            match *given_up {
                Some(offset) if offset == stable && stable < *end => *end = stable,
                _ => *given_up = None,
            }
        }
    }
    slot.task.observe_level(&ends);
    let level = advance(slot, clients, &ends);
    slot.waits.join = (!level).then_some(Level { ends, until: now + patience_ms });
    Ok(())
}

/// Remembers where nothing but an open transaction keeps an input from its end.
fn give_up(slot: &mut Slot, clients: &Clients, ends: &[i64]) -> Result<(), LogError> {
    let stable = clients.admin.end_offsets(&slot.inputs, Isolation::ReadCommitted)?;
    let stands = |(source, ((at, stable), end)): (usize, ((&TopicPartition, i64), &i64))| {
        let read = slot.task.buffered(source) == 0 && clients.consumer.reached(at, stable);
        (read && stable < *end).then(|| {
            tracing::warn!(task = %slot.id, %at, offset = stable, "a transaction stays open here; a join goes on without its rows");
            stable
        })
    };
    let inputs = slot.inputs.iter().zip(stable).zip(ends).enumerate();
    slot.waits.given_up = inputs.map(stands).collect();
    Ok(())
}

/// True if all inputs have reached these ends.
fn advance(slot: &mut Slot, clients: &Clients, ends: &[i64]) -> bool {
    let mut level = true;
    for (source, (at, end)) in slot.inputs.iter().zip(ends).enumerate() {
        let position = slot.task.positions().get(source).copied().flatten().unwrap_or(0);
        if position >= *end {
            continue;
        }
        if slot.task.buffered(source) == 0 && clients.consumer.reached(at, *end) {
            slot.task.advance(source, *end);
        } else {
            level = false;
        }
    }
    level
}
