//! The committed layer of one store and partition, and the way through it to the base.
//!
//! `live` takes what transactions committed; `settled` is what the last write-back froze, kept as a read cache until
//! the next one. Neither can be lost alone: without a write-ahead log the engine's own memory is as volatile, and the
//! changelog covers both. Below them are rows that were read from the base (`clean_rows`).

mod scan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::base::{self, Mark, Place, with_joined};
use crate::clean_rows::{CleanBudget, CleanRows, Epoch};
use crate::engine::Visit;
use crate::holder::Holder;
use crate::layer_budget::LayerShare;
use crate::rows::{Hashed, Rows};
use crate::state_dir::Shared;
use crate::{Direction, Engine, StoreError, StoreKind, StoreSpec, WriteBatch};

/// One store of one partition.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) spec: StoreSpec,
    pub(crate) place: Place,
    holder: AtomicU64,
    life: AtomicU64,
    inner: RwLock<Committed>,
    /// Locked after `inner` where both are.
    clean: RwLock<CleanRows>,
}

#[derive(Debug, Default)]
struct Committed {
    live: Rows,
    settled: Arc<Rows>,
    /// False: `settled` is not in the base yet (being written, or the write failed).
    settled_written: bool,
    /// Highest time of the rows of `settled`; `None`: it is empty.
    settled_newest: Option<i64>,
    /// The same of the rows that only the base has; `None`: there are none, so there is no need to ask it.
    base_newest: Option<i64>,
    position: Option<i64>,
    /// Of the changelog that the position belongs to.
    topic_id: Option<Arc<str>>,
    stream_time: Option<i64>,
    as_of_ms: Option<i64>,
    /// The owner has confirmed, by restore or apply, that the rows are the changelog's: they age only when it ends.
    confirmed: bool,
    /// The mark in the base is older than this layer.
    changed: bool,
}

/// What a write-back has to write for one shelf.
pub(crate) struct Frozen {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) mark: Mark,
}

impl Shelf {
    /// Reads what the base holds. Rows of another changelog are removed.
    pub(crate) fn load(
        engine: &dyn Engine,
        spec: StoreSpec,
        place: Place,
        clean: &Arc<CleanBudget>,
    ) -> Result<Self, StoreError> {
        let (mut mark, mut base_has_rows) = base::load(engine, place)?;
        if let Some(old) = mark.take_if(|mark| *mark.topic != *spec.changelog_topic) {
            tracing::warn!(
                store = %spec.name, partition = place.partition, was = %old.topic, now = %spec.changelog_topic,
                "the store's changelog has another name: its state is rebuilt"
            );
            let mut batch = WriteBatch::new();
            place.clear(&mut batch);
            engine.write(&batch, crate::Durability::None)?;
            base_has_rows = false;
        }
        let inner = Committed {
            settled_written: true,
            base_newest: base_has_rows
                .then(|| newest(&spec, mark.as_ref().and_then(|mark| mark.stream_time))),
            position: mark.as_ref().and_then(|mark| mark.next_offset),
            topic_id: mark.as_ref().and_then(|mark| mark.topic_id.clone()),
            stream_time: mark.as_ref().and_then(|mark| mark.stream_time),
            as_of_ms: mark.as_ref().map(|mark| mark.as_of_ms),
            ..Committed::default()
        };
        let (inner, clean) = (RwLock::new(inner), CleanRows::new(Arc::clone(clean)));
        let holder = AtomicU64::new(Holder::NOBODY);
        let life = AtomicU64::new(0);
        Ok(Self { spec, place, holder, life, inner, clean: RwLock::new(clean) })
    }

    /// Whether a task has it.
    pub(crate) fn is_owned(&self) -> bool {
        let holder = self.holder.load(Ordering::Acquire);
        holder != Holder::NOBODY && !Holder(holder).is_standby()
    }

    /// How often it was emptied to be built anew.
    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// Whether `whom` may take it.
    pub(crate) fn is_free_for(&self, whom: Holder) -> bool {
        let holder = self.holder.load(Ordering::Acquire);
        holder == Holder::NOBODY || (Holder(holder).is_standby() && !whom.is_standby())
    }

    /// The caller has asked [`is_free_for`](Self::is_free_for) under the lock of all shelves. A standby that had it finds
    /// out at its next write, which comes to nothing: it looks at the holder under the lock of the rows.
    pub(crate) fn hold(&self, whom: Holder) {
        self.holder.store(whom.0, Ordering::Release);
    }

    pub(crate) fn is_held_by(&self, whom: Holder) -> bool {
        self.holder.load(Ordering::Acquire) == whom.0
    }

    pub(crate) fn position(&self) -> Option<i64> {
        self.inner.read_recursive().position
    }

    pub(crate) fn topic_id(&self) -> Option<Arc<str>> {
        self.inner.read_recursive().topic_id.clone()
    }

    /// The rows are, or are going to be, those of the changelog with this id.
    pub(crate) fn set_topic_id(&self, whom: Holder, id: &str) {
        let inner = &mut *self.inner.write();
        if self.is_held_by(whom) && inner.topic_id.as_deref() != Some(id) {
            inner.topic_id = Some(id.into());
        }
    }

