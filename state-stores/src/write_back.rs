//! Write-back: from the committed layers to the base.
//!
//! Order is everything: rows, then the marks (offset, time, stream time) they stand for, then the flush. What a crash
//! leaves is a prefix of that, so a mark in the base never stands for rows that aren't there; rows newer than their
//! mark do no harm, because changelog rows are whole values and replaying to the end converges. Expired rows are
//! removed only after the flush, below the stream time it made durable.

use std::ops::ControlFlow;

use crate::base::{PREFIX_LEN, Place};
use crate::shelf::Frozen;
use crate::{Direction, Durability, Engine, StoreError, WriteBatch, keys};

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
        let (row_prefix, time_prefix) = (shelf.place.rows(), shelf.place.times());
        let kind = shelf.spec.kind;
        let horizon = mark.stream_time.and_then(|time| kind.horizon(time));
        for (key, value) in rows.sorted().iter() {
            let time = kind.row_time(key);
            // An expired row that is in the base goes with the sweep; its index row is still there.
            if horizon.is_some_and(|horizon| time.is_some_and(|time| time <= horizon)) {
                continue;
            }
            let ordered = time.map(keys::ordered);
            match value {
                Some(value) => {
                    batch.put_parts(&[&row_prefix, key], value);
                    if let Some(time) = &ordered {
                        batch.put_parts(&[&time_prefix, time, key], &[]);
                    }
                }
                None => {
                    batch.delete_parts(&[&row_prefix, key]);
                    if let Some(time) = &ordered {
                        batch.delete_parts(&[&time_prefix, time, key]);
                    }
                }
            }
            if batch.byte_len() >= BATCH_BYTES {
                self.write_batch(batch)?;
            }
        }
        Ok(())
    }

    /// Removes what has expired by the stream times that [`write`](Self::write) made durable.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        for Frozen { shelf, mark, .. } in self.frozen {
            let horizon = mark.stream_time.and_then(|time| shelf.spec.kind.horizon(time));
            let swept = shelf.swept_to();
            if let Some(horizon) = horizon
                && swept.is_none_or(|swept| swept < horizon)
            {
                self.sweep_between(shelf.place, swept, horizon)?;
                shelf.set_swept_to(horizon);
            }
        }
        Ok(())
    }

    /// Removes the rows with `swept` < time ≤ `horizon`. Starting where the last sweep ended keeps the scan off that
    /// one's tombstones.
    fn sweep_between(
        &self,
        place: Place,
        swept: Option<i64>,
        horizon: i64,
    ) -> Result<(), StoreError> {
        let (row_prefix, time_prefix) = (place.rows(), place.times());
        let bound = |time: i64| [&time_prefix[..], &keys::ordered(time)].concat();
        let mut from =
            swept.map_or_else(|| time_prefix.to_vec(), |swept| bound(swept.saturating_add(1)));
        let to = bound(horizon.saturating_add(1));
        let mut batch = WriteBatch::new();
        loop {
            let mut next = None;
            self.engine.scan(&from, Some(&to), Direction::Forward, &mut |full, _| {
                if batch.byte_len() >= BATCH_BYTES {
                    next = Some(full.to_vec());
                    return ControlFlow::Break(());
                }
                batch.delete_parts(&[&row_prefix, &full[PREFIX_LEN + keys::TIME_LEN..]]);
                ControlFlow::Continue(())
            })?;
            if !batch.is_empty() {
                batch.delete_range(&from, next.as_deref().unwrap_or(&to));
                self.write_batch(&mut batch)?;
            }
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    fn write_batch(&self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        if !batch.is_empty() {
            self.engine.write(batch, Durability::None)?;
            batch.clear();
        }
        Ok(())
    }
}
