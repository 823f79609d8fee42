//! Parked keys, from outside: what waits, and letting it go.
//!
//! Invariants:
//! * a command is sent only for a key that is parked and has none on its way. So the group's position in the control
//!   topic is read first, then what is parked, then the commands from that position on: one that is carried out
//!   meanwhile still counts as on its way, and none is missed;
//! * the commands of a call are one transaction, under an id that fences who does the same at the same time. Who dies
//!   before its commit has sent none, after it all; a second try finds them on their way, or the keys gone.

use std::collections::{BTreeMap, BTreeSet};

use log::error::LogError;
use log::record::NewRecord;
use log::traits::Log;
use operators::{ParkedKey, ParkedKeys, ParkingTopics, Topology};

use crate::scan::{partitions, read_to_end};

const CLIENT: &str = "parked-keys";

/// A parked key and where it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The name that was given to `park_key`.
    pub parking: String,
    /// Of the task, and of parking's topics.
    pub partition: u32,
    /// Key, cause, records.
    pub key: ParkedKey,
    /// A command for it was sent and isn't carried out yet.
    pub commanded: bool,
}

/// What becomes of a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetGo {
    /// Its records go on, in order, up to the first that fails again.
    Release,
    /// Its records are dropped and counted.
    Discard,
}

/// Why keys aren't let go; then none of the call's is.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// It isn't parked.
    #[error("key {key:?} isn't parked in `{parking}`, or was let go already")]
    NotParked {
        /// Where it was looked for.
        parking: String,
        /// Its bytes, readable.
        key: String,
    },
    /// Somebody has done it already.
    #[error(
        "a command for key {key:?} of `{parking}` is on its way; it is carried out when the application runs"
    )]
    OnItsWay {
        /// Where it is parked.
        parking: String,
        /// Its bytes, readable.
        key: String,
    },
    /// The log failed. [`LogError::Fenced`]: somebody else lets keys go at this moment.
    #[error("parked keys: {0}")]
    Log(#[from] LogError),
}

/// All parked keys of an application, by parking and partition; it needn't run.
///
/// # Errors
/// The log's, or that a topic can't be read to its end.
pub fn parked_keys(log: &dyn Log, topology: &Topology) -> Result<Vec<Parked>, LogError> {
    let mut all = Vec::new();
    for topics in topology.parkings() {
        all.extend(parked_in(log, topology, &topics)?);
    }
    Ok(all)
}

/// Sends a command for each of these keys (name of the parking, key), one however often it is named, all or none. The application carries them out,
/// each once, when it comes to them.
///
/// # Errors
/// [`ParkedError`]; what it names is the first that stands in the way.
pub fn let_go(
    log: &dyn Log,
    topology: &Topology,
    keys: &[(String, Vec<u8>)],
    how: LetGo,
    now_ms: i64,
) -> Result<(), ParkedError> {
    let id = format!("{CLIENT}-{}", topology.application_id());
    let mut producer = log.txn_producer(CLIENT, &id)?;
    producer.init()?;
    let parked = parked_keys(log, topology)?;
    let controls: BTreeMap<_, _> =
        topology.parkings().into_iter().map(|it| (it.name.to_string(), it.control)).collect();
    let command: &[u8] = match how {
        LetGo::Release => b"release",
        LetGo::Discard => b"discard",
    };
    let (mut commands, mut named) = (Vec::new(), BTreeSet::new());
    for (parking, key) in keys.iter().filter(|key| named.insert(*key)) {
        let found = parked.iter().find(|it| it.parking == *parking && it.key.key == *key);
        let (parking, readable) = (parking.clone(), key.escape_ascii().to_string());
        let (Some(found), Some(control)) = (found, controls.get(&parking)) else {
            return Err(ParkedError::NotParked { parking, key: readable });
        };
        if found.commanded {
            return Err(ParkedError::OnItsWay { parking, key: readable });
        }
        commands.push((control, found.partition, key));
    }
    if commands.is_empty() {
        return Ok(());
    }
    producer.begin()?;
    for (control, partition, key) in commands {
        let value = Some(command);
        let record = NewRecord { key: Some(key), value, timestamp: now_ms, headers: &[] };
        if let Err(error) = producer.send(control, partition, record) {
            // What isn't ended is ended by the next who takes the id.
            let _ended = producer.abort();
            return Err(error.into());
        }
    }
    producer.flush()?;
    Ok(producer.commit()?)
}

fn parked_in(
    log: &dyn Log,
    topology: &Topology,
    topics: &ParkingTopics,
) -> Result<Vec<Parked>, LogError> {
    let admin = log.admin()?;
    let admin = admin.as_ref();
    let group = crate::worker::group_of(topology);
    let (control, rows) =
        (partitions(admin, &topics.control)?, partitions(admin, &topics.changelog)?);
    if control.is_empty() || rows.is_empty() {
        return Ok(Vec::new());
    }
    let carried_out = admin.committed_offsets(&group, &control)?;
    let mut parked: BTreeMap<u32, ParkedKeys> = BTreeMap::new();
    read_to_end(log, admin, CLIENT, &rows, &[], &mut |record| {
        let keys = parked.entry(record.partition).or_default();
        keys.take(record.key.unwrap_or_default(), record.value);
    })?;
    let mut commanded = BTreeSet::new();
    read_to_end(log, admin, CLIENT, &control, &carried_out, &mut |record| {
        commanded.insert((record.partition, record.key.unwrap_or_default().to_vec()));
    })?;
    let all = parked.iter().flat_map(|(partition, keys)| {
        let commanded = &commanded;
        keys.keys().map(move |key| Parked {
            parking: topics.name.to_string(),
            partition: *partition,
            commanded: commanded.contains(&(*partition, key.key.clone())),
            key,
        })
    });
    Ok(all.collect())
}
