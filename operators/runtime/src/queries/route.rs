//! Who is asked: what is owned here is read here, the rest is passed on to its owners, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use operators::{StoreInfo, TaskId};
use state_stores::{Direction, Keys};

use super::answer::{Answer, Part};
use super::request::{Asked, StoreQuery};
use super::{PeerError, Queries, QueryError, task};
use crate::members::Member;

/// What is kept of a query's time for the way to another member and back.
const ANSWER: Duration = Duration::from_millis(500);

impl Queries {
    /// Answers a query, with the help of other members where they own what is asked for.
    ///
    /// # Errors
    /// [`QueryError`]: why there is no answer. Never a part of one.
    pub fn ask(&self, store: &str, query: &StoreQuery) -> Result<Answer, QueryError> {
        if let Some(meant) = query.instance.as_ref().filter(|meant| **meant != self.instance) {
            let (application, instance) = (self.application().to_owned(), self.instance.clone());
            return Err(QueryError::AnotherInstance {
                application,
                instance,
                meant: meant.clone(),
            });
        }
        let (info, is_passed_on) = (self.store(store)?, query.instance.is_some());
        let asked = query.understand(info)?;
        let partitions = self.partitions(info, &asked)?;
        self.check_offsets(info, &asked, &partitions)?;
        let (mut parts, mut elsewhere) = (Vec::new(), Vec::new());
        for partition in partitions {
            match self.read_here(info, partition, &asked) {
                Ok(part) => parts.push(part),
                Err(QueryError::NoOwner { .. }) if !is_passed_on => elsewhere.push(partition),
                Err(QueryError::NoOwner { .. }) => {
                    let (application, instance) =
                        (self.application().into(), self.instance.clone());
                    return Err(QueryError::NotTheOwner { application, instance, partition });
                }
                Err(error) => return Err(error),
            }
        }
        for (member, partitions) in self.owners(info, &elsewhere)?.into_values() {
            parts.push(self.pass_on(info, (query, &asked), &member, &partitions)?);
        }
        let is_reverse = asked.select.direction == Direction::Reverse;
        let mut whole = Part::merge(parts, is_reverse, asked.limit);
        if !is_passed_on {
            whole.rows.iter_mut().for_each(|row| row.place = None);
        }
        let Part { rows, more, from } = whole;
        let (application, store) = (self.application().to_owned(), store.to_owned());
        Ok(Answer { application, store, rows, more, from })
    }

    /// The partitions where rows may lie.
    fn partitions(&self, info: &StoreInfo, asked: &Asked) -> Result<Vec<u32>, QueryError> {
        let Some(count) = self.partition_count(info) else {
            return Err(QueryError::Starting { application: self.application().to_owned() });
        };
        if let Some(chosen) = &asked.partitions {
            return match chosen.iter().find(|partition| **partition >= count) {
                None => Ok(chosen.clone()),
                Some(beyond) => {
                    let name = &info.spec.name;
                    let text =
                        format!("store `{name}` has {count} partitions: there is no {beyond}");
                    Err(QueryError::Invalid(text))
                }
            };
        }
        Ok(match &asked.select.keys {
            Keys::One(key) => match info.partition_of(key, count) {
                Some(partition) => vec![partition],
                None => (0..count).collect(),
            },
            _ => (0..count).collect(),
        })
    }

    /// An offset that bounds nothing is a mistake of who asks, not a promise that is kept.
    fn check_offsets(
        &self,
        info: &StoreInfo,
        asked: &Asked,
        partitions: &[u32],
    ) -> Result<(), QueryError> {
        let part = self.topology.subtopologies().iter().find(|part| part.id == info.subtopology);
        let sources = part.map(|part| part.sources.as_slice()).unwrap_or_default();
        for (at, _) in &asked.after {
            if !sources.contains(&at.topic) {
                let (name, sources) = (&info.spec.name, sources.join(", "));
                let text = format!(
                    "store `{name}` doesn't come from {}: its task reads {sources}",
                    at.topic
                );
                return Err(QueryError::Invalid(text));
            }
            if !partitions.contains(&at.partition) {
                let text =
                    format!("{at} says nothing of partitions {partitions:?}, which are asked");
                return Err(QueryError::Invalid(text));
            }
        }
        Ok(())
    }

    /// Who owns the partitions that aren't owned here, by instance.
    fn owners(
        &self,
        info: &StoreInfo,
        partitions: &[u32],
    ) -> Result<BTreeMap<String, (Member, Vec<u32>)>, QueryError> {
        let mut owners: BTreeMap<String, (Member, Vec<u32>)> = BTreeMap::new();
        if partitions.is_empty() {
            return Ok(owners);
        }
        let tasks: Vec<TaskId> = partitions.iter().map(|number| task(info, *number)).collect();
        let found = self.members.owners(&tasks).map_err(|source| QueryError::Log {
            application: self.application().to_owned(),
            source,
        })?;
        for (partition, owner) in partitions.iter().zip(found) {
            match owner {
                // Its own record may be older than what it owns.
                Some(member) if member.instance != self.instance => {
                    if member.address.is_empty() {
                        let (instance, partition) = (member.instance, *partition);
                        return Err(QueryError::NoAddress { instance, partition });
                    }
                    let instance = member.instance.clone();
                    let (_, asked) = owners.entry(instance).or_insert((member, Vec::new()));
                    asked.push(*partition);
                }
                _ => return Err(self.no_owner(info, *partition)),
            }
        }
        Ok(owners)
    }

    fn pass_on(
        &self,
        info: &StoreInfo,
        (query, asked): (&StoreQuery, &Asked),
        member: &Member,
        partitions: &[u32],
    ) -> Result<Part, QueryError> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let Some(time) = left(asked.deadline.unwrap_or(asked.until)).checked_sub(ANSWER) else {
            return Err(self.timed_out(info, asked));
        };
        let after = asked.after.iter().filter(|(at, _)| partitions.contains(&at.partition));
        let after: Vec<_> = after.map(|(at, offset)| format!("{at}@{offset}")).collect();
        let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        let query = StoreQuery {
            partitions: Some(numbers.join(",")),
            after: (!after.is_empty()).then(|| after.join(",")),
            wait_ms: Some(millis(left(asked.until))),
            within_ms: Some(millis(time).max(1)),
            instance: Some(member.instance.clone()),
            ..query.clone()
        };
        match self.peers.ask(member, &info.spec.name, &query) {
            Ok(Answer { rows, more, from, .. }) => Ok(Part { rows, more, from }),
            Err(PeerError::Said(error)) => Err(error),
            Err(PeerError::Silent(reason)) => Err(QueryError::Unreachable {
                instance: member.instance.clone(),
                address: member.address.clone(),
                partition: partitions.first().copied().unwrap_or(0),
                reason,
            }),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
