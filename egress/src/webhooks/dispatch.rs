//! Events → deliveries: the thread that reads `user_feed`,
//! `webhook_commands` and `webhook_endpoints`.
//!
//! Invariants: a delivery's row and the offset behind its event are one
//! database transaction; before events are matched, every endpoint registered
//! before they were read is known (its registration was acknowledged first).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use log::{Admin, ConsumedRecord, Isolation, Log, Reader, TopicPartition};
use read_model::deliveries::DeliveryChange;
use read_model::seal::Sealer;
use read_model::{Database, Unreadable};
use schemas::messages::WebhookCommand;
use schemas::topics;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::WebhookSettings;
use super::endpoints::{Endpoint, Endpoints};
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

/// The compacted topic's reader with its partitions.
struct EndpointReader {
    reader: Box<dyn Reader>,
    places: Vec<TopicPartition>,
}

impl Dispatcher {
    pub(super) fn run(&self, handle: &Handle) -> Result<(), EgressError> {
        loop {
            match self.session(handle) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "webhook dispatcher interrupted; going on from the stored offsets");
                    handle.block_on(async {
                        let _either =
                            tokio::time::timeout(self.settings.retry, self.shutdown.cancelled())
                                .await;
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn session(&self, handle: &Handle) -> Result<(), EgressError> {
        let admin = self.log.admin()?;
        let mut endpoints = self.endpoint_reader(admin.as_ref(), handle)?;
        self.catch_up(admin.as_ref(), &mut endpoints, handle)?;
        self.loaded.cancel();
        let mut reader = reading::reader(self.log.as_ref(), "webhooks", handle, &self.shutdown)?;
        let database = (&self.database, handle);
        let mut positions =
            Positions::open(CONSUMER, &TOPICS, admin.as_ref(), reader.as_mut(), database, REMEDY)?;
        while !self.shutdown.is_cancelled() {
            let mut collected = self.collect(reader.as_mut())?;
            if let Some(error) = collected.failed.take() {
                return Err(error);
            }
            self.catch_up(admin.as_ref(), &mut endpoints, handle)?;
            if collected.next.is_empty() {
                continue;
            }
            let now = self.clock.now();
            let mut changes = plan::events(&collected.feed, &self.endpoints, &self.settings, now);
            changes.extend(
                collected.commands.iter().filter_map(|command| plan::command(command, now)),
            );
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
        }
        Ok(())
    }

    fn endpoint_reader(
        &self,
        admin: &dyn Admin,
        handle: &Handle,
    ) -> Result<EndpointReader, EgressError> {
        let name = topics::WEBHOOK_ENDPOINTS.name();
        let extent = reading::extent(admin, &[name])?;
        let begin: Vec<_> = extent
            .starts
            .iter()
            .map(|start| {
                (
                    TopicPartition::new(name, u32::try_from(start.partition).unwrap_or_default()),
                    start.next_offset,
                )
            })
            .collect();
        let mut reader =
            reading::reader(self.log.as_ref(), "webhooks-endpoints", handle, &self.shutdown)?;
        reader.assign(&begin)?;
        Ok(EndpointReader { reader, places: begin.into_iter().map(|(place, _)| place).collect() })
    }

    /// Reads the endpoints up to where they end now.
    fn catch_up(
        &self,
        admin: &dyn Admin,
        endpoints: &mut EndpointReader,
        handle: &Handle,
    ) -> Result<(), EgressError> {
        let ends = admin.end_offsets(&endpoints.places, Isolation::ReadCommitted)?;
        let mut gone = Vec::new();
        let mut failed = None;
        while !endpoints
            .places
            .iter()
            .zip(&ends)
            .all(|(place, end)| endpoints.reader.reached(place, *end))
        {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            endpoints
                .reader
                .poll(WAIT, 1_000, &mut |record| self.endpoint(&record, &mut gone, &mut failed))?;
            if let Some(error) = failed.take() {
                return Err(error);
            }
        }
        if !gone.is_empty() {
            handle.block_on(self.database.apply_deliveries(CONSUMER, &[], &gone, &[]))?;
        }
        Ok(())
    }

    fn endpoint(
        &self,
        record: &ConsumedRecord<'_>,
        gone: &mut Vec<DeliveryChange>,
        failed: &mut Option<EgressError>,
    ) {
        let webhook_id = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        let endpoint =
            match record.value.map(|value| self.codecs.endpoints.decode(value)).transpose() {
                Ok(endpoint) => endpoint.map(|registered| Endpoint::open(registered, &self.sealer)),
                Err(source) if source.is_retriable() => {
                    *failed = Some(EgressError::Schema {
                        topic: record.topic.to_owned(),
                        partition: record.partition,
                        offset: record.offset,
                        source,
                    });
                    return;
                }
                Err(error) => {
                    tracing::error!(webhook_id, offset = record.offset, %error, "endpoint skipped");
                    return;
                }
            };
        if self.endpoints.set(&webhook_id, endpoint) {
            gone.push(DeliveryChange::GiveUp { webhook_id });
        }
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
