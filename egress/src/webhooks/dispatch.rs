//! Events → deliveries: the thread that reads `user_feed`,
//! `webhook_commands` and, through [`Directory`], `webhook_endpoints`.
//!
//! Invariants: a delivery's row and the offset behind its event are one
//! database transaction; before events are matched, every endpoint registered
//! before they were read is known (its registration was acknowledged first).
//! One process dispatches at a time; the others stand by and deliver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use log::{ConsumedRecord, Log, Reader};
use read_model::deliveries::DeliveryChange;
use read_model::seal::Sealer;
use read_model::{Database, Held, Unreadable};
use schemas::messages::WebhookCommand;
use schemas::topics;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::WebhookSettings;
use super::directory::{Directory, Tools};
use super::endpoints::Endpoints;
use super::owed::OwedWatch;
use super::plan::{self, Traced};
use crate::clock::Clock;
use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading::{self, Positions};

/// The dispatcher's name in `sink_offsets`.
pub(super) const CONSUMER: &str = "webhooks";
const REMEDY: &str = "run `orders webhooks reset` to go on from the end of the log";
pub(super) const TOPICS: [&str; 2] = [topics::USER_FEED.name(), topics::WEBHOOK_COMMANDS.name()];
const WAIT: Duration = Duration::from_millis(500);

pub(super) struct Dispatcher {
    pub(super) log: Arc<dyn Log>,
    pub(super) database: Database,
    pub(super) codecs: Codecs,
    pub(super) sealer: Sealer,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) settings: WebhookSettings,
    pub(super) clock: Arc<dyn Clock>,
    /// Told when there is something to send.
    pub(super) written: Arc<Notify>,
    pub(super) loaded: CancellationToken,
    pub(super) shutdown: CancellationToken,
}

/// One batch of records.
#[derive(Default)]
struct Collected {
    feed: Vec<Traced>,
    commands: Vec<WebhookCommand>,
    unreadable: Vec<Unreadable>,
    next: BTreeMap<(String, u32), i64>,
    failed: Option<EgressError>,
}

