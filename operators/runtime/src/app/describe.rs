//! Putting together what the log, its coordinator and the members know of an application.
//!
//! The coordinator says who owns what, which no member can be wrong about; members add what only they know. One that
//! doesn't answer is told as silent, not left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use log::error::LogError;
use log::group::GroupMember;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log};
use operators::{OffsetReset, TaskId, Topology};

use super::description::{
    AppDescription, InputDescription, MemberDescription, StoreDescription, TaskDescription,
};
use crate::error::WorkerError;
use crate::manifest;
use crate::members::members;
use crate::topics::plan;
use crate::worker::{WorkerStatus, group_of};

/// A process that runs threads of the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its name.
    pub instance: String,
    /// Of its admin endpoint, if it told.
    pub address: Option<String>,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its workers, of other applications too.
    pub workers: Vec<WorkerStatus>,
    /// Its stores of this application.
    pub stores: Vec<StoreDescription>,
}

/// Asks a process; the error says why it gave nothing.
pub type Look<'l> = dyn Fn(&Place) -> Result<Seen, String> + 'l;

/// Instance and thread in the client id of a member ([`WorkerSettings`](crate::WorkerSettings)).
#[must_use]
pub fn who_is(client_id: &str, application: &str) -> Option<(String, u32)> {
    let (thread, rest) = client_id.split_once('-')?;
    let instance = rest.strip_prefix(application)?.strip_prefix('-')?;
    Some((instance.to_owned(), thread.parse().ok()?))
}

/// What the application is doing. Changes nothing.
///
/// # Errors
/// The log doesn't answer, or topics are missing that others should have made.
pub fn describe(
    log: &Arc<dyn Log>,
    topology: &Topology,
    look: &Look<'_>,
) -> Result<AppDescription, WorkerError> {
    let application = topology.application_id();
    let failed = |source| WorkerError::Log { application: application.to_owned(), source };
    let admin = log.admin().map_err(failed)?;
    let plan = plan(topology, admin.as_ref(), 1)?;
    let group = group_of(topology);
    let described = admin.group(&group).map_err(failed)?;
    let places = places(log, application, &described.members).map_err(failed)?;
    let seen: BTreeMap<&str, Result<Seen, String>> =
        places.iter().map(|place| (place.instance.as_str(), look(place))).collect();
    let members = described.members.iter();
    let mut members: Vec<MemberDescription> =
        members.map(|member| describe_member(application, member, &places, &seen)).collect();
    members.sort_by(|a, b| (&a.instance, a.thread).cmp(&(&b.instance, b.thread)));
    let mut tasks = Vec::new();
    for part in topology.subtopologies() {
        for partition in 0..plan.tasks.get(&part.id).copied().unwrap_or(0) {
            let at = |topic: &Arc<str>| TopicPartition::new(Arc::clone(topic), partition);
            let inputs: Vec<TopicPartition> = part.sources.iter().map(at).collect();
            let owner = described
                .members
                .iter()
                .find(|member| inputs.iter().all(|input| member.partitions.contains(input)));
            let held_by = owner.and_then(|member| who_is(&member.client_id, application));
            let id = TaskId { subtopology: part.id, partition };
            let inputs = lags(admin.as_ref(), topology, &group, &inputs).map_err(failed)?;
            let owner = held_by.as_ref().and_then(|(instance, thread)| {
                Some((seen.get(instance.as_str())?.as_ref().ok()?, *thread))
            });
            let stores = |name: &str| part.stores.iter().any(|store| &*store.name == name);
            tasks.push(describe_task(application, id, held_by.clone(), inputs, owner, &stores));
        }
    }
    let in_reset = in_reset(log, admin.as_ref(), application).map_err(failed)?;
    let (application, state) = (application.to_owned(), described.state);
    Ok(AppDescription { application, group, state, in_reset, members, tasks })
}

/// The processes of the group's members, with their addresses where they told.
fn places(
    log: &Arc<dyn Log>,
    application: &str,
    group: &[GroupMember],
) -> Result<Vec<Place>, LogError> {
    let told = members(log, application)?;
    let mut places: Vec<Place> = group
        .iter()
        .filter_map(|member| {
            let (instance, _) = who_is(&member.client_id, application)?;
            let said = told.iter().rev().find(|member| member.instance == instance);
            let address = said.map(|member| member.address.clone());
            Some(Place { instance, address: address.filter(|address| !address.is_empty()) })
        })
        .collect();
    places.sort();
    places.dedup();
    Ok(places)
}

