//! Standbys (`num.standby.replicas`; R11, A04): copies of the stores of tasks that run on other instances, so that who
//! takes such a task over restores the tail of its changelogs and not all of them.
//!
//! A worker follows its standbys between its own steps, a bounded batch each. A copy holds committed rows only, forwards nothing and is written by nobody else. It lies in the state folder like any
//! task's state: the memory budget counts it, it is written back with the offsets it stands for, and a task takes it over
//! by opening it, through the same tail check as a task that comes back (invariant 1 of `ARCHITECTURE.md`).
//!
//! Who has which standby follows from the members' topic alone (`placement`), as of the moment to which it was read: who
//! doesn't listen for a while, because it joins or the log is out of reach, thinks nobody gone. Members
//! that have read different parts of it may keep one copy too many or too few for a moment; that is all a wrong view can
//! do, for a copy decides nothing.
//!
//! | dies while | left behind | then |
//! |---|---|---|
//! | rows are taken | rows and offset in memory only | read again from the base's offset |
//! | the layer is written back | rows, perhaps without their offset | the same: rows are whole values |
//! | a copy is opened or given up | its place is taken or free, in memory only | members place anew by what they read |
//! | a task takes a copy over | a state that stands for an offset | the next to take it over restores its tail |
//! | the owner, before anybody has taken over | its record in the members' topic, or none if it left in order | copies stay where they are until somebody claims the tasks |
//!
//! Queries may be answered from a copy that has been level once since it was opened, with its age (`queries/standby.rs`),
//! and go on with its rows while the task that has taken it over is restored.
//!
//! Invariants: a copy is never newer than it says nor said to be fresher than it is: its offset follows the rows, its age
//! counts from the last moment whose ends it is known to have reached. One that nobody knew to be level for half of
//! `delete.retention.ms` begins anew.

mod copy;
mod placement;
mod presence;
mod warm_up;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log, Reader, Visibility};
use operators::{SubTopology, TaskId, Topology};
use state_stores::{StateDir, StoreError, StoreIndex};

use self::copy::Copy;
use self::placement::Place;
use self::warm_up::WarmUp;
use crate::members::{self, Roll};
use crate::queries::{Kept, Serving};
use crate::restore::RestoreError;
use crate::settings::WorkerSettings;
use crate::worker::client_id;

/// Copies that are opened at one look: each asks the log for offsets.
const OPENED_MAX: usize = 8;

/// A standby of this member.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StandbyStatus {
    /// `<sub-topology>_<partition>`.
    pub id: String,
    /// Offsets of its changelogs' committed part that it was behind at the last look; none before the first.
    pub lag: Option<u64>,
    /// It holds at least what was committed then (ms since 1970).
    pub as_of_ms: Option<i64>,
}

/// What the worker lends to its standbys.
pub(crate) struct Around<'w> {
    pub(crate) topology: &'w Topology,
    pub(crate) log: &'w dyn Log,
    pub(crate) admin: &'w dyn Admin,
    pub(crate) state_dir: &'w StateDir,
    /// Tasks per sub-topology.
    pub(crate) tasks: &'w BTreeMap<u32, u32>,
    /// Its own, those that are restored among them.
    pub(crate) owned: BTreeSet<TaskId>,
    /// Of its own, those whose state is being restored.
    pub(crate) restoring: BTreeSet<TaskId>,
    pub(crate) delete_retention_ms: i64,
}

/// The standbys of one worker.
pub(crate) struct Standbys {
    replicas: u32,
    me: Place,
    presence_ms: i64,
    interval_ms: i64,
    look_at: i64,
    stand_at: i64,
    members: TopicPartition,
    roll: Roll,
    /// When the members' topic was looked at, and where it ended; none once it has been read to there.
    aim: Option<(i64, i64)>,
    /// What was said until then has been heard; none before the topic has been read to an end.
    heard_ms: Option<i64>,
    copies: BTreeMap<TaskId, Copy>,
    /// What tasks of this worker have taken over, and how far each was behind: they are restored, and can be asked until
    /// the look that finds that done.
    given_up: BTreeMap<TaskId, Option<u64>>,
    /// Copy and store by topic, then partition.
    routes: HashMap<Arc<str>, Vec<Option<(TaskId, StoreIndex)>>>,
    /// Of the members' topic and all changelogs; none: to be made by the next look.
    reader: Option<Box<dyn Reader>>,
    /// Where queries find the copies.
    serving: Arc<Serving>,
    /// How many copies were opened so far.
    opened: u64,
    /// None once it has joined the group.
    warm_up: Option<WarmUp>,
    /// It reads what nobody needs any more.
    is_stale: bool,
}

