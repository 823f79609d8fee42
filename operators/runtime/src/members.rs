//! Who has which tasks: a compacted topic `<application.id>-members`, a record per member.
//!
//! A member writes its record when it has taken up an assignment and deletes it when it leaves. It is a hint, not a lock:
//! whoever is asked answers only for what it owns. Of two members that claim a task, the one whose record is later in
//! the topic took it up later, whether or not the other knows yet; unless a record had to be written again, by one that
//! was put out meanwhile. What can't be told or read here is never a reason not to work: it is tried again.
//!
//! Where standbys are on, a member says again and again that it is there and how warm they are. That is a record of its own,
//! under `<member>/standby`, because it is no claim.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::error::LogError;
use log::record::{NewRecord, TopicPartition};
use log::topic::{Cleanup, TopicSpec};
use log::traits::{Admin, Appender, Isolation, Log, Reader, Visibility};
use operators::TaskId;
use serde::{Deserialize, Serialize};

use crate::scan::reach_ends;
use crate::worker::Worker;

/// A log that gives nothing for so long is asked again by the next query.
const SILENCE: Duration = Duration::from_secs(2);

/// A record that didn't get there is written again after so long.
const AGAIN_MS: i64 = 1_000;

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
}

/// That a thread of an instance is there, with its standbys: records that were still missing in each when it last looked;
/// none where it hasn't looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) instance: String,
    pub(crate) thread: u32,
    pub(crate) standbys: BTreeMap<String, Option<u64>>,
}

/// `<application.id>-members`
pub(crate) fn topic(application: &str) -> String {
    format!("{application}-members")
}

/// Tells about one member.
pub(crate) struct Announcer {
    appender: Box<dyn Appender>,
    topic: String,
    key: String,
    member: Member,
    thread: u32,
    /// Of the record beside it; none before the first.
    standing_key: Option<String>,
    /// The last record didn't get there.
    failed: Arc<AtomicBool>,
    /// When it is written again.
    again_at: Option<i64>,
    has_left: bool,
}

impl Announcer {
    /// Makes the topic where it is missing. `thread` tells apart members of one process.
    pub(crate) fn open(
        log: &dyn Log,
        admin: &dyn Admin,
        member: Member,
        thread: u32,
        replication: i32,
    ) -> Result<Self, LogError> {
        let topic = topic(&member.application);
        let (name, partitions, cleanup) = (topic.clone(), 1, Cleanup::CompactOften);
        admin.ensure_topics(&[TopicSpec { name, partitions, replication, cleanup }])?;
        let appender = log.appender(&format!("{}-members", member.application))?;
        let key = format!("{}/{thread}", member.instance);
        Ok(Self {
            appender,
            topic,
            key,
            member,
            thread,
            standing_key: None,
            failed: Arc::default(),
            again_at: None,
            has_left: false,
        })
    }

    /// The member owns these tasks now.
    pub(crate) fn announce(&mut self, tasks: impl Iterator<Item = TaskId>, now: i64) {
        self.member.tasks = tasks.map(|id| id.to_string()).collect();
        match serde_json::to_vec(&self.member) {
            Ok(text) => self.append(&self.key, Some(&text), now, &self.failed),
            Err(error) => tracing::error!(%error, "a member can't be described"),
        }
    }

    /// The member is there, with these standbys.
    pub(crate) fn stand(&mut self, standbys: BTreeMap<String, Option<u64>>, now: i64) {
        let (instance, thread) = (self.member.instance.clone(), self.thread);
        match serde_json::to_vec(&Standing { instance, thread, standbys }) {
            Ok(text) => {
                let key = format!("{}/standby", self.key);
                // It is said again before long in any case.
                self.append(&key, Some(&text), now, &Arc::default());
                self.standing_key = Some(key);
            }
            Err(error) => tracing::error!(%error, "a member's standbys can't be described"),
        }
    }

    /// The member leaves: said once, and if it isn't heard, what it owned is somebody else's soon.
    pub(crate) fn retract(&mut self, now: i64) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.append(&self.key, None, now, &self.failed);
            if let Some(key) = &self.standing_key {
                self.append(key, None, now, &self.failed);
            }
        }
    }

    /// True once, a while after a record didn't get there.
    pub(crate) fn is_due(&mut self, now: i64) -> bool {
        if self.failed.load(Ordering::Relaxed) && self.failed.swap(false, Ordering::Relaxed) {
            self.again_at = Some(now + AGAIN_MS);
        }
        self.again_at.take_if(|at| *at <= now).is_some()
    }

    fn append(&self, key: &str, value: Option<&[u8]>, timestamp: i64, failed: &Arc<AtomicBool>) {
        let key = Some(key.as_bytes());
        let record = NewRecord { key, value, timestamp, headers: &[] };
        let (failed, topic) = (Arc::clone(failed), self.topic.clone());
        let done = Box::new(move |appended: log::traits::Appended| {
            if let Err(error) = appended {
                tracing::warn!(topic, %error, "the members' topic took no record; trying again");
                failed.store(true, Ordering::Relaxed);
            }
        });
        self.appender.append(&self.topic, Some(0), record, done);
    }
}

