//! Reading one partition here: wait for the position, read, and make sure that it was ours all the while.

use std::ops::ControlFlow;
use std::time::Instant;

use log::record::TopicPartition;
use operators::{RowParts, StoreInfo};
use state_stores::{CommittedRow, CommittedStore, Keys, RowTime, StoreError};

use super::answer::{AnsweredBy, Part, Row, StandbyLag, WindowTimes};
use super::render::{digits, shown};
use super::request::Asked;
use super::serving::{Absent, Served};
use super::{Queries, QueryError, task};

/// Bytes of rows in an answer, about, before they are JSON: each partition has its share.
const BYTES_MAX: usize = 8 << 20;

/// Takes rows of a store until it breaks.
pub(super) type VisitRow<'v> =
    dyn FnMut(CommittedRow<'_>) -> Result<ControlFlow<()>, QueryError> + 'v;

/// Next offsets of inputs that rows cover, and how old the rows may be if they are a standby's.
pub(super) type Covered = (Vec<(TopicPartition, i64)>, Option<StandbyLag>);

impl Queries {
    /// The rows of a partition that this member owns.
    ///
    /// # Errors
    /// [`QueryError::NoOwner`] where it isn't, or wasn't to the end.
    pub(crate) fn read_here(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
    ) -> Result<Part, QueryError> {
        self.collect(info, partition, asked, |visit| {
            let served = self.visit_here(info, partition, asked, visit)?;
            Ok((served.inputs, None))
        })
    }

    /// What `read` visits, as far as it fits into an answer; `read` gives the positions it covers, and its age.
    pub(super) fn collect(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        read: impl FnOnce(&mut VisitRow<'_>) -> Result<Covered, QueryError>,
    ) -> Result<Part, QueryError> {
        let (mut part, mut bytes) = (Part::default(), 0);
        let partitions = match asked.select.keys {
            Keys::One(_) if info.unpartitioned.is_some() => 1,
            _ => self.partition_count(info).unwrap_or(1).max(1),
        };
        let bytes_max = BYTES_MAX / usize::try_from(partitions).unwrap_or(usize::MAX);
        let (positions, standby) = read(&mut |row| {
            // One row at least, or nobody could go on behind it.
            if part.rows.len() == asked.limit || bytes > bytes_max {
                part.more = true;
                return Ok(ControlFlow::Break(()));
            }
            bytes += row.place.len() + row.value.len();
            part.rows.push(self.row(info, partition, row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let positions = positions.iter().map(|(at, next)| (at.to_string(), *next)).collect();
        let (instance, partitions) = (self.instance.clone(), vec![partition]);
        part.from.push(AnsweredBy { instance, partitions, positions, standby });
        Ok(part)
    }

    /// Visits the selected rows of a partition that this member owns; gives the positions they cover.
    pub(crate) fn visit_here(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        visit: &mut VisitRow<'_>,
    ) -> Result<Served, QueryError> {
        let id = task(info, partition);
        let after: Vec<_> =
            asked.after.iter().filter(|(at, _)| at.partition == partition).cloned().collect();
        let no_owner = || self.no_owner(info, partition);
        let thread = self.thread_of(id).ok_or_else(no_owner)?;
        let served = thread
            .wait_for(id, &after, asked.until)
            .map_err(|absent| self.absent(info, partition, asked, &after, absent))?;
        let store = self.state_dir.committed(&info.spec.name, partition).ok_or_else(no_owner)?;
        let visited = self.visit_rows(info, &store, asked, visit)?;
        // Given up meanwhile, the rows may be those of a restore.
        if thread.served(id).is_none_or(|now| now.term != served.term) {
            return Err(no_owner());
        }
        visited.map(|()| served)
    }

    /// Visits the selected rows of a store; what the inner result says counts only if the rows are of a store that can
    /// still be asked.
    pub(super) fn visit_rows(
        &self,
        info: &StoreInfo,
        store: &CommittedStore,
        asked: &Asked,
        visit: &mut VisitRow<'_>,
    ) -> Result<Result<(), QueryError>, QueryError> {
        let (mut failed, mut is_late) = (None, false);
        let mut pause = || {
            is_late = asked.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.select(&asked.select, &mut pause, &mut |row| {
            visit(row).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            })
        })?;
        Ok(if is_late { Err(self.timed_out(info, asked)) } else { failed.map_or(Ok(()), Err) })
    }

    fn row(
        &self,
        info: &StoreInfo,
        partition: u32,
        row: CommittedRow<'_>,
    ) -> Result<Row, QueryError> {
        let parts = parts(info, row.value)?;
        let value = |bytes: &[u8]| shown(&*self.render, &info.value, bytes);
        let value = match (info.rows, parts.values.as_slice()) {
            (operators::RowLayout::List, values) => {
                values.iter().map(|bytes| value(bytes)).collect()
            }
            (_, [bytes]) => value(bytes),
            _ => serde_json::Value::Null,
        };
        Ok(Row {
            partition,
            key: shown(&*self.render, &info.key, row.key),
            window: row.time.map(|time| window(info, time)),
            timestamp_ms: parts.timestamp,
            deadline_ms: parts.deadline,
            value,
            place: Some(digits(row.place)),
        })
    }

    fn absent(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        after: &[(TopicPartition, i64)],
        absent: Absent,
    ) -> QueryError {
        match absent {
            Absent::Elsewhere => self.no_owner(info, partition),
            Absent::Behind(at, position) => {
                let wanted =
                    after.iter().filter(|(other, _)| *other == at).map(|(_, offset)| *offset);
                let wanted = wanted.max().unwrap_or(position);
                let waited_ms = u64::try_from(asked.wait.as_millis()).unwrap_or(u64::MAX);
                QueryError::NotCaughtUp { at, position, wanted, waited_ms }
            }
        }
    }

    pub(crate) fn timed_out(&self, info: &StoreInfo, asked: &Asked) -> QueryError {
        let within_ms = u64::try_from(asked.within.as_millis()).unwrap_or(u64::MAX);
        QueryError::TimedOut { store: info.spec.name.to_string(), within_ms }
    }

    pub(crate) fn no_owner(&self, info: &StoreInfo, partition: u32) -> QueryError {
        let (application, store) = (self.application().to_owned(), info.spec.name.to_string());
        QueryError::NoOwner { application, store, partition }
    }
}

/// A row taken apart.
pub(crate) fn parts<'r>(info: &StoreInfo, row: &'r [u8]) -> Result<RowParts<'r>, StoreError> {
    info.rows.parts(row).ok_or_else(|| StoreError::Corrupt {
        what: format!("a row of store `{}`", info.spec.name),
        detail: "not of its layout".to_owned(),
    })
}

fn window(info: &StoreInfo, time: RowTime) -> WindowTimes {
    match time {
        RowTime::Window(start_ms) => {
            let end_ms = info.window_size_ms.and_then(|size| start_ms.checked_add(size));
            WindowTimes { start_ms, end_ms }
        }
        RowTime::Session(start_ms, end_ms) => WindowTimes { start_ms, end_ms: Some(end_ms) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queries::fixture::{Nobody, worker};
    use crate::queries::{StoreQuery, render_plain};

    #[test]
    fn an_answer_that_a_revoke_has_overtaken_is_refused() {
        let worker = worker();
        let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
        let info = queries.store("counts").unwrap();
        let query = StoreQuery { key: Some("a".to_owned()), ..StoreQuery::default() };
        let asked = query.understand(info).unwrap();
        let read = |meanwhile: &dyn Fn()| {
            queries.visit_here(info, 0, &asked, &mut |row| {
                assert_eq!(row.key, b"a");
                meanwhile();
                Ok(ControlFlow::Continue(()))
            })
        };
        assert!(read(&|| {}).is_ok());
        let back = read(&|| {
            worker.publisher.tell(&[], false);
            worker.publisher.tell(&worker.slots, true);
        });
        assert!(matches!(back, Err(QueryError::NoOwner { .. })), "taken up again, after a restore");
        let gone = read(&|| worker.publisher.tell(&[], false));
        assert!(matches!(gone, Err(QueryError::NoOwner { .. })));
    }

    #[test]
    fn a_search_ends_with_its_time() {
        let worker = worker();
        let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
        let info = queries.store("counts").unwrap();
        let mut asked = StoreQuery::default().understand(info).unwrap();
        let mut read = |deadline| {
            asked.deadline = deadline;
            queries.visit_here(info, 0, &asked, &mut |_| Ok(ControlFlow::Continue(())))
        };
        assert!(read(None).is_ok());
        let late = read(Some(Instant::now())).unwrap_err();
        assert_eq!((late.code(), late.status()), ("timed_out", 504));
    }
}