impl Standbys {
    /// None where there are to be none.
    pub(crate) fn new(
        application: &str,
        settings: &WorkerSettings,
        serving: Arc<Serving>,
    ) -> Option<Self> {
        let replicas = settings.num_standby_replicas;
        let instance = settings.instance.clone();
        let client_id = client_id(application, &instance, settings.thread) + "-";
        (replicas > 0).then(|| Self {
            replicas,
            me: Place { client_id, instance },
            presence_ms: settings.presence_ms(),
            interval_ms: settings.standby_interval_ms,
            look_at: i64::MIN,
            stand_at: i64::MIN,
            members: TopicPartition::new(members::topic(application), 0),
            roll: Roll::default(),
            aim: None,
            heard_ms: None,
            copies: BTreeMap::new(),
            given_up: BTreeMap::new(),
            routes: HashMap::new(),
            reader: None,
            serving,
            opened: 0,
            warm_up: (settings.warmup_max_ms > 0)
                .then(|| WarmUp::new(settings.acceptable_recovery_lag)),
            is_stale: false,
        })
    }

    /// Takes up to `max` records; true if there may be more.
    pub(crate) fn step(
        &mut self,
        around: &Around<'_>,
        max: usize,
        now: i64,
    ) -> Result<bool, StoreError> {
        let done = if self.serving.take_awaited() { self.confirm(now) } else { Ok(()) };
        match done.and_then(|()| self.read(around.topology.application_id(), max)) {
            Ok(read) => Ok(read >= max),
            Err(RestoreError::Store(error)) => Err(error),
            Err(RestoreError::Log(error)) => {
                let application = around.topology.application_id();
                tracing::warn!(application, %error, "standbys can't follow; trying again");
                self.reader = None;
                Ok(false)
            }
        }
    }

    /// Looks round when it is time, which takes as long as the log takes to answer.
    pub(crate) fn look_round(&mut self, around: &Around<'_>, now: i64) -> Result<(), StoreError> {
        if now < self.look_at {
            return Ok(());
        }
        let begun = Instant::now();
        self.look_at = now + self.interval_ms;
        match self.look(around, now) {
            Ok(()) => Ok(()),
            Err(RestoreError::Store(error)) => Err(error),
            Err(RestoreError::Log(error)) => {
                let application = around.topology.application_id();
                tracing::warn!(application, %error, "standbys can't be placed and measured; trying again");
                self.look_at = now.saturating_add(pause_after(begun.elapsed(), self.interval_ms));
                if self.is_stale {
                    // It is elsewhere than copies that have just been opened.
                    self.reader = None;
                }
                Ok(())
            }
        }
    }

    /// A task of this worker takes its state from here. False: there was no copy.
    pub(crate) fn give_up(&mut self, id: TaskId) -> bool {
        let Some(copy) = self.copies.remove(&id) else { return false };
        self.given_up.insert(id, copy.lag);
        // Its reader goes later: the task is waited for.
        self.is_stale = true;
        true
    }

    /// What to tell the other members, when it is time: its copies, and whether it warms up.
    pub(crate) fn standing(&mut self, now: i64) -> Option<(BTreeMap<String, Option<u64>>, bool)> {
        if now < self.stand_at {
            return None;
        }
        // Four words until a silence counts.
        self.stand_at = now + self.presence_ms / 4;
        let copies = self.copies.iter().map(|(id, copy)| (id, copy.lag));
        let all = copies.chain(self.given_up.iter().map(|(id, lag)| (id, *lag)));
        Some((all.map(|(id, lag)| (id.to_string(), lag)).collect(), self.warm_up.is_some()))
    }

