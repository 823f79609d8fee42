//! Reading one partition here: wait for the position, read, and make sure that it was ours all the while.

use std::ops::ControlFlow;

use operators::StoreInfo;
use state_stores::{CommittedRow, RowTime};

use super::answer::{AnsweredBy, Part, Row, WindowTimes};
use super::render::{digits, shown};
use super::request::Asked;
use super::serving::{Absent, Served};
use super::{Queries, QueryError, task};

/// Bytes of rows in a part, about.
const BYTES_MAX: usize = 4 << 20;

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
        let (mut part, mut bytes) = (Part::default(), 0);
        let served = self.visit_here(info, partition, asked, &mut |row| {
            if part.rows.len() == asked.limit || bytes > BYTES_MAX {
                part.more = true;
                return Ok(ControlFlow::Break(()));
            }
            bytes += row.place.len() + row.value.len();
            part.rows.push(self.row(info, partition, row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let positions = served.inputs.iter().map(|(at, next)| (at.to_string(), *next)).collect();
        let (instance, partitions) = (self.instance.clone(), vec![partition]);
        part.from.push(AnsweredBy { instance, partitions, positions });
        Ok(part)
    }

    /// Visits the selected rows of a partition that this member owns; gives the positions they cover.
    pub(crate) fn visit_here(
        &self,
        info: &StoreInfo,
        partition: u32,
        asked: &Asked,
        visit: &mut dyn FnMut(CommittedRow<'_>) -> Result<ControlFlow<()>, QueryError>,
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
        let mut failed = None;
        store.select(&asked.select, &mut |row| {
            visit(row).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            })
        })?;
        // Given up meanwhile, the rows may be those of a restore.
        if thread.served(id).is_none_or(|now| now.term != served.term) {
            return Err(no_owner());
        }
        failed.map_or(Ok(served), Err)
    }

    fn row(
        &self,
        info: &StoreInfo,
        partition: u32,
        row: CommittedRow<'_>,
    ) -> Result<Row, QueryError> {
        let parts = info.rows.parts(row.value).ok_or_else(|| {
            let what = format!("a row of store `{}`", info.spec.name);
            state_stores::StoreError::Corrupt { what, detail: "not of its layout".to_owned() }
        })?;
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
        after: &[(log::record::TopicPartition, i64)],
        absent: Absent,
    ) -> QueryError {
        match absent {
            Absent::Elsewhere => self.no_owner(info, partition),
            Absent::NoInput(at) => QueryError::Invalid(format!(
                "store `{}` doesn't come from {at}: see the inputs of its task",
                info.spec.name
            )),
            Absent::Behind(at, position) => {
                let wanted =
                    after.iter().filter(|(other, _)| *other == at).map(|(_, offset)| *offset);
                let wanted = wanted.max().unwrap_or(position);
                let waited_ms = u64::try_from(asked.wait.as_millis()).unwrap_or(u64::MAX);
                QueryError::NotCaughtUp { at, position, wanted, waited_ms }
            }
        }
    }

    pub(crate) fn no_owner(&self, info: &StoreInfo, partition: u32) -> QueryError {
        let (application, store) = (self.application().to_owned(), info.spec.name.to_string());
        QueryError::NoOwner { application, store, partition }
    }
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

    use log::embedded::{EmbeddedLog, EmbeddedOptions};
    use log::{Cleanup, Log, NewRecord, TopicSpec};
    use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};
    use state_stores::{MemoryEngine, StateDir, StateOptions};

    use super::*;
    use crate::queries::{Answer, PeerError, Peers, StoreQuery, render_plain};
    use crate::{Member, Progress, Worker, WorkerSettings};

    struct Nobody;

    impl Peers for Nobody {
        fn ask(&self, _: &Member, _: &str, _: &StoreQuery) -> Result<Answer, PeerError> {
            Err(PeerError::Silent("nobody is there".to_owned()))
        }
    }

    /// A worker that has counted one word.
    fn worker() -> Worker {
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(|| 1_700_000_000_000);
        let options = EmbeddedOptions::simulation(clock, 1);
        let log = Arc::new(EmbeddedLog::open(Arc::new(MemoryEngine::new()), options).unwrap());
        let topic = |name: &str| {
            let (name, cleanup) = (name.to_owned(), Cleanup::Keep);
            TopicSpec { name, partitions: 1, replication: 1, cleanup }
        };
        let admin = log.admin().unwrap();
        admin.ensure_topics(&["words", "dead_letters"].map(topic)).unwrap();
        let record = NewRecord { key: Some(b"a"), value: Some(b""), timestamp: 1, headers: &[] };
        log.appender("test").unwrap().append("words", None, record, Box::new(|_| {}));
        log.sync().unwrap();

        let builder = StreamsBuilder::new("words");
        let words = builder.stream::<str, str>(&Topic::new("words", Utf8, Utf8));
        words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
        let options = StateOptions::new(admin.log_id().unwrap());
        let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
        let (topology, settings) = (builder.build().unwrap(), WorkerSettings::new("one"));
        let mut worker = Worker::new(topology, log.clone(), state, settings, 1);
        for now in 1_700_000_000_000..1_700_000_010_000 {
            let progress = worker.step(now).unwrap();
            log.tick().unwrap();
            let is_read = worker.status().tasks.iter().any(|task| task.inputs[0].1 == 1);
            if is_read && matches!(progress, Progress::IdleUntil(_)) {
                return worker;
            }
        }
        panic!("the word isn't counted: {:?}", worker.status());
    }

    #[test]
    fn an_answer_that_a_revoke_has_overtaken_is_refused() {
        let worker = worker();
        let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
        let info = queries.store("counts").unwrap();
        let asked = StoreQuery::default().understand(info).unwrap();
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
}
