//! Reading one partition from a standby of this member (KIP-535): what it holds, how old that may be, and whether it covers
//! a position.
//!
//! Invariants: rows come from a copy that has been level since it was opened and isn't rebuilt or taken over while they are
//! read; a copy holds committed rows only. A standby can't tell from its changelog which inputs its rows cover. It asks
//! the log: what the group had committed *before* the changelog's end was read without isolation is in the rows once the
//! copy has reached that end, because a transaction's rows are in the log before its offsets are committed.

use std::time::Instant;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::Isolation;
use operators::StoreInfo;
use state_stores::CommittedStore;

use super::answer::{Part, StandbyLag};
use super::read::{Covered, VisitRow};
use super::request::Asked;
use super::serving::{Kept, Serving};
use super::{Queries, QueryError, task};
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
        let covered = self.cover(info, partition, asked, (thread, &store))?;
        let (kept, holder) = (thread.kept(id).ok_or_else(none)?, store.standby_term());
        let lag = self.lag(info, &store, &kept).filter(|_| holder.is_some()).ok_or_else(none)?;
        let visited = self.visit_rows(info, &store, asked, visit)?;
        // Rebuilt or taken over meanwhile, the rows may be those of a restore.
        let is_same = |now: &Kept| now.term == kept.term && store.standby_term() == holder;
        if !thread.kept(id).as_ref().is_some_and(is_same) {
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

    fn lag(&self, info: &StoreInfo, store: &CommittedStore, kept: &Kept) -> Option<StandbyLag> {
        let part = self.topology.subtopologies().iter().find(|it| it.id == info.subtopology)?;
        let place = part.stores.iter().position(|spec| spec.name == info.spec.name)?;
        let (current_offset, end_offset) =
            (store.changelog_position().unwrap_or(0), *kept.ends.get(place)?);
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
        let failed =
            |source| QueryError::Log { application: self.application().to_owned(), source };
        let admin = self.log.admin().map_err(failed)?;
        let group = group_of(&self.topology);
        let covered = loop {
            let committed = admin.committed_offsets(&group, &inputs).map_err(failed)?;
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
        let ends = admin.end_offsets(std::slice::from_ref(&changelog), Isolation::ReadUncommitted);
        let end = ends
            .map_err(failed)?
            .first()
            .copied()
            .ok_or_else(|| failed(LogError::Retriable(format!("{changelog} has no end"))))?;
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

fn behind(at: TopicPartition, position: i64, wanted: i64, asked: &Asked) -> QueryError {
    let waited_ms = u64::try_from(asked.wait.as_millis()).unwrap_or(u64::MAX);
    QueryError::NotCaughtUp { at, position, wanted, waited_ms }
}

/// The same query without a wait.
pub(super) fn at_once(asked: &Asked) -> Asked {
    Asked { until: Instant::now(), ..asked.clone() }
}
