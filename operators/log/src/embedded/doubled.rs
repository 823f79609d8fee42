//! Records that a member is given a second time ([`Fault::Twice`](super::Fault::Twice)), as clients do that find them in an
//! old fetch: later than the first time, and whatever was read, processed or purged in between.

use super::cursor::Cursors;
use crate::{ConsumedRecord, TopicPartition};

#[derive(Debug)]
struct Copied {
    at: TopicPartition,
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// What the next poll delivers again.
#[derive(Debug, Default)]
pub(super) struct Doubled(Vec<Copied>);

impl Doubled {
    pub(super) fn keep(&mut self, record: &ConsumedRecord<'_>) {
        self.0.push(Copied {
            at: TopicPartition::new(record.topic, record.partition),
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
        });
    }

    /// The member reads elsewhere: what was fetched for it before is void.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Those of paused partitions come when they are resumed.
    pub(super) fn deliver(&mut self, cursors: &Cursors, visit: &mut dyn FnMut(ConsumedRecord<'_>)) {
        self.0.retain(|copy| {
            if cursors.is_paused(&copy.at) {
                return true;
            }
            let headers: Vec<(&str, &[u8])> =
                copy.headers.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
            visit(ConsumedRecord {
                topic: &copy.at.topic,
                partition: copy.at.partition,
                offset: copy.offset,
                timestamp: copy.timestamp,
                key: copy.key.as_deref(),
                value: copy.value.as_deref(),
                headers: &headers,
            });
            false
        });
    }
}