fn describe_member(
    application: &str,
    member: &GroupMember,
    places: &[Place],
    seen: &BTreeMap<&str, Result<Seen, String>>,
) -> MemberDescription {
    let (instance, thread) =
        who_is(&member.client_id, application).unwrap_or((member.client_id.clone(), 0));
    let place = places.iter().find(|place| place.instance == instance);
    let (status, silent) = match seen.get(instance.as_str()) {
        Some(Ok(seen)) => (status_of(seen, application, thread).cloned(), None),
        Some(Err(reason)) => (None, Some(reason.clone())),
        None => (None, Some("its client id isn't a worker's".to_owned())),
    };
    MemberDescription {
        instance,
        thread,
        host: member.host.clone(),
        address: place.and_then(|place| place.address.clone()),
        status,
        silent,
        partitions: member.partitions.len(),
    }
}

fn status_of<'s>(seen: &'s Seen, application: &str, thread: u32) -> Option<&'s WorkerStatus> {
    seen.workers.iter().find(|it| it.application == application && it.thread == thread)
}

fn describe_task(
    application: &str,
    id: TaskId,
    held_by: Option<(String, u32)>,
    inputs: Vec<InputDescription>,
    owner: Option<(&Seen, u32)>,
    keeps: &dyn Fn(&str) -> bool,
) -> TaskDescription {
    let status = owner.and_then(|(seen, thread)| status_of(seen, application, thread));
    let name = id.to_string();
    let task = status.and_then(|status| status.tasks.iter().find(|task| task.id == name));
    let restoring = status.and_then(|status| status.restoring.iter().find(|it| it.id == name));
    let stores = owner.into_iter().flat_map(|(seen, _)| &seen.stores);
    let own = |store: &&StoreDescription| store.partition == id.partition && keeps(&store.store);
    TaskDescription {
        held_by,
        inputs,
        stores: stores.filter(own).cloned().collect(),
        restoring: restoring.cloned(),
        stopped: task.and_then(|task| task.stopped.clone()),
        id: name,
    }
}

fn lags(
    admin: &dyn Admin,
    topology: &Topology,
    group: &str,
    inputs: &[TopicPartition],
) -> Result<Vec<InputDescription>, LogError> {
    let mut all = Vec::new();
    for at in inputs {
        let one = std::slice::from_ref(at);
        let mut input = InputDescription {
            topic: at.topic.to_string(),
            partition: at.partition,
            committed: None,
            end: None,
            lag: None,
        };
        // A repartition topic is made by the first start.
        if admin.describe(&[&at.topic])? != [None] {
            input.committed = admin.committed_offsets(group, one)?.first().copied().flatten();
            input.end = admin.end_offsets(one, Isolation::ReadCommitted)?.first().copied();
            let start = admin.start_offsets(one)?.first().copied().unwrap_or(0);
            let first = match topology.offset_reset(&at.topic) {
                OffsetReset::Earliest => Some(start),
                OffsetReset::Latest => None,
            };
            let next = input.committed.map(|next| next.max(start)).or(first);
            input.lag = input.end.zip(next).map(|(end, next)| (end - next).max(0));
        }
        all.push(input);
    }
    Ok(all)
}

fn in_reset(log: &Arc<dyn Log>, admin: &dyn Admin, application: &str) -> Result<bool, LogError> {
    let topic = manifest::topic(application);
    if admin.describe(&[&topic])? == [None] {
        return Ok(false);
    }
    Ok(manifest::read(log.as_ref(), admin, &topic)?.in_reset)
}

#[cfg(test)]
mod tests {
    use super::who_is;

    #[test]
    fn a_client_id_tells_instance_and_thread() {
        let told = who_is("0001-order-feed-a-b.c", "order-feed");
        assert_eq!(told, Some(("a-b.c".to_owned(), 1)));
        assert_eq!(who_is("0001-order-feeds-a", "order-feed"), None);
        assert_eq!(who_is("kcat", "order-feed"), None);
    }
}
