//! Reading one partition from a standby of this member (KIP-535): what it holds, how old that may be, and whether it covers
//! a position.
//!
//! Invariants: rows come from a copy that has been level since it was opened, or from what a task of this member that is
//! being restored has made of one: never from stores that were built anew since then and aren't back where they were. All
//! of them hold committed rows only. A standby can't tell from its changelog which inputs its rows cover. It asks
//! the log: what the group had committed *before* the changelog's end was read without isolation is in the rows once the
//! copy has reached that end, because a transaction's rows are in the log before its offsets are committed.

use std::time::Instant;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation};
use operators::StoreInfo;
use state_stores::CommittedStore;

use super::answer::{Part, StandbyLag};
use super::read::{Covered, VisitRow};
use super::request::Asked;
use super::serving::{Kept, Serving};
use super::{Queries, QueryError, task};
use crate::turn::Turn;
use crate::worker::group_of;

impl Queries {
    /// The rows of a partition of which this member has a standby.
    ///
    /// # Errors
    /// [`QueryError::NoStandby`] where it has none that can be asked, or hadn't to the end; [`QueryError::NotCaughtUp`]
    /// where it doesn't cover the position that is asked for in time.
    pub(super) fn read_standby(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
    ) -> Result<Part, QueryError> {
        self.collect(info, partition, asked, |visit| {
            self.visit_standby(info, partition, asked, visit)
        })
    }

    /// As [`Self::visit_here`], of a standby.
    pub(super) fn visit_standby(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        visit: &mut VisitRow<'_>,
    ) -> Result<Covered, QueryError> {
        let none = || QueryError::NoStandby {
            application: self.application().to_owned(),
            instance: self.instance.clone(),
            partition,
        };
        let id = task(info, partition);
        let (thread, _) = self.keeper(info, partition).ok_or_else(none)?;
        let store = self.state_dir.committed(&info.spec.name, partition).ok_or_else(none)?;
        let life = store.life();
        let covered = self.cover(info, partition, asked, (thread, &store))?;
        let kept = thread.kept(id).ok_or_else(none)?;
        let lag = self.lag(info, &store, &kept).ok_or_else(none)?;
        let visited = self.visit_rows(info, &store, asked, visit)?;
        // Built anew meanwhile, it may lack rows of any age. A task that has taken it over only adds to them.
        if store.life() != life {
            return Err(none());
        }
        visited.map(|()| (covered, Some(lag)))
    }

    /// How far the standby of a partition is behind; `None`: this member has none that can be asked.
    pub(super) fn lag_of(&self, info: &StoreInfo, partition: u32) -> Option<StandbyLag> {
        let (_, kept) = self.keeper(info, partition)?;
        self.lag(info, &self.state_dir.committed(&info.spec.name, partition)?, &kept)
    }

    /// The thread that keeps a standby of the partition.
    fn keeper(&self, info: &StoreInfo, partition: u32) -> Option<(&Serving, Kept)> {
        let id = task(info, partition);
        self.serving.iter().find_map(|thread| Some((thread.as_ref(), thread.kept(id)?)))
    }

    /// None where the store is being built anew.
    fn lag(&self, info: &StoreInfo, store: &CommittedStore, kept: &Kept) -> Option<StandbyLag> {
        let part = self.topology.subtopologies().iter().find(|it| it.id == info.subtopology)?;
        let place = part.stores.iter().position(|spec| spec.name == info.spec.name)?;
        let end_offset = *kept.ends.get(place)?;
        let current_offset = store.changelog_position().unwrap_or(0);
        if current_offset < *kept.positions.get(place)? {
            return None;
        }
        let (told_ms, told) = kept.told;
        let since = i64::try_from(told.elapsed().as_millis()).unwrap_or(i64::MAX);
        let behind = told_ms.saturating_sub(kept.as_of_ms).saturating_add(since);
        Some(StandbyLag {
            current_offset,
            end_offset,
            offset_lag: u64::try_from(end_offset - current_offset).unwrap_or(0),
            as_of_ms: kept.as_of_ms,
            behind_ms: u64::try_from(behind).unwrap_or(0),
        })
    }

