//! The registrations as the compacted topic tells them.
//!
//! Invariant: a change answers only after this table has read it back from the
//! log, so that the caller's next request to this instance sees it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use log::TailRecord;
use parking_lot::RwLock;
use schemas::UserId;
use schemas::avro::Decoder;
use schemas::messages::WebhookEndpoint;
use tokio::sync::{Mutex, MutexGuard, watch};

/// Locks of all registrations together; two of one number only wait a little.
const LOCKS: usize = 64;

/// Registered webhooks. Cheap to clone; clones are the same table.
#[derive(Clone, Debug)]
pub struct Endpoints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: RwLock<BTreeMap<String, WebhookEndpoint>>,
    /// Partition → next offset to read.
    positions: watch::Sender<HashMap<u32, i64>>,
    changing: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self(Arc::new(Inner {
            rows: RwLock::default(),
            positions: watch::Sender::default(),
            changing: (0..LOCKS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }))
    }
}

impl Endpoints {
    /// Takes a record of the topic.
    pub fn apply(&self, record: &TailRecord, decoder: &Decoder<WebhookEndpoint>) {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let (partition, offset) = (record.partition, record.offset);
        match (key, record.value.as_deref().map(|value| decoder.decode(value))) {
            (Some(key), None) => drop(self.0.rows.write().remove(key)),
            (Some(key), Some(Ok(endpoint))) => {
                drop(self.0.rows.write().insert(key.to_owned(), endpoint))
            }
            (_, Some(Err(error))) => {
                tracing::warn!(%error, topic = %record.topic, partition, offset, "cannot decode");
            }
            (None, _) => {
                tracing::warn!(topic = %record.topic, partition, offset, "a registration without a key")
            }
        }
        self.0.positions.send_modify(|positions| {
            positions.insert(partition, offset + 1);
        });
    }

    /// Waits until the record at this place has been read; false if that takes
    /// longer than `patience`.
    pub async fn read(&self, (partition, offset): (u32, i64), patience: Duration) -> bool {
        let mut positions = self.0.positions.subscribe();
        let there = positions
            .wait_for(|positions| positions.get(&partition).is_some_and(|next| *next > offset));
        matches!(tokio::time::timeout(patience, there).await, Ok(Ok(_)))
    }

    /// Held by whoever reads a registration in order to write it again. Take one
    /// at a time.
    pub async fn lock(&self, webhook_id: &str) -> MutexGuard<'_, ()> {
        let number = self.0.hasher.hash_one(webhook_id) as usize % LOCKS;
        self.0.changing[number].lock().await
    }

    /// The user's registrations that hear of everybody's orders.
    #[must_use]
    pub fn hearing_everybody(&self, owner: UserId) -> Vec<String> {
        let rows = self.0.rows.read();
        rows.values()
            .filter(|endpoint| endpoint.user_id == owner && endpoint.all_users)
            .map(|endpoint| endpoint.webhook_id.clone())
            .collect()
    }

    /// The user's registration.
    #[must_use]
    pub fn get(&self, owner: UserId, webhook_id: &str) -> Option<WebhookEndpoint> {
        self.0.rows.read().get(webhook_id).filter(|endpoint| endpoint.user_id == owner).cloned()
    }

    /// The user's registrations behind `after` (a webhook id), by id, at most `limit`.
    #[must_use]
    pub fn list(&self, owner: UserId, after: Option<&str>, limit: usize) -> Vec<WebhookEndpoint> {
        let rows = self.0.rows.read();
        let from = after.map_or(std::ops::Bound::Unbounded, |after| {
            std::ops::Bound::Excluded(after.to_owned())
        });
        rows.range((from, std::ops::Bound::Unbounded))
            .map(|(_, endpoint)| endpoint)
            .filter(|endpoint| endpoint.user_id == owner)
            .take(limit)
            .cloned()
            .collect()
    }
}
