//! What one worker thread tells of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use operators::TaskId;

use super::announcements::Post;
use super::{Announcements, Member, Standing, topic};
use crate::worker::Worker;

/// Tells about one member.
pub(crate) struct Announcer {
    board: Arc<Announcements>,
    topic: String,
    key: String,
    member: Member,
    thread: u32,
    replication: i32,
    /// There is a record beside its own.
    has_stood: bool,
    has_left: bool,
}

impl Announcer {
    /// The member owns these tasks since the assignment of this epoch.
    fn announce(&mut self, tasks: impl Iterator<Item = TaskId>, epoch: i32, now: i64) {
        self.member.tasks = tasks.map(|id| id.to_string()).collect();
        self.member.epoch = Some(epoch);
        match serde_json::to_vec(&self.member) {
            Ok(text) => self.post(&self.key, Some(text), now),
            Err(error) => tracing::error!(%error, "a member can't be described"),
        }
    }

    /// The member is there, with these standbys, or with copies of what it is to have once it has joined.
    pub(crate) fn stand(
        &mut self,
        standbys: BTreeMap<String, Option<u64>>,
        is_warming: bool,
        now: i64,
    ) {
        let standing = Standing {
            instance: self.member.instance.clone(),
            thread: self.thread,
            standbys,
            is_warming,
            address: self.member.address.clone(),
        };
        match serde_json::to_vec(&standing) {
            Ok(text) => {
                self.has_stood = true;
                self.post(&self.standing_key(), Some(text), now);
            }
            Err(error) => tracing::error!(%error, "a member's standbys can't be described"),
        }
    }

    /// The member leaves.
    pub(crate) fn retract(&mut self, now: i64) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.post(&self.key, None, now);
            if self.has_stood {
                self.post(&self.standing_key(), None, now);
            }
        }
    }

    fn standing_key(&self) -> String {
        format!("{}/standby", self.key)
    }

    fn post(&self, key: &str, value: Option<Vec<u8>>, timestamp: i64) {
        self.board.post(&self.topic, key, Post { value, timestamp, replication: self.replication });
    }
}

impl Worker {
    /// Tells the other members through the way that the threads of a process share, in place of one of its own. Before the
    /// first step.
    pub fn announce_through(&mut self, board: &Arc<Announcements>) {
        self.announcements = Some(Arc::clone(board));
    }

    /// What tells of this member, where anybody is to know of it or standbys are placed by it.
    pub(crate) fn announcer(&self) -> Option<Announcer> {
        let places_standbys = self.settings.num_standby_replicas > 0;
        let nowhere = || places_standbys.then(String::new);
        let address = self.settings.advertised.clone().or_else(nowhere)?;
        let (application, instance) = (self.topology.application_id(), &self.settings.instance);
        let (thread, replication) = (self.settings.thread, self.replication);
        let own = || Announcements::inline(&self.log);
        Some(Announcer {
            board: self.announcements.clone().unwrap_or_else(own),
            topic: topic(application),
            key: format!("{instance}/{thread}"),
            member: Member {
                application: application.to_owned(),
                instance: instance.clone(),
                address,
                tasks: Vec::new(),
                epoch: None,
            },
            thread,
            replication,
            has_stood: false,
            has_left: false,
        })
    }

    /// Tells what this member owns. One that the group has put out meanwhile has nothing to tell: its next event says so.
    pub(crate) fn announce(&mut self, now: i64) {
        let held = self.membership.as_ref().filter(|held| held.generation >= 0);
        if let (Some(announcer), Some(epoch)) =
            (&mut self.announcer, held.and_then(|held| held.epoch))
        {
            announcer.announce(self.slots.iter().map(|slot| slot.id), epoch, now);
        }
    }

    /// Tells again what wasn't heard.
    pub(crate) fn announce_again(&mut self, now: i64) {
        if let Some(announcer) = &self.announcer {
            announcer.board.look(now);
        }
    }
}