    pub(crate) fn status(&self) -> Vec<StandbyStatus> {
        let status = |(id, copy): (&TaskId, &Copy)| StandbyStatus {
            id: id.to_string(),
            lag: copy.lag,
            as_of_ms: copy.as_of_ms(),
        };
        self.copies.iter().map(status).collect()
    }

    /// Opens and gives up copies as the members' topic has it, then sees how far behind they are.
    fn look(&mut self, around: &Around<'_>, now: i64) -> Result<(), RestoreError> {
        self.confirm(now)?;
        let wanted = self.wanted(around);
        let before = self.given_up.len();
        self.given_up.retain(|id, _| around.restoring.contains(id));
        self.is_stale |= self.given_up.len() != before;
        let before = self.copies.len();
        self.drop_copies(&|id, copy| !wanted.contains(id) || !copy.is_held());
        self.is_stale |= self.copies.len() != before;
        let mut left = OPENED_MAX;
        for id in wanted {
            if left == 0 || self.copies.contains_key(&id) {
                continue;
            }
            match open(around, id, self.opened + 1, now)? {
                Some(copy) => {
                    self.opened += 1;
                    self.copies.insert(id, copy);
                    self.is_stale = true;
                    left -= 1;
                }
                None => self.warm_up.iter_mut().for_each(|it| it.elsewhere.extend([id])),
            }
        }
        if self.is_stale || self.reader.is_none() {
            self.connect(around)?;
            // The others are to know.
            self.stand_at = now;
        }
        let changelogs = self.copies.values().flat_map(|copy| &copy.changelogs);
        let all: Vec<TopicPartition> =
            std::iter::once(&self.members).chain(changelogs).cloned().collect();
        let ends = around.admin.end_offsets(&all, Isolation::ReadCommitted)?;
        let Some((end, mut ends)) = ends.split_first() else { return Ok(()) };
        self.aim.get_or_insert((now, *end));
        for copy in self.copies.values_mut() {
            let (own, others) = ends.split_at(copy.changelogs.len().min(ends.len()));
            copy.see_ends(own, now);
            ends = others;
        }
        self.tell(now);
        Ok(())
    }

    /// Tells queries which copies can be asked, and how old they are.
    fn tell(&self, now: i64) {
        let told = (now, Instant::now());
        let kept = |(id, copy): (&TaskId, &Copy)| {
            let (term, ends) = (copy.term, copy.ends.clone());
            let positions = copy.positions().map(|(_, next)| next).collect();
            Some((*id, Kept { term, positions, ends, as_of_ms: copy.level_at?, told }))
        };
        let kept = self.copies.iter().filter_map(kept).collect();
        self.serving.keep(kept, &|id| self.given_up.contains_key(id));
    }

    /// Those of which `is_over` says so. Queries hear of it before anything happens to their rows.
    fn drop_copies(&mut self, is_over: &dyn Fn(&TaskId, &Copy) -> bool) {
        self.serving.keep_only(&|id| {
            let stays = self.copies.get(id).is_some_and(|copy| !is_over(id, copy));
            stays || self.given_up.contains_key(id)
        });
        self.copies.retain(|id, copy| !is_over(id, copy));
    }

