//! The group coordinator: a pure state machine over members, with time as an
//! argument.
//!
//! ```text
//! Joined ──(all joined: new generation)──▶ AssignDue ─poll▶ AssignAsked ─ack▶ Active
//!    ▲                                         │                                 │
//!    └──ack── RevokeAsked ◀─poll─ RevokeDue ◀──┴──────(somebody joins or leaves)─┘
//! ```
//!
//! Invariants: a new generation begins only when every member has given up what
//! it owned, or was expelled; a partition has one owner at a time; offsets are
//! accepted only from the present generation and for partitions the member
//! owns. Groups live in memory: after a restart they are empty, which is right,
//! because all members lived in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::assignor::range;
use super::options::millis;
use crate::signal::Signal;
use crate::{
    GroupDescription, GroupMember, GroupMetadata, GroupOptions, LogError, Polled, TopicPartition,
};

/// What a member's consumer and the coordinator share without a lock.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// An event waits.
    pub(super) attention: AtomicBool,
    /// The log's clock at the last call of the consumer.
    pub(super) seen: AtomicI64,
    /// The consumer is inside a poll, which may wait for long.
    pub(super) polling: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Joined,
    AssignDue,
    AssignAsked,
    Active,
    RevokeDue,
    RevokeAsked,
}

#[derive(Debug)]
struct Member {
    topics: Vec<Arc<str>>,
    session_ms: i64,
    poll_ms: i64,
    stage: Stage,
    owned: Vec<TopicPartition>,
    /// Unsubscribed; gone once the revoke is answered.
    leaving: bool,
    /// Another revoke is due after the one being answered.
    owes_revoke: bool,
    /// Didn't poll in time; others may own its partitions.
    lost: bool,
    /// The consumer was dropped without leaving, then.
    dropped_at: Option<i64>,
    pulse: Arc<Pulse>,
    signal: Arc<Signal>,
}

impl Member {
    fn is_in(&self) -> bool {
        !self.lost && !self.leaving
    }

    /// A rebalance must wait for it.
    fn holds_up(&self) -> bool {
        if self.is_in() {
            self.stage != Stage::Joined
        } else {
            !self.lost && !self.owned.is_empty()
        }
    }

    fn event(&mut self, stage: Stage) {
        self.stage = stage;
        self.pulse.attention.store(true, Ordering::Release);
        self.signal.raise();
    }
}

#[derive(Debug, Default)]
struct Group {
    generation: i32,
    rebalancing: bool,
    members: BTreeMap<String, Member>,
}

/// All groups of the log.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<String, Group>,
    joined: u64,
}

/// Partition count of a topic.
pub(super) type Count<'a> = &'a dyn Fn(&str) -> u32;

impl Groups {
    /// A consumer joins; gives its member id.
    pub(super) fn join(
        &mut self,
        options: &GroupOptions,
        topics: Vec<Arc<str>>,
        pulse: &Arc<Pulse>,
        signal: &Arc<Signal>,
        count: Count<'_>,
    ) -> String {
        self.joined += 1;
        let id = format!("{}-{:08}", options.client_id, self.joined);
        let member = Member {
            topics,
            session_ms: millis(options.session_timeout),
            poll_ms: millis(options.max_poll_interval),
            stage: Stage::Joined,
            owned: Vec::new(),
            leaving: false,
            owes_revoke: false,
            lost: false,
            dropped_at: None,
            pulse: Arc::clone(pulse),
            signal: Arc::clone(signal),
        };
        let group = self.groups.entry(options.group.clone()).or_default();
        group.members.insert(id.clone(), member);
        group.rebalance(count);
        id
    }

    /// A member wants other topics.
    pub(super) fn resubscribe(
        &mut self,
        group: &str,
        id: &str,
        topics: Vec<Arc<str>>,
        count: Count<'_>,
    ) {
        if let Some(group) = self.groups.get_mut(group)
            && let Some(member) = group.members.get_mut(id)
        {
            member.topics = topics;
            group.rebalance(count);
        }
    }

