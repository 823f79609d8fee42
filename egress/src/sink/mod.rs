//! The SQL sink: topics → rows, exactly once.
//!
//! Invariant: a range of the log, the rows it makes and the offset behind it
//! are one database transaction, fenced by the offset itself. So any number of
//! sinks may run; one applies each range and the others stand by. Whatever
//! interrupts it, it reads the offsets again and goes on from there.

mod collect;
mod decoding;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use log::{Appender, Log, Reader};
use read_model::{Batch, Database, Progress, Unreadable};
use schemas::topics;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock as _, SystemClock};
use crate::codecs::Codecs;
use crate::dead_letters::{self, Broken};
use crate::error::EgressError;
use crate::reading::{self, Positions};
use collect::{Collected, Item};
use decoding::Decoding;

/// The sink's name in `sink_offsets`.
pub const CONSUMER: &str = "sql-sink";
const REMEDY: &str = "run `orders sink rebuild`";
const TOPICS: [&str; 4] = [
    topics::USER_FEED.name(),
    topics::PRODUCTS.name(),
    topics::STOCK_LEVELS.name(),
    topics::REVENUE_BY_MINUTE.name(),
];

/// How the sink works.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Records per database transaction, at most.
    pub batch_records: usize,
    /// Threads that decode the records of a large batch, as a rebuild has them. 1: the sink's own.
    pub decoding_threads: usize,
    /// Wait after an interruption.
    pub retry: Duration,
    /// Wait after another sink was ahead: this one is its standby.
    pub standby: Duration,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            batch_records: 2_000,
            decoding_threads: 2,
            retry: Duration::from_millis(500),
            standby: Duration::from_secs(1),
        }
    }
}

/// Runs until `shutdown`. Errors that a repeat may cure are logged and
/// repeated; the others end it and name the remedy.
pub async fn run_sink(
    log: Arc<dyn Log>,
    database: Database,
    codecs: Codecs,
    settings: SinkSettings,
    shutdown: CancellationToken,
) -> Result<(), EgressError> {
    reading::on_thread("sql-sink", move |handle| {
        let handle = handle.clone();
        let decoding = Decoding::on(settings.decoding_threads);
        let sink = Sink { log, database, codecs, settings, shutdown, handle, decoding };
        sink.run()
    })
    .await
}

/// Forgets all rows and offsets; the next sink begins from the beginning.
pub async fn rebuild(database: &Database) -> Result<(), EgressError> {
    Ok(database.reset_projections(CONSUMER).await?)
}

struct Sink {
    log: Arc<dyn Log>,
    database: Database,
    codecs: Codecs,
    settings: SinkSettings,
    shutdown: CancellationToken,
    handle: Handle,
    decoding: Decoding,
}

impl Sink {
    fn run(&self) -> Result<(), EgressError> {
        loop {
            match self.session() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_fenced() => {
                    tracing::info!(%error, "another sink is ahead; standing by");
                    self.wait(self.settings.standby);
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "sink interrupted; going on from the stored offsets");
                    self.wait(self.settings.retry);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, time: Duration) {
        self.handle.block_on(async {
            let _either = tokio::time::timeout(time, self.shutdown.cancelled()).await;
        });
    }

    /// From the stored offsets until shutdown or the first error.
    fn session(&self) -> Result<(), EgressError> {
        let admin = self.log.admin()?;
        let appender = self.log.appender("sql-sink-dead-letters")?;
        let mut reader =
            reading::reader(self.log.as_ref(), "sql-sink", &self.handle, &self.shutdown)?;
        self.load_snapshot(admin.as_ref(), reader.as_mut())?;
        let database = (&self.database, &self.handle);
        let mut positions =
            Positions::open(CONSUMER, &TOPICS, admin.as_ref(), reader.as_mut(), database, REMEDY)?;
        while !self.shutdown.is_cancelled() {
            let (codecs, max) = (&self.codecs, self.settings.batch_records);
            let collected = collect::collect(reader.as_mut(), codecs, &self.decoding, max)?;
            if collected.next.is_empty() {
                continue;
            }
            let steps = positions.steps(&collected.next);
            match self.apply(appender.as_ref(), &steps, &collected.items) {
                Err(EgressError::Database(error)) if error.is_bad_data() => {
                    tracing::warn!(%error, "the database refused a batch; going record by record");
                    self.one_by_one(appender.as_ref(), &mut positions, collected)?;
                }
                result => {
                    result?;
                    positions.advance(&steps);
                }
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        appender: &dyn Appender,
        steps: &[Progress],
        items: &[Item],
    ) -> Result<(), EgressError> {
        let mut batch = Batch::default();
        let mut broken = Vec::new();
        for item in items {
            item.add_to(&mut batch, &mut broken);
        }
        if !broken.is_empty() {
            dead_letters::send(appender, CONSUMER, &broken, SystemClock.now().as_millis())?;
        }
        let unreadable: Vec<_> = broken.iter().map(unreadable).collect();
        self.handle.block_on(self.database.apply(CONSUMER, steps, &batch, &unreadable))?;
        metrics::counter!("sink_records_total").increment(items.len() as u64);
        Ok(())
    }

    /// After the database refused values: everything that is good goes in,
    /// what is bad is set aside.
    fn one_by_one(
        &self,
        appender: &dyn Appender,
        positions: &mut Positions,
        collected: Collected,
    ) -> Result<(), EgressError> {
        for item in collected.items {
            let steps = positions.steps(&item.step());
            match self.apply(appender, &steps, std::slice::from_ref(&item)) {
                Err(EgressError::Database(error)) if error.is_bad_data() => {
                    let item = item.refused(error.to_string());
                    self.apply(appender, &steps, std::slice::from_ref(&item))?;
                }
                result => result?,
            }
            positions.advance(&steps);
        }
        Ok(())
    }

    /// On the first start and after a rebuild: what the feed no longer holds
    /// comes from topics that keep it. Repeating it changes nothing.
    fn load_snapshot(
        &self,
        admin: &dyn log::Admin,
        reader: &mut dyn Reader,
    ) -> Result<(), EgressError> {
        let stored = self.handle.block_on(self.database.offsets(CONSUMER))?;
        let feed = reading::extent(admin, &[topics::USER_FEED.name()])?;
        if !stored.is_empty() || feed.starts.iter().all(|start| start.next_offset == 0) {
            return Ok(());
        }
        let how = (&self.codecs, &self.decoding);
        snapshot::load(admin, reader, how, &self.shutdown, &mut |batch| {
            Ok(self.handle.block_on(self.database.apply(CONSUMER, &[], batch, &[]))?)
        })
    }
}

fn unreadable(broken: &Broken) -> Unreadable {
    Unreadable {
        topic: broken.topic.clone(),
        partition: i32::try_from(broken.partition).unwrap_or(i32::MAX),
        offset: broken.offset,
        reason: broken.reason.clone(),
    }
}
