//! What is on `dead_letters`: listing it, sending records back, putting them away.
//!
//! A letter is settled by a record without key or value behind it in its partition, whose headers name its offset
//! (`orders.dead-letter.settled`) and say how (`orders.dead-letter.how`: `replayed` or `discarded`). Retention takes
//! letters and settlements alike.
//!
//! Invariant: a settlement and the record it sends back are one transaction, under one transactional id for everybody,
//! and what is settled is read after the id was taken. So a letter is sent back at most once, whoever else tries at
//! the same time and whenever the process dies.

mod letter;

use std::collections::{BTreeMap, BTreeSet};

use log::error::LogError;
use log::record::{Header, NewRecord};
use log::traits::{Admin, Log, TxnProducer};
use operators::DEAD_LETTERS;

pub use letter::{BadLetterId, DeadLetter, LetterId};

use crate::scan::{partitions, read_to_end};
use letter::{Entry, HOW, REPLAYED, SETTLED};

/// Of a transaction.
const LETTERS_MAX: usize = 500;

/// How letters are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// The record goes to the end of the partition it came from, for every reader of that topic.
    Replay,
    /// Nothing is sent.
    Discard,
}

/// Why letters can't be settled; then none of the call's is.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No such letter, or it is settled.
    #[error("no dead letter {0}, or it is settled already")]
    Unknown(LetterId),
    /// It has nowhere to go back to.
    #[error("dead letter {id} can't be replayed: {why}; discard it, or send its cause again")]
    NotReplayable {
        /// Which.
        id: LetterId,
        /// Why.
        why: String,
    },
    /// The log failed. [`LogError::Fenced`]: somebody else settles letters at this moment.
    #[error("dead letters: {0}")]
    Log(#[from] LogError),
}

/// The open letters, oldest first within each partition.
///
/// # Errors
/// The log's, or that `dead_letters` can't be read to its end.
pub fn dead_letters(log: &dyn Log) -> Result<Vec<DeadLetter>, LogError> {
    let admin = log.admin()?;
    let open = open_letters(log, admin.as_ref())?;
    Ok(open.into_values().collect())
}

/// Settles letters, all or none; in transactions of 500, so that of more some may be settled when it fails.
///
/// # Errors
/// [`DeadLetterError`]; what it names is the first that stands in the way.
pub fn settle_dead_letters(
    log: &dyn Log,
    ids: &BTreeSet<LetterId>,
    how: Settle,
    now_ms: i64,
) -> Result<(), DeadLetterError> {
    let admin = log.admin()?;
    let mut producer = log.txn_producer("dead-letters", "dead-letters")?;
    producer.init()?;
    let open = open_letters(log, admin.as_ref())?;
    let mut letters = Vec::new();
    for id in ids {
        letters.push(open.get(id).ok_or(DeadLetterError::Unknown(*id))?);
    }
    if how == Settle::Replay {
        check_targets(admin.as_ref(), &letters)?;
    }
    for some in letters.chunks(LETTERS_MAX) {
        producer.begin()?;
        if let Err(error) = send(producer.as_mut(), some, how, now_ms) {
            // What isn't ended is ended by the next who takes the id.
            let _ended = producer.abort();
            return Err(error.into());
        }
        producer.commit()?;
    }
    Ok(())
}

fn send(
    producer: &mut dyn TxnProducer,
    letters: &[&DeadLetter],
    how: Settle,
    now_ms: i64,
) -> Result<(), LogError> {
    for letter in letters {
        let done: &[u8] = match (how, letter.partition) {
            (Settle::Replay, Some(partition)) => {
                let id = letter.id.to_string();
                let own = letter.headers.iter().filter(|(name, _)| name != REPLAYED);
                let mut headers: Vec<Header<'_>> =
                    own.map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                headers.push((REPLAYED, id.as_bytes()));
                let record = NewRecord {
                    key: letter.key.as_deref(),
                    value: letter.value.as_deref(),
                    timestamp: letter.timestamp.unwrap_or(now_ms),
                    headers: &headers,
                };
                producer.send(&letter.topic, partition, record)?;
                b"replayed"
            }
            _ => b"discarded",
        };
        let offset = letter.id.offset.to_string();
        let headers = [(SETTLED, offset.as_bytes()), (HOW, done)];
        let settled = NewRecord { key: None, value: None, timestamp: now_ms, headers: &headers };
        producer.send(DEAD_LETTERS, letter.id.partition, settled)?;
    }
    producer.flush()
}

/// Each record must have come from a partition that is still there.
fn check_targets(admin: &dyn Admin, letters: &[&DeadLetter]) -> Result<(), DeadLetterError> {
    let mut counts: BTreeMap<&str, Option<u32>> = BTreeMap::new();
    for letter in letters {
        let refuse = |why: String| DeadLetterError::NotReplayable { id: letter.id, why };
        let (Some(partition), Some(_)) = (letter.partition, letter.offset) else {
            let topic = &letter.topic;
            return Err(refuse(format!("it was an output for topic `{topic}`, not an input")));
        };
        let count = match counts.get(letter.topic.as_str()) {
            Some(count) => *count,
            None => {
                let found = admin.describe(&[&letter.topic])?;
                let count = found.first().and_then(Option::as_ref).map(|topic| topic.partitions);
                counts.insert(&letter.topic, count);
                count
            }
        };
        if count.is_none_or(|count| partition >= count) {
            return Err(refuse(format!("{}[{partition}] doesn't exist", letter.topic)));
        }
    }
    Ok(())
}

fn open_letters(
    log: &dyn Log,
    admin: &dyn Admin,
) -> Result<BTreeMap<LetterId, DeadLetter>, LogError> {
    let mut open = BTreeMap::new();
    let all = partitions(admin, DEAD_LETTERS)?;
    read_to_end(log, admin, "dead-letters", &all, &[], &mut |record| {
        let partition = record.partition;
        match letter::read(&record) {
            Entry::Letter(letter) => drop(open.insert(letter.id, *letter)),
            Entry::Settled(offset) => drop(open.remove(&LetterId { partition, offset })),
        }
    })?;
    Ok(open)
}
