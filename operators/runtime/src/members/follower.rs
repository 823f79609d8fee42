//! Follows the members' topic of one application, for who wants to know whom to ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log, Reader, Visibility};

use super::{Member, Roll, topic};
use crate::scan::reach_ends;

/// A log that gives nothing for so long is asked again by the next query.
const SILENCE: Duration = Duration::from_secs(2);

/// See the module page.
pub(crate) struct Members {
    log: Arc<dyn Log>,
    topic: String,
    follower: Mutex<Option<Follower>>,
}

struct Follower {
    admin: Box<dyn Admin>,
    reader: Box<dyn Reader>,
    roll: Roll,
}

/// The members of an application as the log has them now.
///
/// # Errors
/// The log can't be read. No member has ever told about itself: an empty list.
pub fn members(log: &Arc<dyn Log>, application: &str) -> Result<Vec<Member>, LogError> {
    if log.admin()?.describe(&[&topic(application)])? == [None] {
        return Ok(Vec::new());
    }
    Members::new(Arc::clone(log), application).now(|roll| roll.members().cloned().collect())
}

impl Members {
    pub(crate) fn new(log: Arc<dyn Log>, application: &str) -> Self {
        Self { log, topic: topic(application), follower: Mutex::new(None) }
    }

    /// What `read` makes of the members once the topic is read to its end.
    pub(crate) fn now<R>(&self, read: impl FnOnce(&Roll) -> R) -> Result<R, LogError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match follower.take() {
            Some(current) => current,
            None => Follower::open(self.log.as_ref(), &self.topic)?,
        };
        current.catch_up(&self.topic)?;
        // After a failure the next one begins anew.
        Ok(read(&follower.insert(current).roll))
    }
}

impl Follower {
    fn open(log: &dyn Log, topic: &str) -> Result<Self, LogError> {
        let admin = log.admin()?;
        let at = TopicPartition::new(topic, 0);
        let start = admin.start_offsets(std::slice::from_ref(&at))?;
        let mut reader = log.reader("members", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&[(at, start.first().copied().unwrap_or(0))])?;
        Ok(Self { admin, reader, roll: Roll::default() })
    }

    fn catch_up(&mut self, topic: &str) -> Result<(), LogError> {
        let at = [TopicPartition::new(topic, 0)];
        let ends = self.admin.end_offsets(&at, Isolation::ReadCommitted)?;
        let roll = &mut self.roll;
        reach_ends(self.reader.as_mut(), &at, &ends, SILENCE, &mut |record| roll.take(&record))
    }
}
