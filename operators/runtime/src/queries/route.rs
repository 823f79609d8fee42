//! Who is asked: what is owned here is read here, the rest is passed on to its owners, once.

use std::collections::BTreeMap;

use operators::StoreInfo;
use state_stores::partition::partition_for_key;
use state_stores::{Direction, Keys};

use super::answer::{Answer, Part};
use super::request::{Asked, StoreQuery};
use super::{PeerError, Queries, QueryError, task};
use crate::members::Member;

impl Queries {
    /// Answers a query, with the help of other members where they own what is asked for.
    ///
    /// # Errors
    /// [`QueryError`]: why there is no answer. Never a part of one.
    pub fn ask(&self, store: &str, query: &StoreQuery) -> Result<Answer, QueryError> {
        let info = self.store(store)?;
        let asked = query.understand(info)?;
        let partitions = self.partitions(info, &asked)?;
        self.check_offsets(info, &asked, &partitions)?;
        let (mut parts, mut elsewhere) = (Vec::new(), Vec::new());
        for partition in partitions {
            match self.read_here(info, partition, &asked) {
                Ok(part) => parts.push(part),
                Err(QueryError::NoOwner { .. }) if !query.forwarded => elsewhere.push(partition),
                Err(QueryError::NoOwner { .. }) => {
                    let (application, instance) =
                        (self.application().into(), self.instance.clone());
                    return Err(QueryError::NotTheOwner { application, instance, partition });
                }
                Err(error) => return Err(error),
            }
        }
        for (member, partitions) in self.owners(info, &elsewhere)?.into_values() {
            parts.push(self.pass_on(info, query, &member, &partitions)?);
        }
        let is_reverse = asked.select.direction == Direction::Reverse;
        let mut whole = Part::merge(parts, is_reverse, asked.limit);
        if !query.forwarded {
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
            Keys::One(key) if info.by_key => vec![partition_for_key(key, count)],
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

    /// Who owns the partitions that aren't owned here, by address.
    fn owners(
        &self,
        info: &StoreInfo,
        partitions: &[u32],
    ) -> Result<BTreeMap<String, (Member, Vec<u32>)>, QueryError> {
        let mut owners: BTreeMap<String, (Member, Vec<u32>)> = BTreeMap::new();
        for partition in partitions {
            let owner = self.members.owner(task(info, *partition)).map_err(|source| {
                QueryError::Log { application: self.application().to_owned(), source }
            })?;
            match owner {
                // Its own record may be older than what it owns.
                Some(member) if member.instance != self.instance => {
                    let address = member.address.clone();
                    let (_, asked) = owners.entry(address).or_insert((member, Vec::new()));
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
        query: &StoreQuery,
        member: &Member,
        partitions: &[u32],
    ) -> Result<Part, QueryError> {
        let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        let concerns = |offset: &&str| {
            let partition = offset.rsplit_once(']').and_then(|(place, _)| place.rsplit_once('['));
            partition.is_some_and(|(_, partition)| numbers.iter().any(|number| number == partition))
        };
        let after = query.after.as_deref().map(|after| {
            after.split(',').map(str::trim).filter(concerns).collect::<Vec<_>>().join(",")
        });
        let query = StoreQuery {
            partitions: Some(numbers.join(",")),
            after: after.filter(|after| !after.is_empty()),
            forwarded: true,
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
