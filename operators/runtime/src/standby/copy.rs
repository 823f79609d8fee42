//! One standby: the stores of a task, and how far behind their changelogs they are.

use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Reader};
use state_stores::{ChangelogRange, StandbyState, StoreIndex};

use crate::restore::RestoreError;
use crate::topics;

/// See the module page.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) changelogs: Vec<TopicPartition>,
    state: StandbyState,
    /// Differs from that of every other copy of this worker.
    pub(super) term: u64,
    /// Where the changelogs ended at the last look.
    pub(super) ends: Vec<i64>,
    /// When it was last level, since it was opened. Before that it may lack rows of any age, and queries are not answered.
    pub(super) level_at: Option<i64>,
    /// Ends that the stores are to reach, and when they were read.
    aim: Option<(i64, Vec<i64>)>,
    /// Records without an end between them and the last look; none before the first look.
    pub(super) lag: Option<u64>,
    /// Whether rows were read since the moment at which it was last known to be level.
    unsure: bool,
    /// The same since the aim was set.
    since_aim: bool,
    /// Where the changelogs began.
    starts: Vec<i64>,
    delete_retention_ms: i64,
}

impl Copy {
    pub(super) fn new(
        changelogs: Vec<TopicPartition>,
        state: StandbyState,
        term: u64,
        delete_retention_ms: i64,
    ) -> Self {
        Self {
            changelogs,
            state,
            term,
            ends: Vec::new(),
            level_at: None,
            aim: None,
            lag: None,
            unsure: false,
            since_aim: false,
            starts: Vec::new(),
            delete_retention_ms,
        }
    }

    /// Looks whether the stores can go on where they are; one that can't begins anew.
    pub(super) fn begin(&mut self, admin: &dyn Admin, now: i64) -> Result<(), RestoreError> {
        let ids = topics::ids(admin, &self.changelogs)?;
        self.starts = admin.start_offsets(&self.changelogs)?;
        let ends = admin.end_offsets(&self.changelogs, Isolation::ReadUncommitted)?;
        for (number, (at, (start, end))) in
            self.changelogs.iter().zip(self.starts.iter().zip(ends)).enumerate()
        {
            let (store, start) = (StoreIndex(number), *start);
            let delete_retention_ms = Some(self.delete_retention_ms);
            let id = ids.get(&at.topic).map(String::as_str);
            let range = ChangelogRange { id, start, end, delete_retention_ms };
            if let Some(why) = self.state.needs_rebuild(store, &range, now) {
                tracing::warn!(changelog = %at, %why, "a standby begins anew");
                self.state.rebuild(store, now)?;
            }
            if let Some(id) = id {
                self.state.set_changelog_id(store, id);
            }
            if self.state.changelog_position(store).is_some_and(|position| position >= end) {
                self.state.was_level(store, now);
            }
        }
        Ok(())
    }

    /// Where to read on.
    pub(super) fn positions(&self) -> impl Iterator<Item = (TopicPartition, i64)> {
        let next = |(store, start): (usize, &i64)| {
            self.state.changelog_position(StoreIndex(store)).unwrap_or(*start)
        };
        self.changelogs.iter().cloned().zip(self.starts.iter().enumerate().map(next))
    }

    /// Takes a row.
    pub(super) fn take(&mut self, store: StoreIndex, row: (&[u8], Option<&[u8]>), next: i64) {
        (self.unsure, self.since_aim) = (true, true);
        self.state.follow(store, [row], next);
    }

    /// Moves over what isn't there for a reader that has come this far: markers, aborted rows.
    pub(super) fn advance(&mut self, reader: &dyn Reader) {
        for (number, at) in self.changelogs.iter().enumerate() {
            let store = StoreIndex(number);
            let Some(next) = reader.position(at) else { continue };
            if self.state.changelog_position(store).is_none_or(|position| position < next) {
                self.state.follow(store, [], next);
            }
        }
    }

    /// False: a task has the state now.
    pub(super) fn is_held(&self) -> bool {
        self.state.is_held()
    }

    /// The changelogs ended here, at `now`.
    pub(super) fn see_ends(&mut self, ends: &[i64], now: i64) {
        let behind = |(store, end): (usize, &i64)| {
            let position = self.state.changelog_position(StoreIndex(store)).unwrap_or(0);
            u64::try_from(end - position).unwrap_or(0)
        };
        self.lag = Some(ends.iter().enumerate().map(behind).sum());
        self.ends = ends.to_vec();
        if self.aim.is_none() {
            (self.aim, self.since_aim) = (Some((now, ends.to_vec())), false);
        }
    }

