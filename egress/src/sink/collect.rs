//! Records → what they change, one batch at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use log::{ConsumedRecord, Reader};
use read_model::Batch;
use schemas::avro::AvroError;
use schemas::messages::{Product, RevenueByMinute, StockLevel, UserFeedEntry};
use schemas::topics;
use serde_json::Value;

use crate::codecs::Codecs;
use crate::dead_letters::Broken;
use crate::error::EgressError;

use super::decoding::Decoding;

/// A poll waits this long; shutting down wakes it before.
const IDLE: Duration = Duration::from_secs(1);

/// One batch in the order it was read.
pub(super) struct Collected {
    pub(super) items: Vec<Item>,
    /// Per partition, last offset + 1.
    pub(super) next: BTreeMap<(String, u32), i64>,
}

/// One record: what it says and where it stood.
pub(super) struct Item {
    change: Change,
    raw: Broken,
}

enum Change {
    Feed(Box<UserFeedEntry>, Value),
    Product(Option<Product>),
    Stock(Option<StockLevel>),
    Revenue(RevenueByMinute),
    Nothing,
    Broken,
}

impl Item {
    /// The step over this record alone.
    pub(super) fn step(&self) -> BTreeMap<(String, u32), i64> {
        BTreeMap::from([((self.raw.topic.clone(), self.raw.partition), self.raw.offset + 1)])
    }

    /// The same record, as one the database can't hold.
    pub(super) fn refused(mut self, reason: String) -> Self {
        self.change = Change::Broken;
        self.raw.reason = reason;
        self
    }

    pub(super) fn add_to(&self, batch: &mut Batch, broken: &mut Vec<Broken>) {
        let key =
            || String::from_utf8_lossy(self.raw.key.as_deref().unwrap_or_default()).into_owned();
        match &self.change {
            Change::Feed(entry, document) => batch.feed_entry(entry, document),
            Change::Product(product) => batch.product(&key(), product.clone()),
            Change::Stock(level) => batch.stock_level(&key(), level.clone()),
            Change::Revenue(revenue) => batch.revenue(revenue.clone()),
            Change::Nothing => {}
            Change::Broken => broken.push(self.raw.clone()),
        }
    }
}

/// Reads until `max` records or until nothing more is there at once; waits for
/// the first.
pub(super) fn collect(
    reader: &mut dyn Reader,
    codecs: &Codecs,
    decoding: &Decoding,
    max: usize,
) -> Result<Collected, EgressError> {
    let (mut raw, mut next) = (Vec::new(), BTreeMap::new());
    let mut wait = IDLE;
    while raw.len() < max {
        let room = max - raw.len();
        let visited = reader.poll(wait, room, &mut |record| {
            next.insert((record.topic.to_owned(), record.partition), record.offset + 1);
            raw.push(copied(&record));
        })?;
        if visited == 0 {
            break;
        }
        wait = Duration::ZERO;
    }
    let items = decoding.map(raw, |raw| read(codecs, raw)).into_iter().collect::<Result<_, _>>()?;
    Ok(Collected { items, next })
}

fn copied(record: &ConsumedRecord<'_>) -> Broken {
    Broken {
        topic: record.topic.to_owned(),
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        // Kept for the case that the record turns out to be broken or is refused.
        value: record.value.map(<[u8]>::to_vec),
        reason: String::new(),
    }
}

fn read(codecs: &Codecs, mut raw: Broken) -> Result<Item, EgressError> {
    match decode(codecs, &raw.topic, raw.value.as_deref()) {
        Ok(change) => Ok(Item { change, raw }),
        Err(source) if source.is_retriable() => Err(EgressError::Schema {
            topic: raw.topic,
            partition: raw.partition,
            offset: raw.offset,
            source,
        }),
        Err(error) => {
            raw.reason = error.to_string();
            Ok(Item { change: Change::Broken, raw })
        }
    }
}

fn decode(codecs: &Codecs, topic: &str, value: Option<&[u8]>) -> Result<Change, AvroError> {
    const USER_FEED: &str = topics::USER_FEED.name();
    const PRODUCTS: &str = topics::PRODUCTS.name();
    const STOCK_LEVELS: &str = topics::STOCK_LEVELS.name();
    const REVENUE: &str = topics::REVENUE_BY_MINUTE.name();
    Ok(match (topic, value) {
        (USER_FEED, Some(value)) => {
            let entry = codecs.user_feed.decode(value)?;
            let document = entry.event.order.to_json();
            Change::Feed(Box::new(entry), document)
        }
        (PRODUCTS, value) => {
            Change::Product(value.map(|value| codecs.products.decode(value)).transpose()?)
        }
        (STOCK_LEVELS, value) => {
            Change::Stock(value.map(|value| codecs.stock_levels.decode(value)).transpose()?)
        }
        (REVENUE, Some(value)) => Change::Revenue(codecs.revenue.decode(value)?),
        // A tombstone on a topic that isn't compacted says nothing.
        _ => Change::Nothing,
    })
}
