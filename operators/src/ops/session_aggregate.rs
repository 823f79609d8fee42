//! `count`, `reduce`, `aggregate` over sessions: one row per key and stretch of activity.
//!
//! A record merges all sessions it touches: each of them goes out as deleted,
//! then the merged one. A result's time is its session's end; it carries no
//! headers. Records without key are dropped before they move stream time.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{Session, SessionStore, StoreKind};

use super::aggregate::{Update, counting, from_init, from_reduce, or_kept};
use super::closing::Close;
use super::group::SessionWindowedKStream;
use super::windowed_table::{self, Results, Updated, WindowedTable};
use crate::aggregate_result::AggregateResult;
use crate::change::Before;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{Build, WindowShape};
use crate::headers::NO_HEADERS;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream_time::StreamTime;
use crate::table::KTable;
use crate::window_kinds::EmitStrategy;
use crate::windowed::{Windowed, session_serde};
use crate::windows::{SessionWindows, Window};

/// Two sessions' aggregates as one; the first is `None` before any session was met.
pub(super) type Merge<K, A> = Arc<dyn Fn(&K, Option<&A>, &A) -> A + Send + Sync>;

struct SessionAggregate<K: ?Sized + ToOwned, V: ?Sized, A> {
    windows: SessionWindows,
    update: Update<K, V, A>,
    merge: Merge<K, A>,
    time: StreamTime,
    rows: SessionStore<K, A>,
    merged: Vec<Session>,
    before: Option<Before<SessionStore<K, A>>>,
    results: Results<K, A>,
}

impl<K, V, A> Process<K, V> for SessionAggregate<K, V, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized,
    A: 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let timestamp = record.timestamp;
        let advance = self.time.advance(&mut ctx.state, timestamp)?;
        self.results.time_moved(advance, record.headers, ctx)?;
        let (whole, row) = self.touched(key, timestamp, ctx)?;
        if whole.end < advance.now.saturating_sub(self.windows.retention_ms()) {
            ctx.drop_late();
            return Ok(());
        }
        let alone = whole == Session { start: timestamp, end: timestamp };
        let had_row = alone && !self.merged.is_empty();
        if !alone {
            let mut merged = std::mem::take(&mut self.merged);
            for session in merged.drain(..) {
                self.set(key, session, (None, true), ctx)?;
            }
            self.merged = merged;
        }
        let row = (self.update)(key, record.value, row.as_ref());
        self.set(key, whole, (row.as_ref(), had_row), ctx)
    }
}

impl<K, V, A> SessionAggregate<K, V, A>
where
    K: ?Sized + ToOwned + 'static,
    V: ?Sized,
    A: 'static,
{
    /// The session that a record at `timestamp` and all it touches make up, with their aggregate.
    fn touched(
        &mut self,
        key: &K,
        timestamp: i64,
        ctx: &TaskContext,
    ) -> Result<(Session, Option<A>), Failure> {
        let gap = self.windows.gap_ms;
        let overlap = timestamp.saturating_sub(gap)..=timestamp.saturating_add(gap);
        let mut whole = Session { start: timestamp, end: timestamp };
        let mut row = None;
        let (merged, merge) = (&mut self.merged, &self.merge);
        merged.clear();
        self.rows.find_sessions(&ctx.state, key, overlap, |session, value| {
            whole =
                Session { start: whole.start.min(session.start), end: whole.end.max(session.end) };
            row = Some(merge(key, row.as_ref(), value));
            merged.push(session);
            ControlFlow::Continue(())
        })?;
        Ok((whole, row))
    }

    /// Sets a session's row and hands it on.
    fn set(
        &mut self,
        key: &K,
        session: Session,
        (row, had_row): (Option<&A>, bool),
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let old = match &mut self.before {
            Some(Before { store, scratch }) => store.get_into(&ctx.state, key, session, scratch)?,
            None => None,
        };
        let kept = self.rows.put(&mut ctx.state, key, session, row)?;
        let window = Window { start: session.start, end: session.end };
        let (timestamp, headers) = (session.end, &NO_HEADERS);
        self.results.updated(
            key,
            &Updated { window, row, had_row, old, kept, timestamp, headers },
            ctx,
        )
    }
}

impl<K, V> SessionWindowedKStream<K, V>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
{
    /// How many records each session has; those without value count.
    pub fn count(&self, materialized: &Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let merge = |_: &K, a: Option<&i64>, b: &i64| a.unwrap_or(&0) + b;
        self.build("session-count", materialized, counting(), Arc::new(merge))
    }

