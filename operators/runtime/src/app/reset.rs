//! An application begins anew: without its state, and where it is told to.
//!
//! | dies after | a worker that starts | running the reset again |
//! |---|---|---|
//! | planning | starts: nothing has changed | plans anew |
//! | announcing … setting offsets | refuses: [`WorkerError::InReset`](crate::WorkerError) | does all steps again; what is gone is none to delete |
//! | finishing | begins anew | finds nothing to do |
//!
//! Deleted are the internal topics of the topology as it is, of the one that ran last, and of stores that former ones had:
//! the manifest remembers them.
//!
//! Invariants: nothing is deleted before the reset is announced in the topic of the manifest, which every start reads
//! and whose deletion is the last step, and reads again once it has joined; the log refuses to touch a group that has members. What the application wrote to
//! topics of others stays, and is written again.

use std::collections::BTreeSet;
use std::sync::Arc;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log};
use operators::Topology;

use super::describe::who_is;
use crate::worker::group_of;
use crate::{manifest, members};

/// Where the application reads its inputs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// As on its first day: each source says itself.
    FirstDay,
    /// The first record that is still there.
    Earliest,
    /// Behind the last record of now.
    Latest,
    /// The first record of this time (ms since 1970) or later.
    Time(i64),
}

/// Why an application can't be reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Somebody would notice.
    #[error(
        "{application} has members: {}; stop them first (one that was killed counts until its session is over)",
        .members.join(", ")
    )]
    Alive {
        /// `application.id`.
        application: String,
        /// Instance and thread of each.
        members: Vec<String>,
    },
    /// The log doesn't do it.
    #[error("{doing}: {source}")]
    Log {
        /// What was being done.
        doing: &'static str,
        /// What the log said.
        source: LogError,
    },
}

/// An input partition, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputReset {
    /// Which.
    pub at: TopicPartition,
    /// What is committed.
    pub committed: Option<i64>,
    /// What will be; none: the source says where it begins.
    pub then: Option<i64>,
}

/// A topic that will be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetTopic {
    /// Its name.
    pub name: String,
    /// Offsets in it, over all partitions.
    pub records: i64,
}

/// A part of the work. All of them, in this order, are the reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetStep {
    /// From here on no worker starts.
    Announce,
    /// What the group committed.
    ForgetOffsets,
    /// All internal topics but that of the manifest.
    DeleteTopics,
    /// Where there are any to set.
    SetOffsets,
    /// The topic of the manifest; workers may start, and know state of before as such.
    Finish,
}

impl ResetStep {
    /// In order.
    pub const ALL: [Self; 5] =
        [Self::Announce, Self::ForgetOffsets, Self::DeleteTopics, Self::SetOffsets, Self::Finish];
}

/// What a reset would change, and the doing of it.
#[derive(Clone, Debug)]
pub struct Reset {
    /// `application.id`.
    pub application: String,
    /// Its consumer group.
    pub group: String,
    /// One was begun before and not finished.
    pub begun: bool,
    /// Its inputs from outside; repartition topics are deleted.
    pub inputs: Vec<InputReset>,
    /// What is deleted, as far as it is there; also what former topologies left.
    pub topics: Vec<ResetTopic>,
    /// Topics of others that it writes, which stay as they are.
    pub outputs: Vec<String>,
}

fn failed(doing: &'static str) -> impl Fn(LogError) -> ResetError {
    move |source| ResetError::Log { doing, source }
}

impl Reset {
    /// Looks at what there is. Changes nothing.
    ///
    /// # Errors
    /// [`ResetError::Alive`] while the application has members.
    pub fn plan(
        log: &Arc<dyn Log>,
        topology: &Topology,
        start_at: StartAt,
    ) -> Result<Self, ResetError> {
        let failed = failed("looking at the application");
        let application = topology.application_id().to_owned();
        let (admin, group) = (log.admin().map_err(&failed)?, group_of(topology));
        refuse_members(admin.as_ref(), &application, &group)?;
        let internal: BTreeSet<Arc<str>> =
            topology.internal_topics().into_iter().map(|topic| topic.name).collect();
        let parts = || topology.subtopologies().iter();
        let outside = |topic: &&Arc<str>| !internal.contains(*topic);
        let sources: BTreeSet<&Arc<str>> =
            parts().flat_map(|part| &part.sources).filter(outside).collect();
        let outputs: BTreeSet<&Arc<str>> =
            parts().flat_map(|part| &part.sinks).filter(outside).collect();
        let inputs = inputs(admin.as_ref(), &group, &sources, start_at).map_err(&failed)?;
        let manifest = manifest::topic(&application);
        let kept = if admin.describe(&[&manifest]).map_err(&failed)? == [None] {
            manifest::Kept::default()
        } else {
            manifest::read(log.as_ref(), admin.as_ref(), &manifest).map_err(&failed)?
        };
        let mut names: BTreeSet<String> = internal.iter().map(ToString::to_string).collect();
        names.extend(kept.internal_topics());
        names.extend([members::topic(&application), manifest]);
        let topics = present(admin.as_ref(), names).map_err(&failed)?;
        let begun = kept.in_reset;
        let outputs = outputs.into_iter().map(ToString::to_string).collect();
        Ok(Self { application, group, begun, inputs, topics, outputs })
    }