    /// Notes that the aim is reached, if it is: the stores cover all that was there when it was set.
    ///
    /// False: for so long nobody knew them to be level that they may have missed the deletion of what they hold. That is
    /// found out here and not at the next start, because rows that were read meanwhile would look fresh then.
    pub(super) fn is_sound(&mut self) -> bool {
        let Some((at, ends)) = &self.aim else { return true };
        let (at, stores) = (*at, (0..ends.len()).map(StoreIndex));
        let reached = |store: StoreIndex| {
            let position = self.state.changelog_position(store).unwrap_or(0);
            ends.get(store.0).is_some_and(|end| position >= *end)
        };
        if !stores.clone().all(reached) {
            return true;
        }
        let is_late = |store| {
            let since = self.state.as_of_ms(store).unwrap_or(at);
            at.saturating_sub(since) > self.delete_retention_ms / 2
        };
        if self.unsure && stores.clone().any(is_late) {
            return false;
        }
        stores.for_each(|store| self.state.was_level(store, at));
        self.level_at = Some(at);
        (self.aim, self.unsure) = (None, self.since_aim);
        true
    }

    /// Forgets all rows.
    pub(super) fn rebuild(&mut self, now: i64) -> Result<(), RestoreError> {
        for store in (0..self.changelogs.len()).map(StoreIndex) {
            self.state.rebuild(store, now)?;
        }
        Ok(())
    }

    /// When all its stores were last known to be their changelogs' (ms since 1970).
    pub(super) fn as_of_ms(&self) -> Option<i64> {
        let stores = (0..self.changelogs.len()).map(StoreIndex);
        stores.map(|store| self.state.as_of_ms(store)).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use state_stores::{MemoryEngine, StateDir, StateOptions, StoreKind, StoreSpec};

    use super::*;

    const STORE: StoreIndex = StoreIndex(0);
    const RETENTION_MS: i64 = 1_000;

    fn copy() -> Copy {
        let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
        let (name, changelog_topic) = ("s".into(), "c".into());
        let spec = StoreSpec { name, changelog_topic, kind: StoreKind::KeyValue };
        let state = dir.standby_state(0, &[spec], 0).unwrap();
        Copy::new(vec![TopicPartition::new("c", 0)], state, 1, RETENTION_MS)
    }

    fn read_to(copy: &mut Copy, next: i64) {
        copy.take(STORE, (b"k", Some(b"v")), next);
    }

    #[test]
    fn it_is_as_fresh_as_the_ends_that_it_has_reached() {
        let mut copy = copy();
        assert_eq!((copy.lag, copy.as_of_ms()), (None, Some(0)), "nothing is known yet");
        copy.see_ends(&[10], 100);
        read_to(&mut copy, 9);
        assert!(copy.is_sound());
        assert_eq!(copy.level_at, None, "it can't be asked yet");
        assert_eq!((copy.lag, copy.as_of_ms()), (Some(10), Some(0)), "as it was at the look");
        // The owner goes on: what counts is where the changelog ended when it was asked.
        copy.see_ends(&[12], 200);
        read_to(&mut copy, 11);
        assert!(copy.is_sound());
        assert_eq!((copy.lag, copy.as_of_ms()), (Some(3), Some(100)));
        assert_eq!((copy.level_at, copy.ends), (Some(100), vec![12]));
    }

    #[test]
    fn one_that_was_behind_for_too_long_is_not_made_young_by_catching_up() {
        let mut copy = copy();
        read_to(&mut copy, 10);
        copy.see_ends(&[10], 100);
        assert!(copy.is_sound());
        // Silence harms nobody: there was nothing to miss.
        copy.see_ends(&[10], 5_000);
        assert!(copy.is_sound());
        assert_eq!(copy.as_of_ms(), Some(5_000));

        read_to(&mut copy, 11);
        copy.see_ends(&[11], 5_000 + RETENTION_MS / 2 + 1);
        assert!(!copy.is_sound());
        assert_eq!(copy.as_of_ms(), Some(5_000));
    }

    #[test]
    fn rows_beyond_an_aim_are_not_forgotten_with_it() {
        let mut copy = copy();
        copy.see_ends(&[10], 100);
        read_to(&mut copy, 10);
        read_to(&mut copy, 11);
        assert!(copy.is_sound());
        copy.see_ends(&[11], 101 + RETENTION_MS / 2);
        assert!(!copy.is_sound(), "a row has been read since 100");
    }
}
