//! Who answers in place of owners that can't be asked: whoever keeps a standby.

use std::collections::{BTreeMap, VecDeque};

use operators::StoreInfo;

use super::answer::Part;
use super::request::{Asked, Stale, StoreQuery};
use super::route::ANSWER;
use super::{Queries, QueryError, task};
use crate::members::{Member, Standing};

/// Who may have a partition that isn't here.
pub(super) struct Place {
    pub(super) owner: Option<Member>,
    /// Who keeps a standby and can be asked, in the order of asking.
    keepers: VecDeque<Member>,
}

/// Partitions without an answer, and why.
#[derive(Default)]
pub(super) struct Unanswered(Vec<(Vec<u32>, QueryError)>);

impl Unanswered {
    pub(super) fn add(&mut self, partitions: Vec<u32>, why: QueryError) {
        self.0.push((partitions, why));
    }

    fn partitions(&self) -> Vec<u32> {
        self.0.iter().flat_map(|(partitions, _)| partitions).copied().collect()
    }

    fn reason(self, partition: u32) -> Option<QueryError> {
        self.0.into_iter().find(|(of, _)| of.contains(&partition)).map(|(_, why)| why)
    }
}

impl Queries {
    /// What the members' topic says of the partitions.
    pub(super) fn places(
        &self,
        info: &StoreInfo,
        asked: &Asked,
        partitions: &[u32],
    ) -> Result<BTreeMap<u32, Place>, QueryError> {
        let until = asked.deadline.unwrap_or(asked.until);
        let found = self.members.now(until.checked_sub(ANSWER).unwrap_or(until), |roll| {
            let owners = roll.owners();
            let place = |partition: &u32| {
                let id = task(info, *partition).to_string();
                let owner = owners.get(id.as_str()).map(|owner| (*owner).clone());
                let other = |keeper: &&Standing| keeper.instance != self.instance;
                let keepers = roll.keepers(&id, self.silence_ms).into_iter().filter(other);
                let keepers = keepers.map(|it| it.as_member(self.application())).collect();
                (*partition, Place { owner, keepers })
            };
            partitions.iter().map(place).collect()
        });
        found.map_err(|source| {
            let application = self.application().to_owned();
            QueryError::Log { application, source }
        })
    }

    /// Partitions whose owner can't be asked, of their standbys: this member's, then those of others, the least behind
    /// first. Where none answers, the owner's reason is the answer.
    pub(super) fn ask_standbys(
        &self,
        info: &StoreInfo,
        (query, asked): (&StoreQuery, &Asked),
        unanswered: Unanswered,
        mut places: BTreeMap<u32, Place>,
    ) -> Result<Vec<Part>, QueryError> {
        let (mut parts, mut left) = (Vec::new(), Vec::new());
        for partition in unanswered.partitions() {
            match self.read_standby(info, partition, asked) {
                Ok(part) => parts.push(part),
                Err(error) if error.is_of_who_was_asked() => left.push(partition),
                Err(error) => return Err(error),
            }
        }
        while !left.is_empty() {
            let mut keepers: BTreeMap<String, (Member, Vec<u32>)> = BTreeMap::new();
            for partition in std::mem::take(&mut left) {
                let place = places.get_mut(&partition);
                let Some(keeper) = place.and_then(|place| place.keepers.pop_front()) else {
                    let why = unanswered.reason(partition);
                    return Err(why.unwrap_or_else(|| self.no_owner(info, partition)));
                };
                let instance = keeper.instance.clone();
                let (_, asked) = keepers.entry(instance).or_insert((keeper, Vec::new()));
                asked.push(partition);
            }
            for (keeper, partitions) in keepers.into_values() {
                match self.pass_on(info, (query, asked), &keeper, &partitions, Stale::Allow) {
                    Ok(part) => parts.push(part),
                    // The next one, or whoever kept it may have become the owner: it is asked as both.
                    Err(error) if error.is_of_who_was_asked() => left.extend(partitions),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(parts)
    }
}
