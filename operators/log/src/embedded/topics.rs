//! The topics of the log: read from the engine on opening, then kept in memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::RwLock;
use state_stores::{Direction, Durability, Engine, StoreError, WriteBatch};
use uuid::Uuid;

use super::keys::{self, Bounds, TopicRow};
use super::partition::Partition;
use crate::topic::Cleanup;
use crate::{LogError, TopicPartition, TopicSpec};

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    /// Derived from the log's identity and the number, which is never reused.
    pub(super) id: String,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) cleanup: RwLock<Cleanup>,
}

impl Topic {
    fn new(name: &str, row: &TopicRow, identity: &Uuid, bounds: &[Bounds]) -> Self {
        let name: Arc<str> = name.into();
        let partitions = (0..row.partitions)
            .zip(bounds)
            .map(|(index, bounds)| {
                let at = TopicPartition::new(Arc::clone(&name), index);
                Arc::new(Partition::new(at, row.number, *bounds))
            })
            .collect();
        let id = Uuid::new_v5(identity, &row.number.to_be_bytes()).to_string();
        Self { name, number: row.number, id, partitions, cleanup: RwLock::new(row.cleanup.clone()) }
    }

    /// True where a record without a key would stay for ever.
    pub(super) fn is_compacted(&self) -> bool {
        self.cleanup.read().is_compacted()
    }

    pub(super) fn partition(&self, index: u32) -> Result<&Arc<Partition>, LogError> {
        self.partitions.get(index as usize).ok_or_else(|| {
            let count = self.partitions.len();
            LogError::Fatal(format!(
                "topic `{}` has {count} partitions, there is no {index}",
                self.name
            ))
        })
    }
}

#[derive(Debug)]
pub(super) struct Topics {
    identity: Uuid,
    by_name: RwLock<ByName>,
}

impl Topics {
    /// Reads what the engine knows.
    pub(super) fn open(engine: &dyn Engine, identity: Uuid) -> Result<Self, LogError> {
        let mut rows = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            rows.push((key[keys::TOPICS.len()..].to_vec(), TopicRow::decode(value)));
            ControlFlow::Continue(())
        };
        engine
            .scan(keys::TOPICS, Some(keys::TOPICS_END), Direction::Forward, &mut visit)
            .map_err(|error| LogError::Fatal(format!("reading the topics: {error}")))?;
        let mut by_name = BTreeMap::new();
        for (name, row) in rows {
            let damaged =
                || LogError::Fatal("a topic's row is damaged; restore the data folder".to_owned());
            let row = row.ok_or_else(damaged)?;
            let name = String::from_utf8(name).map_err(|_| damaged())?;
            let bounds = read_bounds(engine, &name, &row)?;
            let topic = Arc::new(Topic::new(&name, &row, &identity, &bounds));
            by_name.insert(Arc::clone(&topic.name), topic);
        }
        Ok(Self { identity, by_name: RwLock::new(by_name) })
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().get(name).cloned()
    }

    /// The topic, or an error that names it.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        self.find(name).ok_or_else(|| {
            LogError::Fatal(format!(
                "topic `{name}` does not exist; create it first (`orders topics create`)"
            ))
        })
    }

    /// The topic with this number.
    pub(super) fn numbered(&self, number: u32) -> Option<Arc<Topic>> {
        self.by_name.read().values().find(|topic| topic.number == number).cloned()
    }

    pub(super) fn partition(&self, at: &TopicPartition) -> Result<Arc<Partition>, LogError> {
        Ok(Arc::clone(self.get(&at.topic)?.partition(at.partition)?))
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Creates what is missing, all or nothing. Caller has the write lock.
    pub(super) fn ensure(&self, engine: &dyn Engine, specs: &[TopicSpec]) -> Result<(), LogError> {
        let mut by_name = self.by_name.write();
        let mut batch = WriteBatch::new();
        let mut created = Vec::new();
        let mut changed = Vec::new();
        let mut number = next_number(engine, &by_name)?;
        for spec in specs {
            let row = match by_name.get(spec.name.as_str()) {
                Some(topic) => {
                    check_count(topic, spec)?;
                    if *topic.cleanup.read() == spec.cleanup {
                        continue;
                    }
                    changed.push((Arc::clone(topic), spec.cleanup.clone()));
                    TopicRow {
                        number: topic.number,
                        partitions: spec.partitions,
                        cleanup: spec.cleanup.clone(),
                    }
                }
                None if spec.name.is_empty() || spec.partitions == 0 => {
                    let name = &spec.name;
                    return Err(LogError::Fatal(format!(
                        "topic `{name}` needs a name and at least one partition"
                    )));
                }
                None => {
                    let row = TopicRow {
                        number,
                        partitions: spec.partitions,
                        cleanup: spec.cleanup.clone(),
                    };
                    let bounds = vec![Bounds::NEW; spec.partitions as usize];
                    created.push(Arc::new(Topic::new(&spec.name, &row, &self.identity, &bounds)));
                    number += 1;
                    row
                }
            };
            batch.put(&keys::topic(&spec.name), &row.encode());
        }
        if batch.is_empty() {
            return Ok(());
        }
        engine
            .write(&batch, Durability::Synced)
            .map_err(|error| LogError::Fatal(format!("creating topics: {error}")))?;
        for (topic, cleanup) in changed {
            *topic.cleanup.write() = cleanup;
        }
        by_name.extend(created.into_iter().map(|topic| (Arc::clone(&topic.name), topic)));
        Ok(())
    }

    /// Removes those of these topics that exist, with all they hold and what was committed of them, all or nothing.
    /// Gives what was removed. Caller has the write lock.
    pub(super) fn delete(
        &self,
        engine: &dyn Engine,
        names: &[&str],
    ) -> Result<Vec<Arc<Topic>>, LogError> {
        let mut by_name = self.by_name.write();
        let gone: Vec<Arc<Topic>> =
            names.iter().filter_map(|name| by_name.get(*name).cloned()).collect();
        if gone.is_empty() {
            return Ok(gone);
        }
        let numbers: Vec<u32> = gone.iter().map(|topic| topic.number).collect();
        let failed = |error| LogError::Fatal(format!("deleting topics: {error}"));
        let mut batch = WriteBatch::new();
        batch.put(keys::NEXT_TOPIC_KEY, &next_number(engine, &by_name)?.to_be_bytes());
        for topic in &gone {
            let (number, next) = (topic.number, topic.number + 1);
            batch.delete(&keys::topic(&topic.name));
            batch.delete_range(&keys::partition(number, 0), &keys::partition(next, 0));
            batch.delete_range(&keys::row(number, 0, 0), &keys::row(next, 0, 0));
        }
        for key in offsets_of(engine, &numbers).map_err(failed)? {
            batch.delete(&key);
        }
        engine.write(&batch, Durability::Synced).map_err(failed)?;
        by_name.retain(|_, topic| !numbers.contains(&topic.number));
        Ok(gone)
    }
}

