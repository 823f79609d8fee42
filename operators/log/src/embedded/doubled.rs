//! Records that a member is given a second time ([`Fault::Twice`](super::Fault::Twice)), as clients do that find them in an
//! old fetch: later than the first time, and whatever was read, processed or purged in between.

use super::cursor::Cursors;
use crate::{ConsumedRecord, OwnedRecord, TopicPartition};

/// What the next poll delivers again.
#[derive(Debug, Default)]
pub(super) struct Doubled(Vec<OwnedRecord>);

impl Doubled {
    pub(super) fn keep(&mut self, record: ConsumedRecord<'_>) {
        self.0.push(OwnedRecord::of(record));
    }

    /// The member reads elsewhere: what was fetched for it before is void.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Those of paused partitions come when they are resumed.
    pub(super) fn deliver(&mut self, cursors: &Cursors, visit: &mut dyn FnMut(ConsumedRecord<'_>)) {
        self.0.retain(|copy| {
            let at = TopicPartition::new(copy.topic.as_str(), copy.partition);
            let is_paused = cursors.is_paused(&at);
            if !is_paused {
                copy.lend(visit);
            }
            is_paused
        });
    }
}