    /// Waits until the standby covers the offsets that are asked for; gives the positions it covers then. Nothing where
    /// none are.
    fn cover(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        (thread, store): (&Serving, &CommittedStore),
    ) -> Result<Vec<(TopicPartition, i64)>, QueryError> {
        let wanted = || asked.after.iter().filter(|(at, _)| at.partition == partition);
        if wanted().next().is_none() {
            return Ok(Vec::new());
        }
        let part = self.topology.subtopologies().iter().find(|it| it.id == info.subtopology);
        let sources = part.map(|part| part.sources.as_slice()).unwrap_or_default();
        let inputs: Vec<TopicPartition> =
            sources.iter().map(|topic| TopicPartition::new(topic.clone(), partition)).collect();
        let group = group_of(&self.topology);
        let covered = loop {
            let committed = self.ask_log(asked, |it| it.committed_offsets(&group, &inputs));
            let committed = match committed {
                // A transaction of the owner's ends just now, say.
                Err(QueryError::Log { source: LogError::Retriable(_), .. })
                    if thread.pause(asked.until) =>
                {
                    continue;
                }
                committed => committed?,
            };
            let next = committed.into_iter().map(|next| next.unwrap_or(0));
            let covered: Vec<_> = inputs.iter().cloned().zip(next).collect();
            let position = |at: &TopicPartition| {
                covered.iter().find(|(input, _)| input == at).map_or(0, |(_, next)| *next)
            };
            match wanted().find(|(at, offset)| position(at) <= *offset) {
                None => break covered,
                Some((at, offset)) if !thread.pause(asked.until) => {
                    return Err(behind(at.clone(), position(at), *offset, asked));
                }
                Some(_) => {}
            }
        };
        let changelog = TopicPartition::new(store.spec().changelog_topic.clone(), partition);
        let at = std::slice::from_ref(&changelog);
        let ends = self.ask_log(asked, |it| it.end_offsets(at, Isolation::ReadUncommitted))?;
        let end = ends.first().copied().unwrap_or(i64::MAX);
        loop {
            let position = store.changelog_position().unwrap_or(0);
            if position >= end {
                return Ok(covered);
            }
            if !thread.pause(asked.until) {
                return Err(behind(changelog, position, end - 1, asked));
            }
        }
    }
}

impl Queries {
    /// Asks the log, with one client for all queries. Who asks waits for others no longer than for a position.
    fn ask_log<R>(
        &self,
        asked: &Asked,
        ask: impl FnOnce(&dyn Admin) -> Result<R, LogError>,
    ) -> Result<R, QueryError> {
        let failed =
            |source| QueryError::Log { application: self.application().to_owned(), source };
        let Some(mut turn) = self.offsets.take(asked.until.max(Turn::<()>::at_once())) else {
            let text = "offsets are being asked for by another query, and the log is slow";
            return Err(failed(LogError::Retriable(text.to_owned())));
        };
        let admin = match turn.has.take() {
            Some(admin) => admin,
            None => self.log.admin().map_err(failed)?,
        };
        ask(turn.has.insert(admin).as_ref()).map_err(failed)
    }
}

fn behind(at: TopicPartition, position: i64, wanted: i64, asked: &Asked) -> QueryError {
    let waited_ms = u64::try_from(asked.wait.as_millis()).unwrap_or(u64::MAX);
    QueryError::NotCaughtUp { at, position, wanted, waited_ms }
}

/// The same query without a wait.
pub(super) fn at_once(asked: &Asked) -> Asked {
    Asked { until: Instant::now(), ..asked.clone() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use state_stores::StoreIndex;

    use super::*;
    use crate::queries::fixture::{Nobody, worker};
    use crate::queries::{StoreQuery, render_plain};

    #[test]
    fn rows_of_a_store_that_is_built_anew_are_not_shown() {
        let mut worker = worker();
        let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
        let info = queries.store("counts").unwrap();
        let state = RefCell::new(worker.slots.remove(0).task.into_state());
        let position = state.borrow().changelog_position(StoreIndex(0)).unwrap();
        let (positions, ends, told) = (vec![position], vec![position], (0, Instant::now()));
        let kept = Kept { term: 1, positions, ends, as_of_ms: 0, told };
        worker.publisher.serving().keep(BTreeMap::from([(task(info, 0), kept)]), &|_| false);
        let asked = StoreQuery::default().understand(info).unwrap();
        let read = |meanwhile: &dyn Fn()| {
            queries.visit_standby(info, 0, &asked, &mut |_| {
                meanwhile();
                Ok(ControlFlow::Continue(()))
            })
        };
        assert!(read(&|| {}).is_ok(), "a task has taken it over");
        let anew = || state.borrow_mut().rebuild(StoreIndex(0)).unwrap();
        for read in [read(&anew), read(&|| {})] {
            assert!(matches!(read, Err(QueryError::NoStandby { .. })));
        }
        state.borrow_mut().restore(StoreIndex(0), [], position);
        assert!(read(&|| {}).is_ok(), "it is back where it was");
    }
}