type ByName = BTreeMap<Arc<str>, Arc<Topic>>;

/// The number of the next new topic. None is ever used again: ids derive from them.
fn next_number(engine: &dyn Engine, by_name: &ByName) -> Result<u32, LogError> {
    let mut deleted = None;
    let mut read = |bytes: &[u8]| deleted = bytes.as_array::<4>().map(|it| u32::from_be_bytes(*it));
    engine
        .get_with(keys::NEXT_TOPIC_KEY, &mut read)
        .map_err(|error| LogError::Fatal(format!("numbering topics: {error}")))?;
    let present = by_name.values().map(|topic| topic.number + 1).max();
    Ok(present.max(deleted).unwrap_or(0))
}

/// Keys of what groups have committed of these topics.
fn offsets_of(engine: &dyn Engine, numbers: &[u32]) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        if keys::topic_of_offset(key).is_some_and(|number| numbers.contains(&number)) {
            found.push(key.to_vec());
        }
        ControlFlow::Continue(())
    };
    engine.scan(keys::OFFSETS, Some(keys::OFFSETS_END), Direction::Forward, &mut visit)?;
    Ok(found)
}

fn check_count(topic: &Topic, spec: &TopicSpec) -> Result<(), LogError> {
    let (found, wanted) = (topic.partitions.len(), spec.partitions);
    if found == wanted as usize {
        return Ok(());
    }
    let name = &spec.name;
    Err(LogError::Fatal(format!(
        "topic `{name}` has {found} partitions, but {wanted} are asked for; use the count it has, or another data folder"
    )))
}

fn read_bounds(engine: &dyn Engine, name: &str, row: &TopicRow) -> Result<Vec<Bounds>, LogError> {
    (0..row.partitions)
        .map(|index| {
            let mut bounds = Some(Bounds::NEW);
            engine
                .get_with(&keys::partition(row.number, index), &mut |bytes| {
                    bounds = Bounds::decode(bytes)
                })
                .map_err(|error| LogError::Fatal(format!("reading {name}[{index}]: {error}")))?;
            bounds.ok_or_else(|| {
                LogError::Fatal(format!("{name}[{index}] is damaged; restore the data folder"))
            })
        })
        .collect()
}