    /// The event that waits for a member.
    pub(super) fn take_event(&mut self, group: &str, id: &str) -> Option<Polled> {
        let member = self.member(group, id)?;
        member.pulse.attention.store(false, Ordering::Release);
        match member.stage {
            Stage::AssignDue => {
                member.stage = Stage::AssignAsked;
                Some(Polled::Assign(member.owned.clone()))
            }
            Stage::RevokeDue => {
                member.stage = Stage::RevokeAsked;
                Some(Polled::Revoke { lost: member.lost, partitions: member.owned.clone() })
            }
            _ => None,
        }
    }

    /// The member reads now. Gives the partitions it may read.
    pub(super) fn ack_assign(
        &mut self,
        group: &str,
        id: &str,
    ) -> Result<(GroupMetadata, Vec<TopicPartition>), LogError> {
        let generation = self.groups.get(group).map_or(-1, |group| group.generation);
        let rebalancing = self.groups.get(group).is_some_and(|group| group.rebalancing);
        // One that is leaving may have been about to answer.
        let asked = |member: &&mut Member| {
            member.stage == Stage::AssignAsked
                || (member.stage == Stage::RevokeDue && member.leaving)
        };
        let member = self.member(group, id).filter(asked).ok_or_else(|| {
            LogError::Fatal(format!("no assignment of group `{group}` to answer"))
        })?;
        if rebalancing || member.leaving || member.lost {
            member.event(Stage::RevokeDue);
        } else {
            member.stage = Stage::Active;
        }
        let owned = member.owned.clone();
        Ok((
            GroupMetadata {
                group: group.to_owned(),
                generation,
                epoch: Some(generation),
                member: id.to_owned(),
                native: None,
            },
            owned,
        ))
    }

    /// The member has given up what it owned. True: it has left.
    pub(super) fn ack_revoke(
        &mut self,
        group: &str,
        id: &str,
        count: Count<'_>,
    ) -> Result<bool, LogError> {
        let missing = || LogError::Fatal(format!("no revoke of group `{group}` to answer"));
        let group = self.groups.get_mut(group).ok_or_else(missing)?;
        let member = group.members.get_mut(id).ok_or_else(missing)?;
        if member.stage == Stage::RevokeDue {
            // The session ended meanwhile: another revoke follows, as lost.
            return Ok(false);
        }
        if member.stage != Stage::RevokeAsked {
            return Err(missing());
        }
        member.owned.clear();
        let rejoins = std::mem::take(&mut member.lost);
        let left = member.leaving && !member.owes_revoke;
        if left {
            group.members.remove(id);
        } else if std::mem::take(&mut member.owes_revoke) {
            member.event(Stage::RevokeDue);
        } else {
            member.stage = Stage::Joined;
        }
        if left || rejoins {
            group.rebalance(count);
        } else {
            group.complete(count);
        }
        Ok(left)
    }

    /// The member wants to leave; a revoke follows.
    pub(super) fn leave(&mut self, group: &str, id: &str, count: Count<'_>) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(member) = group.members.get_mut(id) else { return };
        member.leaving = true;
        match member.stage {
            Stage::RevokeAsked => member.owes_revoke = true,
            Stage::AssignAsked | Stage::Active | Stage::RevokeDue => {
                member.event(Stage::RevokeDue);
            }
            Stage::Joined | Stage::AssignDue => {
                member.owned.clear();
                member.event(Stage::RevokeDue);
            }
        }
        group.rebalance(count);
    }

    /// The consumer is gone without leaving. It stays a member for its session
    /// timeout if it owns something, as a crashed one would on Kafka.
    pub(super) fn dropped(&mut self, group: &str, id: &str, now: i64, count: Count<'_>) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(member) = group.members.get_mut(id) else { return };
        member.dropped_at = Some(now);
        if member.owned.is_empty() {
            group.members.remove(id);
            group.rebalance(count);
        }
    }

