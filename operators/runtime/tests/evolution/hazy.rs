//! A broker that has just heard of the manifest's topic, or hasn't yet: it knows nothing of it, or not its id.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use log::{
    Admin, GroupDescription, Isolation, LogError, TopicDescription, TopicPartition, TopicSpec,
};

/// What it says when it is asked for the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    All,
    NoId,
    Nothing,
}

/// Answers to come, in turn; afterwards it knows all.
pub(crate) type Answers = Arc<Mutex<VecDeque<Told>>>;

pub(crate) struct Hazy {
    pub(crate) admin: Box<dyn Admin>,
    pub(crate) answers: Answers,
}

impl Admin for Hazy {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>, LogError> {
        let mut described = self.admin.describe(topics)?;
        for (topic, found) in topics.iter().zip(&mut described) {
            if !topic.ends_with("-manifest") {
                continue;
            }
            match self.answers.lock().unwrap().pop_front().unwrap_or(Told::All) {
                Told::All => {}
                Told::NoId => found.iter_mut().for_each(|topic| topic.id.clear()),
                Told::Nothing => *found = None,
            }
        }
        Ok(described)
    }

    fn log_id(&self) -> Result<String, LogError> {
        self.admin.log_id()
    }

    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.admin.ensure_topics(topics)
    }

    fn start_offsets(&self, of: &[TopicPartition]) -> Result<Vec<i64>, LogError> {
        self.admin.start_offsets(of)
    }

    fn end_offsets(
        &self,
        of: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<i64>, LogError> {
        self.admin.end_offsets(of, isolation)
    }

    fn committed_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, LogError> {
        self.admin.committed_offsets(group, of)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.admin.delete_records(before)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        self.admin.delete_topics(topics)
    }

    fn offsets_at(&self, of: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        self.admin.offsets_at(of, time_ms)
    }

    fn group(&self, group: &str) -> Result<GroupDescription, LogError> {
        self.admin.group(group)
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.admin.set_offsets(group, offsets)
    }

    fn forget_group(&self, group: &str) -> Result<(), LogError> {
        self.admin.forget_group(group)
    }
}
