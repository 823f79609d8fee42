//! The thread that reads `user_feed` for the hub.
//!
//! It begins a little before the end, so that consumers who were connected to
//! another instance a moment ago can resume here too.

use std::sync::Arc;
use std::time::Duration;

use log::{Isolation, Log, TopicPartition};
use schemas::topics;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::event::FeedEvent;
use super::hub::Hub;
use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;

/// How the tail works.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// Records before the end that are read at the start, per partition.
    pub replay_records: i64,
    /// Records per poll.
    pub poll_records: usize,
    /// Wait after an interruption.
    pub retry: Duration,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self { replay_records: 10_000, poll_records: 500, retry: Duration::from_millis(500) }
    }
}

const WAIT: Duration = Duration::from_millis(500);

/// Feeds the hub until `shutdown`.
pub async fn run_feed(
    log: Arc<dyn Log>,
    codecs: Codecs,
    hub: Arc<Hub>,
    settings: FeedSettings,
    shutdown: CancellationToken,
) -> Result<(), EgressError> {
    reading::on_thread("feed-tail", move |handle| {
        let tail = Tail { log, codecs, hub, settings, shutdown, handle: handle.clone() };
        loop {
            match tail.session() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "feed interrupted; reading again");
                    handle.block_on(async {
                        let _either =
                            tokio::time::timeout(tail.settings.retry, tail.shutdown.cancelled())
                                .await;
                    });
                }
                Err(error) => return Err(error),
            }
        }
    })
    .await
}

struct Tail {
    log: Arc<dyn Log>,
    codecs: Codecs,
    hub: Arc<Hub>,
    settings: FeedSettings,
    shutdown: CancellationToken,
    handle: Handle,
}

impl Tail {
    /// A repeated session reads some events again; the hub knows them.
    fn session(&self) -> Result<(), EgressError> {
        let admin = self.log.admin()?;
        let extent = reading::extent(admin.as_ref(), &[topics::USER_FEED.name()])?;
        self.hub.begin(epoch(
            extent.starts.iter().map(|start| (start.log_id.as_str(), start.topic_id.as_str())),
        ));
        let mut reader =
            reading::reader(self.log.as_ref(), "websocket", &self.handle, &self.shutdown)?;
        let places: Vec<TopicPartition> = extent
            .starts
            .iter()
            .map(|start| {
                TopicPartition::new(
                    topics::USER_FEED.name(),
                    u32::try_from(start.partition).unwrap_or_default(),
                )
            })
            .collect();
        let ends = admin.end_offsets(&places, Isolation::ReadCommitted)?;
        let begin: Vec<_> = places
            .iter()
            .zip(extent.starts.iter().zip(&ends))
            .map(|(place, (start, end))| {
                (place.clone(), start.next_offset.max(end - self.settings.replay_records))
            })
            .collect();
        reader.assign(&begin)?;
        let mut behind = true;
        while !self.shutdown.is_cancelled() {
            let mut failed = None;
            reader.poll(WAIT, self.settings.poll_records, &mut |record| {
                let Some(value) = record.value.filter(|_| failed.is_none()) else { return };
                match self.codecs.user_feed.decode(value) {
                    Ok(entry) => self.hub.publish(&Arc::new(FeedEvent::new(&entry))),
                    Err(source) if source.is_retriable() => {
                        let (topic, partition, offset) = (record.topic.to_owned(), record.partition, record.offset);
                        failed = Some(EgressError::Schema { topic, partition, offset, source });
                    }
                    // The sink sends it to the dead letters.
                    Err(error) => tracing::warn!(
                        partition = record.partition, offset = record.offset, %error, "feed record skipped"
                    ),
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if behind && places.iter().zip(&ends).all(|(place, end)| reader.reached(place, *end)) {
                behind = false;
                self.hub.caught_up();
            }
        }
        Ok(())
    }
}

/// Names the incarnation of the feed: the log and the topic in it.
fn epoch<'a>(identities: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for (log, topic) in identities.take(1) {
        hash.update(log.as_bytes());
        hash.update(b"/");
        hash.update(topic.as_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