    pub(crate) fn stream_time(&self) -> Option<i64> {
        self.inner.read_recursive().stream_time
    }

    pub(crate) fn as_of_ms(&self) -> Option<i64> {
        self.inner.read_recursive().as_of_ms
    }

    /// The holder is gone: from `now_ms` on (`None`: nobody ever told the time) the rows of a task grow old.
    pub(crate) fn close(&self, whom: Holder, now_ms: Option<i64>) {
        let inner = &mut *self.inner.write();
        if !whom.is_standby() {
            let is_fresh = std::mem::take(&mut inner.confirmed);
            // Those of a restore that was broken off are of now, too, or of shortly before.
            if is_fresh || inner.as_of_ms.is_none() {
                inner.as_of_ms = now_ms.or(inner.as_of_ms);
            }
        }
        if self.is_held_by(whom) {
            // Nobody reads here any more; what isn't in the base yet goes there with the next write-back.
            self.clean.write().forget_all();
            inner.leave_to_base();
        }
        // Not where a task has it that took it from a standby.
        let _another = self.holder.compare_exchange(
            whom.0,
            Holder::NOBODY,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// The committed value of `key`.
    pub(crate) fn get_with<R>(
        &self,
        engine: &dyn Engine,
        key: Hashed<'_>,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        let epoch = {
            let inner = self.inner.read_recursive();
            if let Some(value) = inner.live.get(key).or_else(|| inner.settled.get(key)) {
                return Ok(read(value.as_deref()));
            }
            if !inner.is_below(self.spec.kind.row_time(key.key)) {
                drop(inner);
                return Ok(read(None));
            }
            let clean = self.clean.read_recursive();
            if let Some(value) = clean.get(key) {
                return Ok(read(value));
            }
            clean.epoch()
        };
        // Without the lock: only the owner adds rows, and a row leaves `settled` only after it is in the base.
        let (mut read, mut result) = (Some(read), None);
        with_joined(&self.place.rows(), key.key, |full| {
            engine.get_with(full, &mut |value| {
                self.keep_clean(key, Some(value), epoch);
                result = read.take().map(|read| read(Some(value)));
            })
        })?;
        let result = result.or_else(|| {
            self.keep_clean(key, None, epoch);
            read.take().map(|read| read(None))
        });
        Ok(result.expect("`read` was called with the value, or is still there"))
    }

    /// Keeps what was read from the base. Not while another read is under way, which may be one that called this one.
    fn keep_clean(&self, key: Hashed<'_>, value: Option<&[u8]>, epoch: Epoch) {
        if let Some(mut clean) = self.clean.try_write() {
            clean.add(key, value, epoch);
        }
    }

    /// Visits the committed rows of `[from, to)`, with the rows of `overlay` on top; perhaps without rows of times below
    /// `since`.
    pub(crate) fn scan(
        &self,
        engine: &dyn Engine,
        overlay: &Rows,
        (from, to, direction): (&[u8], Option<&[u8]>, Direction),
        since: Option<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.scan_of(
            &self.inner.read_recursive(),
            engine,
            overlay,
            (from, to, direction),
            since,
            visit,
        )
    }

    /// As [`scan`](Self::scan), of committed rows, but not before an owner who waits to commit. `visit` must not come back
    /// here.
    pub(crate) fn scan_in_turn(
        &self,
        engine: &dyn Engine,
        range: (&[u8], Option<&[u8]>, Direction),
        since: Option<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.scan_of(&self.inner.read(), engine, &Rows::default(), range, since, visit)
    }

    /// Takes over the rows of a committed transaction with the changelog offset that follows them.
    pub(crate) fn commit(
        &self,
        newer: &mut Rows,
        stream_time: Option<i64>,
        position: Option<i64>,
        total: &LayerShare,
    ) {
        let inner = &mut *self.inner.write();
        let before = inner.live.bytes();
        inner.live.absorb(newer);
        inner.account(before, stream_time, position, total);
        inner.confirmed = true;
    }

    /// Takes over rows read from the changelog, as [`commit`](Self::commit) does. Rows of an older base stand
    /// among them until the end is reached: only a call without rows confirms the whole.
    pub(crate) fn restore<'r>(
        &self,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
        total: &LayerShare,
    ) {
        let inner = &mut *self.inner.write();
        inner.confirmed |= inner.take_over(self.spec.kind, rows, next_offset, total) == 0;
    }