    /// True when there is nothing to change.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.topics.is_empty() && self.inputs.iter().all(|input| input.committed == input.then)
    }

    /// Does one step; repeating it changes nothing. `now` in ms since 1970.
    ///
    /// # Errors
    /// [`ResetError::Alive`] if somebody joined since the plan was made: the announcement is taken back then, unless
    /// something has been deleted already.
    pub fn run(&self, log: &Arc<dyn Log>, step: ResetStep, now: i64) -> Result<(), ResetError> {
        let admin = log.admin().map_err(failed("reaching the log"))?;
        let manifest = manifest::topic(&self.application);
        let exists = |name: &str| self.topics.iter().any(|topic| topic.name == name);
        match step {
            ResetStep::Announce if exists(&manifest) => {
                manifest::mark_reset(log.as_ref(), &self.application, true, now)
                    .map_err(failed("announcing the reset"))
            }
            // It was never started: there is nobody who would read it.
            ResetStep::Announce => Ok(()),
            ResetStep::ForgetOffsets => {
                let forgotten = refuse_members(admin.as_ref(), &self.application, &self.group)
                    .and_then(|()| {
                        let forgotten = admin.forget_group(&self.group);
                        forgotten.map_err(failed("forgetting what was committed"))
                    });
                if forgotten.is_err() && !self.begun && exists(&manifest) {
                    manifest::mark_reset(log.as_ref(), &self.application, false, now)
                        .map_err(failed("taking the announcement back"))?;
                }
                forgotten
            }
            ResetStep::DeleteTopics => {
                let names = self.topics.iter().map(|topic| topic.name.as_str());
                let names: Vec<&str> = names.filter(|name| *name != manifest).collect();
                admin.delete_topics(&names).map_err(failed("deleting internal topics"))
            }
            ResetStep::SetOffsets => self.set_offsets(admin.as_ref()),
            ResetStep::Finish => {
                admin.delete_topics(&[&manifest]).map_err(failed("deleting the manifest"))
            }
        }
    }

    fn set_offsets(&self, admin: &dyn Admin) -> Result<(), ResetError> {
        let failed = failed("setting offsets");
        let new = self.inputs.iter().filter_map(|input| Some((input.at.clone(), input.then?)));
        let (at, offsets): (Vec<TopicPartition>, Vec<i64>) = new.clone().unzip();
        admin.set_offsets(&self.group, &new.collect::<Vec<_>>()).map_err(&failed)?;
        let found = admin.committed_offsets(&self.group, &at).map_err(&failed)?;
        if found.iter().zip(&offsets).all(|(found, wanted)| *found == Some(*wanted)) {
            return Ok(());
        }
        let reason = format!("group `{}` has others than were set: {found:?}", self.group);
        Err(failed(LogError::Retriable(reason)))
    }
}

fn refuse_members(admin: &dyn Admin, application: &str, group: &str) -> Result<(), ResetError> {
    let described = admin.group(group).map_err(failed("looking for members"))?;
    if described.members.is_empty() {
        return Ok(());
    }
    let name = |client_id: &String| match who_is(client_id, application) {
        Some((instance, thread)) => format!("{instance}/{thread}"),
        None => client_id.clone(),
    };
    let members = described.members.iter().map(|member| name(&member.client_id)).collect();
    Err(ResetError::Alive { application: application.to_owned(), members })
}

fn inputs(
    admin: &dyn Admin,
    group: &str,
    topics: &BTreeSet<&Arc<str>>,
    start_at: StartAt,
) -> Result<Vec<InputReset>, LogError> {
    let mut inputs = Vec::new();
    for topic in topics {
        let Some(found) = admin.describe(&[topic])?.into_iter().flatten().next() else { continue };
        let all: Vec<TopicPartition> = (0..found.partitions)
            .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
            .collect();
        let committed = admin.committed_offsets(group, &all)?;
        let then: Vec<Option<i64>> = match start_at {
            StartAt::FirstDay => vec![None; all.len()],
            StartAt::Earliest => admin.start_offsets(&all)?.into_iter().map(Some).collect(),
            StartAt::Latest => {
                let ends = admin.end_offsets(&all, Isolation::ReadCommitted)?;
                ends.into_iter().map(Some).collect()
            }
            StartAt::Time(time) => admin.offsets_at(&all, time)?.into_iter().map(Some).collect(),
        };
        let changes = all.into_iter().zip(committed).zip(then);
        inputs.extend(changes.map(|((at, committed), then)| InputReset { at, committed, then }));
    }
    Ok(inputs)
}

/// Those of the topics that exist.
fn present(admin: &dyn Admin, names: BTreeSet<String>) -> Result<Vec<ResetTopic>, LogError> {
    let mut present = Vec::new();
    for name in names {
        let Some(found) = admin.describe(&[&name])?.into_iter().flatten().next() else { continue };
        let all: Vec<TopicPartition> = (0..found.partitions)
            .map(|partition| TopicPartition::new(name.as_str(), partition))
            .collect();
        let ends: i64 = admin.end_offsets(&all, Isolation::ReadCommitted)?.iter().sum();
        let starts: i64 = admin.start_offsets(&all)?.iter().sum();
        present.push(ResetTopic { name, records: ends - starts });
    }
    Ok(present)
}
