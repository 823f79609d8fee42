//! Who has which tasks: a compacted topic `<application.id>-members`, a record per member.
//!
//! A member writes its record when it has taken up an assignment and deletes it when it leaves. It is a hint, not a lock:
//! whoever is asked answers only for what it owns. Of two members that claim a task, the one whose assignment is of a later
//! generation of the group took it up later, whether or not the other knows yet ([`Member::epoch`]). What can't be told or
//! read here is never a reason not to work: it is tried again, beside the work (`announcements`).
//!
//! Where standbys are on, a member says again and again that it is there and how warm they are. That is a record of its own,
//! under `<member>/standby`, because it is no claim.

mod announcements;
mod announcer;
mod follower;
mod roll;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use announcements::Announcements;
pub(crate) use announcer::Announcer;
pub(crate) use follower::Members;
pub use follower::members;
pub(crate) use roll::Roll;

/// A member of an application's group, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `application.id`.
    pub application: String,
    /// Name of its process ([`WorkerSettings::instance`](crate::WorkerSettings::instance)).
    pub instance: String,
    /// Host and port of its admin endpoint; empty where nobody can reach it.
    pub address: String,
    /// `<sub-topology>_<partition>`, those it owns.
    pub tasks: Vec<String>,
    /// Generation of the group in which they were assigned ([`GroupMetadata::epoch`](log::traits::GroupMetadata::epoch));
    /// none of members that keep standbys only, and of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
}

/// That a thread of an instance is there, with its standbys: records that were still missing in each when it last looked;
/// none where it hasn't looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) instance: String,
    pub(crate) thread: u32,
    pub(crate) standbys: BTreeMap<String, Option<u64>>,
    /// As [`Member::address`].
    #[serde(default)]
    pub(crate) address: String,
    /// It hasn't joined the group: its copies are of what it is to have then.
    #[serde(default, rename = "warming")]
    pub(crate) is_warming: bool,
}

impl Standing {
    /// Whom to ask for a standby.
    pub(crate) fn as_member(&self, application: &str) -> Member {
        Member {
            application: application.to_owned(),
            instance: self.instance.clone(),
            address: self.address.clone(),
            tasks: Vec::new(),
            epoch: None,
        }
    }
}

/// `<application.id>-members`
pub(crate) fn topic(application: &str) -> String {
    format!("{application}-members")
}
