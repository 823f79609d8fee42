//! Who is asked: what is owned here is read here, the rest is passed on to its owners, once, and where stale answers are
//! allowed and the owner can't be asked, to those who keep a standby.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use operators::StoreInfo;
use state_stores::{Direction, Keys};

use super::answer::{Answer, Part};
use super::request::{Asked, Stale, StoreQuery};
use super::stand_in::Unanswered;
use super::standby::at_once;
use super::{PeerError, Queries, QueryError};
use crate::members::Member;

/// What is kept of a query's time for the way to another member and back.
pub(super) const ANSWER: Duration = Duration::from_millis(500);

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
            match self.read_what_is_here(info, partition, &asked, is_passed_on) {
                Ok(part) => parts.push(part),
                Err(QueryError::NoOwner { .. }) if !is_passed_on => elsewhere.push(partition),
                Err(error) => return Err(error),
            }
        }
        if !elsewhere.is_empty() {
            parts.extend(self.ask_others(info, (query, &asked), &elsewhere)?);
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

    /// A partition as its owner; as its standby, where the query prefers that, or was passed on to one.
    fn read_what_is_here(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        is_passed_on: bool,
    ) -> Result<Part, QueryError> {
        if asked.stale == Stale::Prefer {
            match self.read_standby(info, partition, &at_once(asked)) {
                // One that doesn't cover the position yet is no reason to wait: its owner does.
                Err(QueryError::NotCaughtUp { .. }) => {}
                Err(error) if error.is_of_who_was_asked() => {}
                read => return read,
            }
        }
        match self.read_here(info, partition, asked) {
            Err(QueryError::NoOwner { .. }) if is_passed_on && asked.stale != Stale::Never => {
                self.read_standby(info, partition, asked)
            }
            Err(QueryError::NoOwner { .. }) if is_passed_on => {
                let (application, instance) = (self.application().into(), self.instance.clone());
                Err(QueryError::NotTheOwner { application, instance, partition })
            }
            read => read,
        }
    }

    /// What isn't owned here: of its owners, and where the query allows that, of standbys in their place.
    fn ask_others(
        &self,
        info: &StoreInfo,
        of: (&StoreQuery, &Asked),
        partitions: &[u32],
    ) -> Result<Vec<Part>, QueryError> {
        let allows_stale = of.1.stale != Stale::Never;
        let mut unanswered = Unanswered::default();
        let mut places = match self.places(info, of.1, partitions) {
            Ok(places) => places,
            Err(error) if allows_stale => {
                unanswered.add(partitions.to_vec(), error);
                return self.ask_standbys(info, of, unanswered, BTreeMap::new());
            }
            Err(error) => return Err(error),
        };
        let (mut parts, mut owners) = (Vec::new(), BTreeMap::new());
        for partition in partitions {
            let owner = places.get_mut(partition).and_then(|place| place.owner.take());
            match self.addressed(info, *partition, owner) {
                Ok(owner) => {
                    let (_, asked) =
                        owners.entry(owner.instance.clone()).or_insert((owner, Vec::new()));
                    asked.push(*partition);
                }
                Err(error) if allows_stale => unanswered.add(vec![*partition], error),
                Err(error) => return Err(error),
            }
        }
        for (owner, partitions) in owners.into_values() {
            match self.pass_on(info, of, &owner, &partitions, Stale::Never) {
                Ok(part) => parts.push(part),
                Err(error) if allows_stale && error.is_of_who_was_asked() => {
                    unanswered.add(partitions, error);
                }
                Err(error) => return Err(error),
            }
        }
        parts.extend(self.ask_standbys(info, of, unanswered, places)?);
        Ok(parts)
    }

    /// The owner of a partition that isn't owned here, if it can be asked.
    fn addressed(
        &self,
        info: &StoreInfo,
        partition: u32,
        owner: Option<Member>,
    ) -> Result<Member, QueryError> {
        match owner {
            // Its own record may be older than what it owns.
            Some(Member { instance, .. }) if instance == self.instance => {
                Err(self.no_owner(info, partition))
            }
            Some(Member { instance, address, .. }) if address.is_empty() => {
                Err(QueryError::NoAddress { instance, partition })
            }
            Some(member) => Ok(member),
            None => Err(self.no_owner(info, partition)),
        }
    }

    pub(super) fn pass_on(
        &self,
        info: &StoreInfo,
        (query, asked): (&StoreQuery, &Asked),
        member: &Member,
        partitions: &[u32],
        stale: Stale,
    ) -> Result<Part, QueryError> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let Some(mut time) = left(asked.deadline.unwrap_or(asked.until)).checked_sub(ANSWER) else {
            return Err(self.timed_out(info, asked));
        };
        if asked.stale != Stale::Never {
            // Whoever comes after one that says nothing needs time, too.
            time /= 2;
        }
        let after = asked.after.iter().filter(|(at, _)| partitions.contains(&at.partition));
        let after: Vec<_> = after.map(|(at, offset)| format!("{at}@{offset}")).collect();
        let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        let query = StoreQuery {
            partitions: Some(numbers.join(",")),
            after: (!after.is_empty()).then(|| after.join(",")),
            wait_ms: Some(millis(left(asked.until))),
            within_ms: Some(millis(time).max(1)),
            instance: Some(member.instance.clone()),
            stale: (stale != Stale::Never).then_some(stale),
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