    /// Notes how far the reader has come.
    fn confirm(&mut self, now: i64) -> Result<(), RestoreError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        if self.has_reached_aim() {
            self.heard_ms = self.aim.take().map(|(at_ms, _)| at_ms);
        }
        let mut unsound = Vec::new();
        for (id, copy) in &mut self.copies {
            copy.advance(reader.as_ref());
            if !copy.is_sound() {
                self.serving.keep_only(&|kept| kept != id);
                tracing::warn!(task = %id, "a standby was behind for too long; it begins anew");
                copy.rebuild(now)?;
                unsound.push(*id);
            }
        }
        for id in unsound {
            self.copies.remove(&id);
            self.reader = None;
        }
        Ok(())
    }

    /// Reads the members' topic and the changelogs of all copies on from where they are. With a new reader: what the old
    /// one has fetched is of other positions.
    fn connect(&mut self, around: &Around<'_>) -> Result<(), RestoreError> {
        self.reader = None;
        self.routes.clear();
        let members = match self.roll.next {
            Some(next) => next,
            None => {
                let start = around.admin.start_offsets(std::slice::from_ref(&self.members))?;
                start.first().copied().unwrap_or(0)
            }
        };
        let mut positions = vec![(self.members.clone(), members)];
        for (id, copy) in &self.copies {
            for (number, (at, next)) in copy.positions().enumerate() {
                let partitions = self.routes.entry(Arc::clone(&at.topic)).or_default();
                let index = at.partition as usize;
                partitions.resize(partitions.len().max(index + 1), None);
                if let Some(route) = partitions.get_mut(index) {
                    *route = Some((*id, StoreIndex(number)));
                }
                positions.push((at, next));
            }
        }
        let mut reader =
            around.log.reader("standby", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&positions)?;
        (self.reader, self.is_stale) = (Some(reader), false);
        Ok(())
    }

    fn read(&mut self, application: &str, max: usize) -> Result<usize, RestoreError> {
        let Self { reader: Some(reader), members, roll, copies, routes, .. } = self else {
            return Ok(0);
        };
        let mut rows = 0;
        let polled = reader.poll(Duration::ZERO, max, &mut |record| {
            if *record.topic == *members.topic {
                roll.take(&record);
                return;
            }
            let partitions = routes.get(record.topic);
            let route = partitions.and_then(|all| all.get(record.partition as usize)).copied();
            if let Some(Some((id, store))) = route
                && let (Some(copy), Some(key)) = (copies.get_mut(&id), record.key)
            {
                copy.take(store, (key, record.value), record.offset + 1);
                rows += 1;
            }
        });
        if rows > 0 {
            metrics::counter!("stream_standby_records_total", "application" => application.to_owned())
                .increment(rows);
        }
        match polled {
            Ok(read) => Ok(read),
            Err(LogError::OffsetOutOfRange { at, .. }) => {
                if at == *members {
                    *roll = Roll::default();
                    (self.aim, self.heard_ms) = (None, None);
                }
                // Opened again, it begins where the changelog does.
                self.drop_copies(&|_, copy| copy.changelogs.contains(&at));
                self.reader = None;
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How long to leave the log alone that has failed to answer: a worker that waits for it does nothing else meanwhile.
fn pause_after(took: Duration, interval_ms: i64) -> i64 {
    let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    interval_ms.max(took_ms.saturating_mul(10))
}

/// None while somebody else in this process has the state.
fn open(
    around: &Around<'_>,
    id: TaskId,
    term: u64,
    now: i64,
) -> Result<Option<Copy>, RestoreError> {
    let stores = stores_of(around.topology.subtopologies(), id);
    let state = match around.state_dir.standby_state(id.partition, stores, now) {
        Ok(state) => state,
        Err(StoreError::InUse { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let topics = stores.iter().map(|store| Arc::clone(&store.changelog_topic));
    let changelogs = topics.map(|topic| TopicPartition::new(topic, id.partition)).collect();
    let mut copy = Copy::new(changelogs, state, term, around.delete_retention_ms);
    copy.begin(around.admin, now)?;
    Ok(Some(copy))
}

fn stores_of(parts: &[SubTopology], id: TaskId) -> &[state_stores::StoreSpec] {
    let part = parts.iter().find(|part| part.id == id.subtopology);
    part.map(|part| part.stores.as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_hangs_holds_up_a_tenth_of_the_work_at_most() {
        assert_eq!(pause_after(Duration::ZERO, 1_000), 1_000);
        assert_eq!(pause_after(Duration::from_secs(30), 1_000), 300_000);
        assert_eq!(pause_after(Duration::MAX, 1_000), i64::MAX);
    }
}
