//! One side of a join of two streams, as a node: joined with the other side's store, then put into its own.
//!
//! What the sides share is in stores: rows, pending records, times.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::keys::Sequence;
use state_stores::{Decoder, WindowStore};

use super::stream_join_pending::{Overdue, Pending, Times};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeId;
use crate::join_windows::{JoinWindows, Side};
use crate::process::{Edge, Process};
use crate::record::Record;

/// A result of both values, or of one; no result: there is none without the other.
pub(super) type Joiner<V, O, VO> = Arc<dyn Fn(Option<&V>, Option<&O>) -> Option<VO> + Send + Sync>;

/// What a left or outer join has in addition.
pub(super) struct Unmatched<K: ?Sized, V: ?Sized, O: ?Sized> {
    /// Records of this side go out without a match, too.
    pub(super) preserved: bool,
    pub(super) pending: Pending<K, V>,
    pub(super) key: Box<dyn Decoder<K>>,
    pub(super) own: Box<dyn Decoder<V>>,
    pub(super) other: Box<dyn Decoder<O>>,
}

/// One side of a join: `V` are its own values, `O` those of the other side.
pub(super) struct JoinSide<K: ?Sized, V: ?Sized, O: ?Sized, VO> {
    pub(super) id: NodeId,
    pub(super) side: Side,
    pub(super) windows: JoinWindows,
    pub(super) join: Joiner<V, O, VO>,
    pub(super) own: WindowStore<K, V>,
    pub(super) other: WindowStore<K, O>,
    pub(super) unmatched: Option<Unmatched<K, V, O>>,
    pub(super) hits: Vec<(i64, VO)>,
    pub(super) next: Edge<K, VO>,
}

impl<K, V, O, VO> Process<K, V> for JoinSide<K, V, O, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    O: ?Sized + 'static,
    VO: Send + 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(unmatched) = &self.unmatched else { return self.take(record, None, ctx) };
        let before = unmatched.pending.load(&ctx.state)?;
        let mut times = before;
        times.stream_time = times.stream_time.max(record.timestamp);
        self.take(record, Some(&mut times), ctx)?;
        if let Some(unmatched) = &self.unmatched
            && times != before
        {
            unmatched.pending.save(&mut ctx.state, &times);
        }
        Ok(())
    }
}

impl<K, V, O, VO> JoinSide<K, V, O, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    O: ?Sized + 'static,
    VO: 'static,
{
    fn take(
        &mut self,
        record: Record<'_, K, V>,
        mut times: Option<&mut Times>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let preserved = self.unmatched.as_ref().is_some_and(|unmatched| unmatched.preserved);
        let (Some(key), Some(value)) = (record.key, record.value) else {
            if preserved && record.value.is_some() {
                return self.forward_alone(record, ctx);
            }
            ctx.drop_incomplete();
            return Ok(());
        };
        if let Some(times) = times.as_deref_mut()
            && times.stream_time == record.timestamp
        {
            self.emit_overdue(record, times, ctx)?;
        }
        let matched = self.emit_matches(record, (key, value), ctx)?;
        if let Some(times) = times
            && preserved
            && !matched
        {
            let ahead = self.side.lookahead(&self.windows);
            if record.timestamp.saturating_add(ahead) < times.stream_time {
                self.forward_alone(record, ctx)?;
            } else if let Some(unmatched) = &mut self.unmatched {
                let place = (self.side, record.timestamp);
                unmatched.pending.wait(&mut ctx.state, place, (key, value), times)?;
            }
        }
        put(&mut self.own, record.timestamp, (key, value), ctx)
    }

    /// Joins with what is on the other side; true when there was something.
    fn emit_matches(
        &mut self,
        record: Record<'_, K, V>,
        (key, value): (&K, &V),
        ctx: &mut TaskContext,
    ) -> Result<bool, Failure> {
        let (join, hits) = (&self.join, &mut self.hits);
        hits.clear();
        let times = self.side.matches(&self.windows, record.timestamp);
        self.other.fetch(&ctx.state, key, times, |time, other, _| {
            hits.extend(join(Some(value), Some(other)).map(|joined| (time, joined)));
            ControlFlow::Continue(())
        })?;
        let matched = !hits.is_empty();
        for (time, joined) in hits.drain(..) {
            if let Some(unmatched) = &mut self.unmatched {
                let place = (self.side.other(), time);
                unmatched.pending.matched(&mut ctx.state, place, key)?;
            }
            let timestamp = record.timestamp.max(time);
            self.next.process(record.with_value(Some(&joined)).with_timestamp(timestamp), ctx)?;
        }
        Ok(matched)
    }

    fn emit_overdue(
        &mut self,
        record: Record<'_, K, V>,
        times: &mut Times,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some(Unmatched { pending, key, own, other, .. }) = &mut self.unmatched else {
            return Ok(());
        };
        let all: Vec<Overdue> = pending.overdue(&ctx.state, self.side, times, ctx.now_ms)?;
        let mut removed: Option<&[u8]> = None;
        for overdue in &all {
            if removed != Some(overdue.row()) {
                pending.remove(&mut ctx.state, overdue.row())?;
                removed = Some(overdue.row());
            }
            let broken = |error| Failure::node(self.id, error);
            let joined = if overdue.side == self.side {
                (self.join)(Some(own.decode(&overdue.value).map_err(broken)?), None)
            } else {
                (self.join)(None, Some(other.decode(&overdue.value).map_err(broken)?))
            };
            let key = key.decode(overdue.key()).map_err(broken)?;
            let record = record.with_key(Some(key)).with_timestamp(overdue.time);
            self.next.process(record.with_value(joined.as_ref()), ctx)?;
        }
        Ok(())
    }

    fn forward_alone(
        &mut self,
        record: Record<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        match (self.join)(record.value, None) {
            Some(joined) => self.next.process(record.with_value(Some(&joined)), ctx),
            None => Ok(()),
        }
    }
}

/// Adds a record to a store with duplicates.
pub(super) fn put<K: ?Sized + 'static, V: ?Sized + 'static>(
    rows: &mut WindowStore<K, V>,
    time: i64,
    (key, value): (&K, &V),
    ctx: &mut TaskContext,
) -> Result<(), Failure> {
    let sequence = match ctx.sequence() {
        Some(sequence) => sequence,
        None => {
            // A timer's record: after all that are there.
            let mut offset = 0;
            rows.fetch(&ctx.state, key, time..=time, |_, _, _| {
                offset += 1;
                ControlFlow::Continue(())
            })?;
            Sequence { source: u16::MAX, offset, index: 0 }
        }
    };
    rows.put_duplicate(&mut ctx.state, key, time, sequence, Some((value, time)))?;
    Ok(())
}
