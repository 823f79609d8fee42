//! Write-back: from the committed layers to the base.
//!
//! Order is everything: rows, then the marks (offset, time, stream time) they stand for, then the flush. What a crash
//! leaves is a prefix of that, so a mark in the base never stands for rows that aren't there; rows newer than their
//! mark do no harm, because changelog rows are whole values and replaying to the end converges. Expired rows may be
//! dropped only after the flush, below the stream time it made durable.

use crate::shelf::Frozen;
use crate::{Durability, Engine, Horizons, StoreError, WriteBatch};

/// Large batches of sorted rows are cheap to insert; beyond this they only cost memory.
const BATCH_BYTES: usize = 1 << 20;

/// One write-back of frozen layers, which are in the order of the engine's keys.
pub(crate) struct WriteBack<'a> {
    engine: &'a dyn Engine,
    frozen: &'a [Frozen],
}

impl<'a> WriteBack<'a> {
    pub(crate) fn new(engine: &'a dyn Engine, frozen: &'a [Frozen]) -> Self {
        Self { engine, frozen }
    }

    /// Rows, marks, flush.
    pub(crate) fn write(&self) -> Result<(), StoreError> {
        if self.frozen.is_empty() {
            return Ok(());
        }
        let (mut batch, mut rows) = (WriteBatch::new(), 0);
        for frozen in self.frozen {
            rows += frozen.rows.len();
            self.write_rows(frozen, &mut batch)?;
        }
        self.write_batch(&mut batch)?;
        let mut value = Vec::new();
        for Frozen { shelf, mark, .. } in self.frozen {
            value.clear();
            mark.encode(&mut value);
            batch.put(&shelf.place.mark(), &value);
        }
        self.write_batch(&mut batch)?;
        self.engine.flush()?;
        tracing::debug!(stores = self.frozen.len(), rows, "wrote committed layers to the base");
        metrics::counter!("state_write_back_rows_total").increment(rows as u64);
        metrics::counter!("state_write_backs_total").increment(1);
        Ok(())
    }

    fn write_rows(&self, frozen: &Frozen, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let Frozen { shelf, rows, mark } = frozen;
        let row_prefix = shelf.place.rows();
        let kind = shelf.spec.kind;
        let horizon = mark.stream_time.and_then(|time| kind.drop_horizon(time));
        rows.in_order(|key, value| {
            // What the base has of it is older, and would be seen again if the retention were made longer.
            let has_expired = horizon
                .is_some_and(|horizon| kind.row_time(key).is_some_and(|time| time <= horizon));
            match value {
                Some(value) if !has_expired => batch.put_parts(&[&row_prefix, key], value),
                _ => batch.delete_parts(&[&row_prefix, key]),
            }
            if batch.byte_len() >= BATCH_BYTES { self.write_batch(batch) } else { Ok(()) }
        })
    }

    /// Tells the engine what has expired by the stream times that [`write`](Self::write) made durable.
    pub(crate) fn expire(&self, horizons: &Horizons) {
        for Frozen { shelf, mark, .. } in self.frozen {
            let kind = shelf.spec.kind;
            if let Some(horizon) = mark.stream_time.and_then(|time| kind.drop_horizon(time)) {
                horizons.set(shelf.place, kind, horizon);
            }
        }
        self.engine.drop_expired();
    }

    fn write_batch(&self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        if !batch.is_empty() {
            self.engine.write(batch, Durability::None)?;
            batch.clear();
        }
        Ok(())
    }
}