    /// Combines the values of each session two by two; the first is taken as it is. Records
    /// without value only hold the session open.
    pub fn reduce(
        &self,
        materialized: &Materialized<K, V>,
        reduce: impl Fn(&V, &V) -> V + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, V>
    where
        V: Clone,
    {
        let reduce = Arc::new(reduce);
        let merge = Arc::clone(&reduce);
        let update = or_kept(from_reduce(move |a: &V, b: &V| reduce(a, b)));
        let merge = move |_: &K, a: Option<&V>, b: &V| a.map_or_else(|| b.clone(), |a| merge(a, b));
        self.build("session-reduce", materialized, Arc::new(update), Arc::new(merge))
    }

    /// Adds each record to the aggregate of its session, which begins as `init()`; `merge` makes
    /// one of two sessions that a record joins. Records without value leave the aggregate as it is.
    pub fn aggregate<A: Clone + 'static, R: AggregateResult<A>>(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Clone + Send + Sync + 'static,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
        merge: impl Fn(&K, &A, &A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        let update = or_kept(from_init(init.clone(), aggregate));
        self.aggregate_records(materialized, init, update, merge)
    }

    /// The aggregate after each record of key, value (if it has one) and the aggregate before (if
    /// there was one). `None` deletes the session. Merging begins with `merge(init(), first)`.
    pub fn aggregate_records<A: 'static>(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        update: impl Fn(&K, Option<&V>, Option<&A>) -> Option<A> + Send + Sync + 'static,
        merge: impl Fn(&K, &A, &A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        let merge = merging(init, merge);
        self.build("session-aggregate", materialized, Arc::new(update), merge)
    }

    fn build<A: 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<K, A>,
        update: Update<K, V, A>,
        merge: Merge<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let table = described(kind, materialized, self.windows, self.emit);
        let combine = Combine { update, merge };
        let name = &materialized.name;
        let build = building(materialized, name, self.windows, (table.on_close, combine));
        table.declare(&self.stream, build)
    }
}

/// What a record does to a session's aggregate, and what becomes of two.
pub(super) struct Combine<K: ?Sized, V: ?Sized, A> {
    pub(super) update: Update<K, V, A>,
    pub(super) merge: Merge<K, A>,
}

/// Merging that begins with `merge(init(), first)`.
pub(super) fn merging<K: ?Sized, A>(
    init: impl Fn() -> A + Send + Sync + 'static,
    merge: impl Fn(&K, &A, &A) -> A + Send + Sync + 'static,
) -> Merge<K, A> {
    Arc::new(move |key: &K, a: Option<&A>, b: &A| match a {
        Some(a) => merge(key, a, b),
        None => merge(key, &init(), b),
    })
}

/// The table that an aggregation over these sessions makes.
pub(super) fn described<'m, K, A>(
    kind: &'static str,
    materialized: &'m Materialized<K, A>,
    windows: SessionWindows,
    emit: EmitStrategy,
) -> WindowedTable<'m, K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: 'static,
{
    let on_close = emit == EmitStrategy::OnWindowClose;
    // A session is open until stream time is beyond its end plus retention, and what it may still be joined with
    // ended a gap before.
    let beyond = if on_close { windows.gap_ms.saturating_add(1) } else { 0 };
    let least_ms = windows.retention_ms().saturating_add(beyond);
    let after_ms = windows.retention_ms().saturating_add(1);
    WindowedTable {
        kind,
        materialized,
        store: StoreKind::Session { retention_ms: materialized.retention(least_ms) },
        serde: session_serde(&materialized.key),
        windows: WindowShape { kind: "session", size_ms: None },
        closes_after_ms: Some(windows.retention_ms()),
        on_close: on_close.then_some(Close { size_ms: None, after_ms, step_ms: 1 }),
    }
}

/// Makes the node `name` on the rows of `materialized`, with a stream time of its own.
pub(super) fn building<K, V, A>(
    materialized: &Materialized<K, A>,
    name: &str,
    windows: SessionWindows,
    (on_close, combine): (Option<Close>, Combine<K, V, A>),
) -> Build
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    A: 'static,
{
    let store = materialized.clone();
    windowed_table::building(materialized, name, on_close, move |parts| {
        let open = || SessionStore::new(parts.rows, &store.key, &store.value);
        SessionAggregate {
            windows,
            update: Arc::clone(&combine.update),
            merge: Arc::clone(&combine.merge),
            time: parts.time,
            rows: open(),
            merged: Vec::new(),
            before: Before::if_wanted(parts.results.wants_old(), open),
            results: parts.results,
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::windows::{SessionWindows, Window};
    use crate::{Materialized, StreamsBuilder, Topic, TopologyTestDriver};

    #[test]
    fn a_record_between_two_sessions_makes_them_one() {
        let builder = StreamsBuilder::new("test");
        let windows = SessionWindows::of_gap(10).grace(100);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by_sessions(windows);
        let sums = grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let out = Topic::new("out", sums.key_serde().unwrap(), I64Be);
        sums.to_stream().to(&out);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (n, time) in [(1, 0), (2, 20), (4, 10)] {
            driver.input(&numbers("in")).pipe_at("k", &n, time);
        }
        let seen: Vec<_> = driver
            .output(&out)
            .read_records()
            .into_iter()
            .map(|r| (r.key.unwrap().window, r.value))
            .collect();
        let window = |start, end| Window { start, end };
        assert_eq!(
            seen,
            [
                (window(0, 0), Some(1)),
                (window(20, 20), Some(2)),
                (window(0, 0), None),
                (window(20, 20), None),
                (window(0, 20), Some(7)),
            ]
        );
        assert_eq!(driver.rows("sum").len(), 1);
    }
}