/// Follows the topic of one application.
pub(crate) struct Members {
    log: Arc<dyn Log>,
    topic: String,
    follower: Mutex<Option<Follower>>,
}

struct Follower {
    admin: Box<dyn Admin>,
    reader: Box<dyn Reader>,
    /// By the records' key, with the record's offset.
    members: BTreeMap<Vec<u8>, (i64, Member)>,
}

/// The members of an application as the log has them now.
///
/// # Errors
/// The log can't be read. No member has ever told about itself: an empty list.
pub fn members(log: &Arc<dyn Log>, application: &str) -> Result<Vec<Member>, LogError> {
    if log.admin()?.describe(&[&topic(application)])? == [None] {
        return Ok(Vec::new());
    }
    Members::new(Arc::clone(log), application).now(|members| members.cloned().collect())
}

impl Members {
    pub(crate) fn new(log: Arc<dyn Log>, application: &str) -> Self {
        Self { log, topic: topic(application), follower: Mutex::new(None) }
    }

    /// Who took up each of these tasks last.
    pub(crate) fn owners(&self, ids: &[TaskId]) -> Result<Vec<Option<Member>>, LogError> {
        self.now(|members| {
            let mut owners: BTreeMap<&str, &Member> = BTreeMap::new();
            // In the order of their records.
            for member in members {
                owners.extend(member.tasks.iter().map(|task| (task.as_str(), member)));
            }
            let owner = |id: &TaskId| owners.get(&*id.to_string()).map(|member| (*member).clone());
            ids.iter().map(owner).collect()
        })
    }

    /// What `read` makes of the members, the latest record last, once the topic is read to its end.
    fn now<R>(
        &self,
        read: impl for<'m> FnOnce(&mut dyn Iterator<Item = &'m Member>) -> R,
    ) -> Result<R, LogError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match follower.take() {
            Some(current) => current,
            None => Follower::open(self.log.as_ref(), &self.topic)?,
        };
        current.catch_up(&self.topic)?;
        // After a failure the next one begins anew.
        let current = follower.insert(current);
        let mut members: Vec<&(i64, Member)> = current.members.values().collect();
        members.sort_by_key(|(offset, _)| *offset);
        Ok(read(&mut members.into_iter().map(|(_, member)| member)))
    }
}

impl Follower {
    fn open(log: &dyn Log, topic: &str) -> Result<Self, LogError> {
        let admin = log.admin()?;
        let at = TopicPartition::new(topic, 0);
        let start = admin.start_offsets(std::slice::from_ref(&at))?;
        let mut reader = log.reader("members", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&[(at, start.first().copied().unwrap_or(0))])?;
        Ok(Self { admin, reader, members: BTreeMap::new() })
    }

    fn catch_up(&mut self, topic: &str) -> Result<(), LogError> {
        let at = [TopicPartition::new(topic, 0)];
        let ends = self.admin.end_offsets(&at, Isolation::ReadCommitted)?;
        let members = &mut self.members;
        reach_ends(self.reader.as_mut(), &at, &ends, SILENCE, &mut |record| {
            let Some(key) = record.key else { return };
            let value = record.value.and_then(|text| serde_json::from_slice(text).ok());
            match value {
                Some(member) => members.insert(key.to_vec(), (record.offset, member)),
                None => members.remove(key),
            };
        })
    }
}

impl Worker {
    /// Opens the way to the members' topic, where anybody is to know of this member or standbys are placed by it. If that
    /// fails it does without one, until the next assignment.
    pub(crate) fn open_announcer(&self, admin: &dyn Admin) -> Option<Announcer> {
        let places_standbys = self.settings.num_standby_replicas > 0;
        let nowhere = || places_standbys.then(String::new);
        let address = self.settings.advertised.clone().or_else(nowhere)?;
        let (application, instance) = (self.topology.application_id(), &self.settings.instance);
        let member = Member {
            application: application.to_owned(),
            instance: instance.clone(),
            address,
            tasks: Vec::new(),
        };
        let (thread, replication) = (self.settings.thread, self.replication);
        let opened = Announcer::open(self.log.as_ref(), admin, member, thread, replication);
        opened
            .inspect_err(|error| {
                tracing::warn!(application, %error, "nobody is told what this member owns: queries aren't passed on to it");
            })
            .ok()
    }

    /// Tells what this member owns.
    pub(crate) fn announce(&mut self, now: i64) {
        if self.announcer.is_none() {
            self.announcer =
                self.clients.as_ref().and_then(|it| self.open_announcer(it.admin.as_ref()));
        }
        if let Some(announcer) = &mut self.announcer {
            announcer.announce(self.slots.iter().map(|slot| slot.id), now);
        }
    }

    /// Tells it again, if it wasn't heard.
    pub(crate) fn announce_again(&mut self, now: i64) {
        if self.announcer.as_mut().is_some_and(|announcer| announcer.is_due(now)) {
            self.announce(now);
        }
    }
}