    /// Ends the sessions of who was dropped or didn't poll.
    pub(super) fn expire(&mut self, now: i64, count: Count<'_>) {
        for (name, group) in &mut self.groups {
            let before = group.members.len();
            group.members.retain(|_, member| {
                member.dropped_at.is_none_or(|at| now - at < member.session_ms)
            });
            let mut changed = group.members.len() != before;
            for (id, member) in &mut group.members {
                let idle = now - member.pulse.seen.load(Ordering::Acquire);
                let late = idle > member.poll_ms && !member.pulse.polling.load(Ordering::Acquire);
                // One that owns nothing may still owe an answer that everybody waits for.
                let in_the_way = !member.owned.is_empty() || member.holds_up();
                if late && !member.lost && member.dropped_at.is_none() && in_the_way {
                    tracing::warn!(
                        group = name,
                        member = id,
                        idle,
                        "a member did not poll in time and loses its partitions"
                    );
                    member.lost = true;
                    // An assignment that is still being answered is revoked after the answer.
                    if member.stage != Stage::AssignAsked {
                        member.event(Stage::RevokeDue);
                    }
                    changed = true;
                }
            }
            if changed {
                group.rebalance(count);
            }
        }
    }

    /// Who is in the group.
    pub(super) fn describe(&self, group: &str) -> GroupDescription {
        let Some(group) = self.groups.get(group) else {
            return GroupDescription { state: "Dead".to_owned(), members: Vec::new() };
        };
        let state = match (group.members.is_empty(), group.rebalancing) {
            (true, _) => "Empty",
            (_, true) => "PreparingRebalance",
            (_, false) => "Stable",
        };
        let member = |(id, member): (&String, &Member)| GroupMember {
            // Without the number that `join` added.
            client_id: id.rsplit_once('-').map_or(id.as_str(), |(client, _)| client).to_owned(),
            host: "this process".to_owned(),
            partitions: member.owned.clone(),
        };
        GroupDescription {
            state: state.to_owned(),
            members: group.members.iter().map(member).collect(),
        }
    }

    /// True when time may change something.
    pub(super) fn has_members(&self) -> bool {
        self.groups.values().any(|group| !group.members.is_empty())
    }

    /// Refuses whoever may not commit these offsets now.
    pub(super) fn check(
        &self,
        metadata: &GroupMetadata,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), LogError> {
        let GroupMetadata { group: name, generation, member: id, .. } = metadata;
        let stale =
            |why: String| Err(LogError::Abort(format!("offsets of group `{name}` refused: {why}")));
        if *generation < 0 || id.is_empty() {
            return stale("not a member (no generation, no member id)".to_owned());
        }
        let Some(group) = self.groups.get(name) else {
            return stale("the group has no members".to_owned());
        };
        if group.generation != *generation {
            return stale(format!(
                "generation {generation} is over, the group is at {}",
                group.generation
            ));
        }
        let Some(member) = group.members.get(id).filter(|member| !member.lost) else {
            return stale(format!("member `{id}` is not in the group any more"));
        };
        match offsets.iter().find(|(at, _)| !member.owned.contains(at)) {
            Some((at, _)) => stale(format!("member `{id}` does not own {at}")),
            None => Ok(()),
        }
    }

    fn member(&mut self, group: &str, id: &str) -> Option<&mut Member> {
        self.groups.get_mut(group)?.members.get_mut(id)
    }
}

impl Group {
    /// Asks every member to give up what it owns.
    fn rebalance(&mut self, count: Count<'_>) {
        self.rebalancing = true;
        for member in self.members.values_mut().filter(|member| member.is_in()) {
            match member.stage {
                Stage::AssignDue => {
                    member.owned.clear();
                    member.stage = Stage::Joined;
                }
                Stage::Active if member.owned.is_empty() => member.stage = Stage::Joined,
                Stage::Active => member.event(Stage::RevokeDue),
                Stage::Joined | Stage::AssignAsked | Stage::RevokeDue | Stage::RevokeAsked => {}
            }
        }
        self.complete(count);
    }

    /// Begins the next generation if nobody holds it up.
    fn complete(&mut self, count: Count<'_>) {
        if !self.rebalancing || self.members.values().any(Member::holds_up) {
            return;
        }
        self.rebalancing = false;
        self.generation += 1;
        let members = self.members.iter().filter(|(_, member)| member.is_in());
        let topics = members.map(|(id, member)| (id.as_str(), member.topics.as_slice())).collect();
        let shares = range(&topics, count);
        for (id, share) in shares {
            if let Some(member) = self.members.get_mut(&id) {
                member.owned = share;
                member.event(Stage::AssignDue);
            }
        }
    }
}
