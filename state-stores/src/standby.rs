//! The stores of a task that runs elsewhere, kept level with their changelogs here.
//!
//! Invariants: rows come from the changelog only; once a task has taken the stores ([`StateDir::task_state`]) nothing
//! more is written here, whoever still holds this. The age of the rows is that of the last moment at which they were
//! known to be the changelog's, because unlike an owner's they don't stay so by themselves.
//!
//! [`StateDir::task_state`]: crate::StateDir::task_state

use crate::{ChangelogRange, Rebuild, StoreError, StoreIndex, TaskState};

/// See the module page. Made by [`StateDir::standby_state`](crate::StateDir::standby_state); what it has read stays in
/// the folder when it is dropped.
#[derive(Debug)]
pub struct StandbyState(TaskState);

impl StandbyState {
    pub(crate) fn new(state: TaskState, now_ms: i64) -> Self {
        let new = Self(state);
        for store in (0..new.0.store_count()).map(StoreIndex) {
            new.date(store, now_ms);
        }
        new
    }

    /// What begins to be read from the start is as old as its first row.
    fn date(&self, store: StoreIndex, now_ms: i64) {
        if self.0.changelog_position(store).is_none() || self.0.as_of_ms(store).is_none() {
            self.0.set_as_of(store, now_ms);
        }
    }

    /// The next changelog offset to read; `None`: from the start.
    pub fn changelog_position(&self, store: StoreIndex) -> Option<i64> {
        self.0.changelog_position(store)
    }

    /// When the rows were last known to be the changelog's, or, before that, began to be read (ms since 1970).
    pub fn as_of_ms(&self, store: StoreIndex) -> Option<i64> {
        self.0.as_of_ms(store)
    }

    /// False once a task has taken one of the stores: nothing comes of this any more.
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Takes rows read from the changelog, or none where it has nothing below `next_offset` any more.
    pub fn follow<'r>(
        &self,
        store: StoreIndex,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
    ) {
        self.0.follow(store, rows, next_offset);
    }

    /// The position covers all that was in the changelog at this time (ms since 1970).
    pub fn was_level(&self, store: StoreIndex, at_ms: i64) {
        self.0.set_as_of(store, at_ms);
    }

    /// As [`TaskState::needs_rebuild`].
    pub fn needs_rebuild(
        &self,
        store: StoreIndex,
        changelog: &ChangelogRange<'_>,
        now_ms: i64,
    ) -> Option<Rebuild> {
        self.0.needs_rebuild(store, changelog, now_ms)
    }

    /// As [`TaskState::set_changelog_id`]; nothing happens where a task has the store now.
    pub fn set_changelog_id(&self, store: StoreIndex, id: &str) {
        self.0.set_changelog_id(store, id);
    }

    /// As [`TaskState::rebuild`]; nothing happens where a task has the store now.
    pub fn rebuild(&mut self, store: StoreIndex, now_ms: i64) -> Result<(), StoreError> {
        self.0.rebuild(store)?;
        self.date(store, now_ms);
        Ok(())
    }
}
