//! Topics and offsets. Nothing here waits: a transaction has no unstable
//! offsets before it commits, and its commit is refused once the partition has
//! another owner. Where transactions lie open in the log, who asks for unstable
//! offsets is told to ask again.

use std::sync::Arc;

use super::keys;
use super::maintenance::delete_records;
use super::shared::Shared;
use super::upkeep;
use crate::{
    Admin, GroupDescription, Isolation, LogError, TopicDescription, TopicPartition, TopicSpec,
    Visibility,
};

pub(super) struct LogAdmin {
    pub(super) shared: Arc<Shared>,
}

impl Admin for LogAdmin {
    fn log_id(&self) -> Result<String, LogError> {
        Ok(self.shared.identity.clone())
    }

    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.shared.alive()?;
        let _order = self.shared.core.lock();
        self.shared.topics.ensure(self.shared.engine.as_ref(), topics)
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>, LogError> {
        self.shared.alive()?;
        let describe = |name: &&str| {
            let topic = self.shared.topics.find(name)?;
            let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
            Some(TopicDescription { id: topic.id.clone(), partitions })
        };
        Ok(topics.iter().map(describe).collect())
    }

    fn start_offsets(&self, of: &[TopicPartition]) -> Result<Vec<i64>, LogError> {
        self.shared.alive()?;
        of.iter().map(|at| Ok(self.shared.topics.partition(at)?.bounds().start)).collect()
    }

    fn end_offsets(
        &self,
        of: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<i64>, LogError> {
        self.shared.alive()?;
        of.iter()
            .map(|at| Ok(self.shared.topics.partition(at)?.visible(Visibility::Written, isolation)))
            .collect()
    }

    fn committed_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, LogError> {
        self.shared.alive()?;
        let core = self.shared.core.lock();
        of.iter()
            .map(|at| {
                let topic = self.shared.topics.get(&at.topic)?.number;
                let key = keys::offset(group, topic, at.partition);
                if core.open.may_change(&key) {
                    return Err(LogError::Retriable(format!(
                        "offsets of group `{group}` on {at} are unstable"
                    )));
                }
                keys::read_offset(self.shared.engine.as_ref(), &key).map_err(|error| {
                    LogError::Fatal(format!("offsets of group `{group}`: {error}"))
                })
            })
            .collect()
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.shared.alive()?;
        before.iter().try_for_each(|(at, before)| delete_records(&self.shared, at, *before))
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        self.shared.alive()?;
        upkeep::delete_topics(&self.shared, topics)
    }

    fn offsets_at(&self, of: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        self.shared.alive()?;
        of.iter()
            .map(|at| upkeep::offset_at(&self.shared, &*self.shared.topics.partition(at)?, time_ms))
            .collect()
    }

    fn group(&self, group: &str) -> Result<GroupDescription, LogError> {
        self.shared.alive()?;
        Ok(self.shared.core.lock().groups.describe(group))
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.shared.alive()?;
        upkeep::set_offsets(&self.shared, group, offsets)
    }

    fn forget_group(&self, group: &str) -> Result<(), LogError> {
        self.shared.alive()?;
        upkeep::forget_group(&self.shared, group)
    }
}
