//! Follows the members' topic of one application, for who wants to know whom to ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log, Reader, Visibility};

use super::{Member, Roll, topic};
use crate::scan::reach_ends;
use crate::turn::Turn;

/// A log that gives nothing for so long is asked again by the next query.
const SILENCE: Duration = Duration::from_secs(2);

/// See the module page.
pub(crate) struct Members {
    log: Arc<dyn Log>,
    topic: String,
    follower: Turn<Follower>,
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
    let all = |roll: &Roll| roll.members().cloned().collect();
    // Nobody else is there to wait for.
    Members::new(Arc::clone(log), application).now(Instant::now(), all)
}

impl Members {
    pub(crate) fn new(log: Arc<dyn Log>, application: &str) -> Self {
        Self { log, topic: topic(application), follower: Turn::default() }
    }

    /// What `read` makes of the members once the topic is read to its end.
    ///
    /// # Errors
    /// The log's; `Retriable` where others were at it until then: a log that doesn't answer holds up one of them at a time.
    pub(crate) fn now<R>(
        &self,
        until: Instant,
        read: impl FnOnce(&Roll) -> R,
    ) -> Result<R, LogError> {
        let Some(mut turn) = self.follower.take(until) else {
            let text =
                format!("{} is being read for another query, and the log is slow", self.topic);
            return Err(LogError::Retriable(text));
        };
        let mut current = match turn.has.take() {
            Some(current) => current,
            None => Follower::open(self.log.as_ref(), &self.topic)?,
        };
        current.catch_up(&self.topic)?;
        // After a failure the next one begins anew.
        Ok(read(&turn.has.insert(current).roll))
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
