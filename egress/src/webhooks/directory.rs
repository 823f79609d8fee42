//! Following `webhook_endpoints`: the compacted topic → [`Endpoints`].
//!
//! Invariants: only where a catch-up ends counts; what lay in between is never
//! shown to the sender and settles no delivery. An id that was deleted stays
//! deleted: ids are never given twice, so a later value can only be a write
//! that crossed the tombstone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use log::{Admin, Appender, ConsumedRecord, Isolation, Log, NewRecord, Reader, TopicPartition};
use read_model::seal::Sealer;
use schemas::messages::WebhookEndpoint;
use schemas::topics;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::endpoints::{Endpoint, Endpoints};
use crate::clock::Clock;
use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;

const TOPIC: &str = topics::WEBHOOK_ENDPOINTS.name();
const WAIT: Duration = Duration::from_millis(500);

/// What the dispatcher lends.
pub(super) struct Tools<'a> {
    pub(super) log: &'a dyn Log,
    pub(super) codecs: &'a Codecs,
    pub(super) sealer: &'a Sealer,
    pub(super) endpoints: &'a Endpoints,
    pub(super) clock: &'a dyn Clock,
    pub(super) handle: &'a Handle,
    pub(super) shutdown: &'a CancellationToken,
}

/// One reader of the topic, from its beginning on.
pub(super) struct Directory<'a> {
    tools: Tools<'a>,
    admin: Box<dyn Admin>,
    appender: Box<dyn Appender>,
    reader: Box<dyn Reader>,
    places: Vec<TopicPartition>,
    /// The first catch-up replaces everything an earlier reader found.
    whole: bool,
    deleted: HashSet<String>,
    /// Changed since the last [`Self::switched_off`].
    changed: BTreeSet<String>,
}

/// What a catch-up found, last value per id.
#[derive(Default)]
struct Found {
    latest: HashMap<String, Option<WebhookEndpoint>>,
    /// Values behind a tombstone.
    undead: BTreeSet<String>,
    failed: Option<EgressError>,
}

impl<'a> Directory<'a> {
    /// Begins at the topic's first record.
    pub(super) fn open(tools: Tools<'a>) -> Result<Self, EgressError> {
        let admin = tools.log.admin()?;
        let appender = tools.log.appender("webhooks-producer")?;
        let begin: Vec<_> = reading::extent(admin.as_ref(), &[TOPIC])?
            .starts
            .iter()
            .map(|start| {
                let partition = u32::try_from(start.partition).unwrap_or_default();
                (TopicPartition::new(TOPIC, partition), start.next_offset)
            })
            .collect();
        let mut reader =
            reading::reader(tools.log, "webhooks-endpoints", tools.handle, tools.shutdown)?;
        reader.assign(&begin)?;
        Ok(Self {
            tools,
            admin,
            appender,
            reader,
            places: begin.into_iter().map(|(place, _)| place).collect(),
            whole: true,
            deleted: HashSet::new(),
            changed: BTreeSet::new(),
        })
    }

    /// Reads up to where the topic ends now, then switches off whoever
    /// answered 410 meanwhile.
    pub(super) fn catch_up(&mut self) -> Result<(), EgressError> {
        let ends = self.admin.end_offsets(&self.places, Isolation::ReadCommitted)?;
        let mut found = Found::default();
        while !self.places.iter().zip(&ends).all(|(place, end)| self.reader.reached(place, *end)) {
            if self.tools.shutdown.is_cancelled() {
                return Ok(());
            }
            let (codecs, deleted) = (self.tools.codecs, &mut self.deleted);
            self.reader
                .poll(WAIT, 1_000, &mut |record| read(codecs, &record, deleted, &mut found))?;
            if let Some(error) = found.failed.take() {
                return Err(error);
            }
        }
        let sealer = self.tools.sealer;
        let latest = found.latest.into_iter().map(|(id, registered)| {
            (id, registered.map(|registered| Arc::new(Endpoint::open(registered, sealer))))
        });
        let whole = std::mem::take(&mut self.whole);
        self.changed.extend(self.tools.endpoints.take_over(latest.collect(), whole));
        for id in found.undead {
            tracing::warn!(webhook_id = id, "a write crossed the deletion; deleted again");
            self.write(&id, None);
        }
        self.disable_gone();
        Ok(())
    }

    /// Of the ids that changed since the last call, those that are off now.
    pub(super) fn switched_off(&mut self) -> Vec<String> {
        let changed = std::mem::take(&mut self.changed);
        let on = |id: &String| {
            self.tools.endpoints.get(id).is_some_and(|endpoint| endpoint.registered.enabled)
        };
        changed.into_iter().filter(|id| !on(id)).collect()
    }

    /// 410: says so on the topic, where everybody sees it. Only `enabled` and
    /// the reason differ from what the owner wrote last; a deleted, changed or
    /// disabled endpoint is left alone. Lost in a crash, the next delivery's
    /// 410 says it again.
    fn disable_gone(&self) {
        for (id, url) in self.tools.endpoints.take_gone() {
            let Some(endpoint) = self.tools.endpoints.get(&id) else { continue };
            if !endpoint.registered.enabled || endpoint.registered.url != url {
                continue;
            }
            let registered = WebhookEndpoint {
                enabled: false,
                disabled_reason: Some("the endpoint answered 410 Gone".to_owned()),
                ..endpoint.registered.clone()
            };
            match self.tools.codecs.endpoint_writer.encode_to_vec(&registered) {
                Ok(value) => self.write(&id, Some(&value)),
                Err(error) => tracing::error!(webhook_id = id, %error, "endpoint not disabled"),
            }
        }
    }

    fn write(&self, webhook_id: &str, value: Option<&[u8]>) {
        let record = NewRecord {
            key: Some(webhook_id.as_bytes()),
            value,
            timestamp: self.tools.clock.now().as_millis(),
            headers: &[],
        };
        let (name, what) =
            (webhook_id.to_owned(), if value.is_some() { "disabled: 410 Gone" } else { "deleted" });
        let done = Box::new(move |result: log::Appended| match result {
            Ok(_) => tracing::info!(webhook_id = name, what, "endpoint written"),
            Err(error) => tracing::warn!(webhook_id = name, what, %error, "endpoint not written"),
        });
        self.appender.append(TOPIC, None, record, done);
    }
}

fn read(
    codecs: &Codecs,
    record: &ConsumedRecord<'_>,
    deleted: &mut HashSet<String>,
    found: &mut Found,
) {
    if found.failed.is_some() {
        return;
    }
    let id = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
    match record.value.map(|value| codecs.endpoints.decode(value)).transpose() {
        Ok(None) => {
            found.undead.remove(&id);
            deleted.insert(id.clone());
            found.latest.insert(id, None);
        }
        Ok(Some(_)) if deleted.contains(&id) => {
            found.undead.insert(id);
        }
        Ok(registered) => {
            found.latest.insert(id, registered);
        }
        Err(source) if source.is_retriable() => {
            found.failed = Some(EgressError::Schema {
                topic: record.topic.to_owned(),
                partition: record.partition,
                offset: record.offset,
                source,
            });
        }
        Err(error) => {
            tracing::error!(webhook_id = id, offset = record.offset, %error, "endpoint skipped");
        }
    }
}
