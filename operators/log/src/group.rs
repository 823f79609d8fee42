//! Who is in a consumer group, as the log's coordinator sees it.

use crate::LogError;
use crate::record::TopicPartition;

/// A consumer group at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// In the words of the coordinator: `Stable`, `Empty`, `Dead` (it isn't known), or that it rebalances.
    pub state: String,
    /// Also those that are joining. One that was killed stays until its session ends.
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// [`GroupOptions::client_id`](crate::GroupOptions::client_id).
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it owns.
    pub partitions: Vec<TopicPartition>,
}

impl GroupDescription {
    /// The error of a change that must wait until everybody has left.
    pub(crate) fn refuse_members(&self, group: &str) -> Result<(), LogError> {
        let names: Vec<&str> =
            self.members.iter().map(|member| member.client_id.as_str()).collect();
        if names.is_empty() { Ok(()) } else { Err(has_members(group, &names.join(", "))) }
    }
}

/// Somebody is in the group.
pub(crate) fn has_members(group: &str, who: &str) -> LogError {
    LogError::Fatal(format!("group `{group}` has members ({who}): stop them first"))
}