impl Dispatcher {
    pub(super) fn run(&self, handle: &Handle) -> Result<(), EgressError> {
        loop {
            match self.session(handle) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_fenced() => {
                    tracing::info!(%error, "another process moved the offsets; going on behind it");
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "webhook dispatcher interrupted; going on from the stored offsets");
                }
                Err(error) => return Err(error),
            }
            self.wait(handle, self.settings.retry);
        }
    }

    fn wait(&self, handle: &Handle, time: Duration) {
        handle.block_on(async {
            let _either = tokio::time::timeout(time, self.shutdown.cancelled()).await;
        });
    }

    /// From the stored offsets until shutdown or the first error.
    fn session(&self, handle: &Handle) -> Result<(), EgressError> {
        let mut directory = Directory::open(Tools {
            log: self.log.as_ref(),
            codecs: &self.codecs,
            sealer: &self.sealer,
            endpoints: &self.endpoints,
            clock: self.clock.as_ref(),
            handle,
            shutdown: &self.shutdown,
        })?;
        directory.catch_up()?;
        self.loaded.cancel();
        let Some(_held) = self.become_active(&mut directory, handle)? else { return Ok(()) };
        let admin = self.log.admin()?;
        let mut reader = reading::reader(self.log.as_ref(), "webhooks", handle, &self.shutdown)?;
        let database = (&self.database, handle);
        let mut positions =
            Positions::open(CONSUMER, &TOPICS, admin.as_ref(), reader.as_mut(), database, REMEDY)?;
        self.give_up(&mut directory, handle)?;
        let mut owed = OwedWatch::default();
        while !self.shutdown.is_cancelled() {
            owed.look(&self.database, self.clock.now(), handle);
            let mut collected = self.collect(reader.as_mut())?;
            if let Some(error) = collected.failed.take() {
                return Err(error);
            }
            directory.catch_up()?;
            self.give_up(&mut directory, handle)?;
            if !collected.next.is_empty() {
                self.apply(&mut positions, &collected, handle)?;
            }
        }
        Ok(())
    }

    /// Waits until no other process dispatches; none at shutdown. A standby
    /// keeps its endpoints current, because it delivers what is due as well.
    fn become_active(
        &self,
        directory: &mut Directory<'_>,
        handle: &Handle,
    ) -> Result<Option<Held>, EgressError> {
        let mut standby = false;
        while !self.shutdown.is_cancelled() {
            if let Some(held) = handle.block_on(self.database.hold(CONSUMER))? {
                if standby {
                    tracing::info!("the other webhook dispatcher is gone; taking over");
                }
                return Ok(Some(held));
            }
            if !std::mem::replace(&mut standby, true) {
                tracing::info!("another process dispatches webhooks; standing by");
            }
            self.wait(handle, self.settings.poll);
            directory.catch_up()?;
        }
        Ok(None)
    }

    /// Settles what is owed to endpoints that are off.
    fn give_up(&self, directory: &mut Directory<'_>, handle: &Handle) -> Result<(), EgressError> {
        let off = directory.switched_off().into_iter();
        let off: Vec<_> = off.map(|webhook_id| DeliveryChange::GiveUp { webhook_id }).collect();
        if !off.is_empty() {
            handle.block_on(self.database.apply_deliveries(CONSUMER, &[], &off, &[]))?;
        }
        Ok(())
    }

    fn apply(
        &self,
        positions: &mut Positions,
        collected: &Collected,
        handle: &Handle,
    ) -> Result<(), EgressError> {
        let now = self.clock.now();
        let mut changes = plan::events(&collected.feed, &self.endpoints, &self.settings, now);
        changes.extend(collected.commands.iter().filter_map(|command| plan::command(command, now)));
        let steps = positions.steps(&collected.next);
        handle.block_on(self.database.apply_deliveries(
            CONSUMER,
            &steps,
            &changes,
            &collected.unreadable,
        ))?;
        positions.advance(&steps);
        if !changes.is_empty() {
            self.written.notify_one();
        }
        Ok(())
    }

    fn collect(&self, reader: &mut dyn Reader) -> Result<Collected, EgressError> {
        let mut collected = Collected::default();
        reader.poll(WAIT, self.settings.batch_records, &mut |record| {
            if collected.failed.is_none() {
                self.read(&record, &mut collected);
            }
        })?;
        Ok(collected)
    }

    fn read(&self, record: &ConsumedRecord<'_>, collected: &mut Collected) {
        let Some(value) = record.value else {
            collected.next.insert((record.topic.to_owned(), record.partition), record.offset + 1);
            return;
        };
        let decoded = if record.topic == topics::USER_FEED.name() {
            let trace = record.headers.iter().find(|(name, _)| *name == "traceparent");
            let trace = trace.and_then(|(_, value)| String::from_utf8(value.to_vec()).ok());
            self.codecs.user_feed.decode(value).map(|entry| collected.feed.push((entry, trace)))
        } else {
            self.codecs.commands.decode(value).map(|command| collected.commands.push(command))
        };
        match decoded {
            Err(source) if source.is_retriable() => {
                let (topic, partition, offset) =
                    (record.topic.to_owned(), record.partition, record.offset);
                collected.failed = Some(EgressError::Schema { topic, partition, offset, source });
                return;
            }
            // The sink puts feed records on `dead_letters`; here the place is noted.
            Err(error) => collected.unreadable.push(Unreadable {
                topic: record.topic.to_owned(),
                partition: i32::try_from(record.partition).unwrap_or(i32::MAX),
                offset: record.offset,
                reason: error.to_string(),
            }),
            Ok(()) => {}
        }
        collected.next.insert((record.topic.to_owned(), record.partition), record.offset + 1);
    }
}
