//! Who is there, as far as a member has heard, and which standbys fall to it by that.
//!
//! Invariant: silence counts only where this member has listened: it is measured back from the moment to which the members'
//! topic was read, never from now.

use std::collections::BTreeSet;

use operators::TaskId;

use super::placement::{Place, places};
use super::{Around, Standbys};
use crate::members::Standing;
use crate::worker::client_id;

impl Standbys {
    /// The members' topic has been read to where it ended at a look.
    pub(super) fn has_reached_aim(&self) -> bool {
        let reached = |end| self.reader.as_ref().is_some_and(|it| it.reached(&self.members, end));
        self.aim.is_some_and(|(_, end)| reached(end))
    }

    /// Who was there when the topic was last read to an end.
    pub(super) fn present(&self) -> impl Iterator<Item = &Standing> {
        let heard_ms = self.heard_ms.unwrap_or(i64::MAX);
        self.roll.present(heard_ms.saturating_sub(self.presence_ms))
    }

    /// Who is there, in the order of `range`; who warms up isn't in the group yet.
    pub(super) fn places_of(&self, around: &Around<'_>, with_warming: bool) -> Vec<Place> {
        let application = around.topology.application_id();
        let there = self.present().filter(|standing| with_warming || !standing.is_warming);
        let place = |standing: &Standing| Place {
            client_id: client_id(application, &standing.instance, standing.thread) + "-",
            instance: standing.instance.clone(),
        };
        let mut places: Vec<Place> = there.map(place).collect();
        places.sort();
        places
    }

    /// The tasks whose standby falls to this member; before it joins, those that will be its own.
    pub(super) fn wanted(&self, around: &Around<'_>) -> BTreeSet<TaskId> {
        if self.heard_ms.is_none() {
            return self.copies.keys().copied().collect();
        }
        if self.warm_up.is_some() {
            return self.to_come(around);
        }
        let present = self.places_of(around, false);
        let owners = self.roll.owners();
        let falls_here = |id: &TaskId, count: u32| {
            let Some(owner) = owners.get(id.to_string().as_str()) else {
                // Its owner has left in order, and nobody has taken it up yet: nobody else needs it more.
                return self.copies.contains_key(id);
            };
            let chosen = places(&present, &owner.instance, (id.partition, count), self.replicas);
            chosen.contains(&&self.me) && !around.owned.contains(id)
        };
        let parts = around.topology.subtopologies().iter().filter(|part| !part.stores.is_empty());
        parts
            .flat_map(|part| {
                let count = around.tasks.get(&part.id).copied().unwrap_or(0);
                let ids = (0..count).map(|partition| TaskId { subtopology: part.id, partition });
                ids.filter(|id| falls_here(id, count)).collect::<Vec<_>>()
            })
            .collect()
    }
}