    /// As [`restore`](Self::restore) for a standby, whose rows nobody confirms for good. Nothing, where it isn't its any
    /// more.
    pub(crate) fn follow<'r>(
        &self,
        whom: Holder,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
        total: &LayerShare,
    ) {
        let inner = &mut *self.inner.write();
        if self.is_held_by(whom) {
            inner.take_over(self.spec.kind, rows, next_offset, total);
        }
    }

    /// The rows of a standby were the changelog's at this time, and from then on they grow old.
    pub(crate) fn set_as_of(&self, whom: Holder, at_ms: i64) {
        let inner = &mut *self.inner.write();
        if self.is_held_by(whom) && inner.as_of_ms < Some(at_ms) {
            inner.as_of_ms = Some(at_ms);
            inner.changed = true;
        }
    }

    /// Forgets everything, in the base too, unless somebody else has it by now. The caller holds the write-back lock.
    pub(crate) fn clear(&self, whom: Holder, shared: &Shared) -> Result<(), StoreError> {
        let inner = &mut *self.inner.write();
        if !self.is_held_by(whom) {
            return Ok(());
        }
        // Before a row is gone: who has read without one finds out.
        self.life.fetch_add(1, Ordering::AcqRel);
        let mut batch = WriteBatch::new();
        self.place.clear(&mut batch);
        shared.horizons.forget(self.place);
        shared.engine.write(&batch, crate::Durability::None)?;
        self.clean.write().forget_all();
        shared.layers.live_changed(inner.live.bytes(), 0);
        *inner = Committed { settled_written: true, ..Committed::default() };
        Ok(())
    }

    /// Closes the live layer so that it can be written; `None` when the base is up to date.
    ///
    /// While a task owns the shelf its rows are the changelog's as of now; afterwards the time stands still.
    pub(crate) fn freeze(self: &Arc<Self>, now_ms: i64, total: &LayerShare) -> Option<Frozen> {
        let inner = &mut *self.inner.write();
        if inner.confirmed {
            inner.as_of_ms = Some(now_ms);
        }
        if !inner.changed && !inner.confirmed {
            return None;
        }
        let mut live = std::mem::take(&mut inner.live);
        self.clean.write().forget(live.keys());
        total.live_changed(live.bytes(), 0);
        if inner.settled_written {
            inner.leave_to_base();
            inner.settled = Arc::new(live);
        } else {
            let mut older = Arc::unwrap_or_clone(std::mem::take(&mut inner.settled));
            older.absorb(&mut live);
            inner.settled = Arc::new(older);
        }
        inner.settled_written = false;
        let is_empty = inner.settled.is_empty();
        inner.settled_newest = (!is_empty).then(|| newest(&self.spec, inner.stream_time));
        inner.changed = false;
        let mark = Mark {
            next_offset: inner.position,
            // Rows that are only being restored grow old from their first write-back on, not from their last.
            as_of_ms: *inner.as_of_ms.get_or_insert(now_ms),
            stream_time: inner.stream_time,
            topic: self.spec.changelog_topic.as_ref().to_owned(),
            topic_id: inner.topic_id.clone(),
        };
        Some(Frozen { shelf: Arc::clone(self), rows: Arc::clone(&inner.settled), mark })
    }

    /// The write-back of the frozen rows succeeded, or failed and has to be repeated.
    pub(crate) fn thaw(&self, written: bool) {
        let inner = &mut *self.inner.write();
        inner.settled_written = written;
        inner.changed |= !written;
        // A standby's rows aren't read: the memory is better used by tasks.
        if !self.is_owned() {
            inner.leave_to_base();
        }
    }

    /// Leaves what the last write-back wrote to the base alone.
    pub(crate) fn let_settled_go(&self) {
        self.inner.write().leave_to_base();
    }

    /// Memory of what the last write-back wrote, or is writing.
    pub(crate) fn settled_bytes(&self) -> usize {
        self.inner.read_recursive().settled.bytes()
    }
}

/// No row of the store has a higher time; for one whose rows have none, the highest there is.
fn newest(spec: &StoreSpec, stream_time: Option<i64>) -> i64 {
    match spec.kind {
        StoreKind::Window { .. } | StoreKind::Session { .. } => stream_time.unwrap_or(i64::MAX),
        StoreKind::KeyValue | StoreKind::Versioned { .. } => i64::MAX,
    }
}

impl Committed {
    /// Whether the base may have a row of `since` or later (`None`: any row) that the layers don't have.
    ///
    /// What a broken-off write-back left there beyond its mark doesn't count: the changelog's tail brings it again.
    fn is_below(&self, since: Option<i64>) -> bool {
        self.base_newest.is_some_and(|newest| since.is_none_or(|since| since <= newest))
    }

    /// Gives up the copy of what the last write-back wrote.
    fn leave_to_base(&mut self) {
        if self.settled_written {
            self.base_newest = self.base_newest.max(self.settled_newest.take());
            self.settled = Arc::default();
        }
    }

    /// Puts rows read from the changelog; how many.
    fn take_over<'r>(
        &mut self,
        kind: StoreKind,
        rows: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
        total: &LayerShare,
    ) -> usize {
        let before = self.live.bytes();
        let (mut stream_time, mut taken) = (None, 0);
        for (key, value) in rows {
            stream_time = stream_time.max(kind.put_time(key, value));
            self.live.put(Hashed::new(key), value.map(Into::into));
            taken += 1;
        }
        self.account(before, stream_time, Some(next_offset), total);
        taken
    }

    fn account(
        &mut self,
        before: usize,
        stream_time: Option<i64>,
        position: Option<i64>,
        total: &LayerShare,
    ) {
        total.live_changed(before, self.live.bytes());
        self.stream_time = self.stream_time.max(stream_time);
        self.position = position.or(self.position);
        self.changed = true;
    }
}
