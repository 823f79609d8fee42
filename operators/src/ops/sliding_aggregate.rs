//! Aggregations over sliding windows: a window for each stretch of time whose content differs.
//!
//! A record at `t` is in the windows that start in `t - difference ..= t`. It may bring up to three new ones: one
//! that ends at it, one that begins after the record before it (its right window), and its own right window. Records
//! before `difference` share the window that begins at 0.
//!
//! Stream time is the operator's own and durable. Records without key or value are dropped before they move it. A
//! window takes records until stream time is beyond its end plus grace.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{StoreKind, WindowStore};

use super::aggregate::Update;
use super::closing::Close;
use super::windowed_table::{self, Results, Updated, WindowedTable};
use crate::change::Before;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{Build, WindowShape};
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream_time::StreamTime;
use crate::window_kinds::{EmitStrategy, SlidingWindows};
use crate::windowed::time_serde;
use crate::windows::Window;

struct SlidingAggregate<K: ?Sized + ToOwned, V: ?Sized, A> {
    windows: SlidingWindows,
    update: Update<K, V, A>,
    time: StreamTime,
    rows: WindowStore<K, A>,
    /// What the record at work writes, in this order.
    writes: Vec<Write<A>>,
    before: Option<Before<WindowStore<K, A>>>,
    results: Results<K, A>,
}

/// A window's new row (`None`: deleted) and its timestamp.
struct Write<A> {
    start: i64,
    row: Option<A>,
    timestamp: i64,
    had_row: bool,
}

/// A record with key and value.
struct At<'a, K: ?Sized, V: ?Sized> {
    key: &'a K,
    value: &'a V,
    timestamp: i64,
    /// Windows that end before take no more records.
    close_time: i64,
}

/// What the walk over the windows near a record saw, beside those that contain it.
struct Seen<A> {
    /// Time of the last record before this one.
    previous: Option<i64>,
    /// The aggregate of the last window that ends before this record, if the record before is near enough.
    left: Option<A>,
    left_exists: bool,
    /// What the record's own right window begins as: the aggregate and timestamp of a window with later records.
    right: Option<(A, i64)>,
    right_exists: bool,
    /// There was a record at this time before: nothing is to be created.
    complete: bool,
}

impl<K, V, A> Process<K, V> for SlidingAggregate<K, V, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized,
    A: Clone + Send + 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let (timestamp, headers) = (record.timestamp, record.headers);
        let advance = self.time.advance(&mut ctx.state, timestamp)?;
        let close_time = advance.now.saturating_sub(self.windows.grace_ms);
        if self.windows.end(timestamp) < close_time {
            ctx.drop_late();
            return Ok(());
        }
        self.results.time_moved(advance, headers, ctx)?;
        self.writes.clear();
        let at = At { key, value, timestamp, close_time };
        if timestamp < self.windows.difference_ms {
            self.early(&at, ctx)?;
        } else {
            self.usual(&at, ctx)?;
        }
        let mut writes = std::mem::take(&mut self.writes);
        for Write { start, row, timestamp, had_row } in writes.drain(..) {
            let row = row.as_ref();
            let old = match &mut self.before {
                Some(Before { store, scratch }) => {
                    store.get_into(&ctx.state, key, start, scratch)?
                }
                None => None,
            };
            let old = old.map(|(old, _)| old);
            let kept =
                self.rows.put(&mut ctx.state, key, start, row.map(|row| (row, timestamp)))?;
            let window = Window { start, end: self.windows.end(start) };
            self.results.updated(
                key,
                &Updated { window, row, had_row, old, kept, timestamp, headers },
                ctx,
            )?;
        }
        self.writes = writes;
        Ok(())
    }
}

impl<K, V, A> SlidingAggregate<K, V, A>
where
    K: ?Sized + ToOwned + 'static,
    V: ?Sized,
    A: Clone + 'static,
{
    /// A record that isn't nearer to 0 than the difference.
    fn usual(&mut self, at: &At<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (t, difference) = (at.timestamp, self.windows.difference_ms);
        let seen = self.walk_down(at, ctx)?;
        if seen.complete {
            return Ok(());
        }
        self.create_right_of(seen.previous, at, ctx);
        if !seen.left_exists {
            let begin = seen.left.as_ref().map(|left| (left, t));
            let late = self.add(at, t - difference, begin, false);
            ctx.dropped.late += late;
        }
        self.create_own_right(at, seen);
        Ok(())
    }

    /// The windows that begin up to twice the difference before the record, latest first.
    fn walk_down(&mut self, at: &At<'_, K, V>, ctx: &mut TaskContext) -> Result<Seen<A>, Failure> {
        let (t, difference) = (at.timestamp, self.windows.difference_ms);
        let mut seen = Seen::nothing();
        let (mut newest, mut late) = (true, 0);
        let (windows, writes, update) = (self.windows, &mut self.writes, &self.update);
        let after = t.saturating_add(1);
        let starts = t.saturating_sub(difference.saturating_mul(2)).max(0)..=after;
        let visit = |start: i64, row: &A, timestamp: i64| {
            let end = windows.end(start);
            if start == after {
                seen.right_exists = true;
                return ControlFlow::Continue(());
            }
            if end < t {
                seen.previous = Some(timestamp);
                seen.left = (timestamp >= t - difference).then(|| row.clone());
                return ControlFlow::Break(());
            }
            late += add(writes, update, at, (start, end), Some((row, timestamp)), true);
            if end == t {
                seen.left_exists = true;
                seen.previous = Some(timestamp);
                seen.complete = timestamp >= t;
                return if seen.complete {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                };
            }
            if std::mem::replace(&mut newest, false) && timestamp > t {
                seen.right = Some((row.clone(), timestamp));
            }
            ControlFlow::Continue(())
        };
        self.rows.backward_fetch(&ctx.state, at.key, starts, visit)?;
        ctx.dropped.late += late;
        Ok(seen)
    }

    /// A record before the difference: the window from 0 has all of those.
    fn early(&mut self, at: &At<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let t = at.timestamp;
        let mut seen = Seen::nothing();
        let (mut shared, mut contained, mut late) = (None, false, 0);
        let (windows, writes, update) = (self.windows, &mut self.writes, &self.update);
        let visit = |start: i64, row: &A, timestamp: i64| {
            if start == 0 {
                seen.previous = (timestamp < t).then_some(timestamp);
                shared = Some((row.clone(), timestamp));
            } else if start <= t {
                contained = true;
                seen.right = (timestamp > t).then(|| (row.clone(), timestamp));
                late += add(
                    writes,
                    update,
                    at,
                    (start, windows.end(start)),
                    Some((row, timestamp)),
                    true,
                );
            } else {
                seen.right_exists = true;
            }
            ControlFlow::Continue(())
        };
        self.rows.fetch(&ctx.state, at.key, 0..=t.saturating_add(1), visit)?;
        if !contained {
            seen.right = shared.clone().filter(|(_, timestamp)| *timestamp > t);
        }
        let previous = seen.previous;
        self.create_own_right(at, seen);
        self.create_right_of(previous, at, ctx);
        let row = shared.as_ref().map(|(row, timestamp)| (row, *timestamp));
        late += self.add(at, 0, row, row.is_some());
        ctx.dropped.late += late;
        Ok(())
    }

    /// The window that begins after the record before, if this record is the first in it.
    fn create_right_of(&mut self, previous: Option<i64>, at: &At<'_, K, V>, ctx: &mut TaskContext) {
        let Some(start) = previous.map(|previous| previous.saturating_add(1)) else { return };
        let exists = self.writes.iter().any(|write| write.start == start);
        if !exists && self.windows.end(start) >= at.timestamp {
            ctx.dropped.late += self.add(at, start, None, false);
        }
    }

    /// The window after this record, if there are later records and it isn't there: it is never late.
    fn create_own_right(&mut self, at: &At<'_, K, V>, seen: Seen<A>) {
        if let (false, Some((row, timestamp))) = (seen.right_exists, seen.right) {
            let start = at.timestamp.saturating_add(1);
            self.writes.push(Write { start, row: Some(row), timestamp, had_row: false });
        }
    }

    fn add(&mut self, at: &At<'_, K, V>, start: i64, row: Option<(&A, i64)>, had_row: bool) -> u64 {
        let window = (start, self.windows.end(start));
        add(&mut self.writes, &self.update, at, window, row, had_row)
    }
}

/// Adds the record to a window's row. 1: the window is closed.
fn add<K: ?Sized, V: ?Sized, A>(
    writes: &mut Vec<Write<A>>,
    update: &Update<K, V, A>,
    at: &At<'_, K, V>,
    (start, end): (i64, i64),
    row: Option<(&A, i64)>,
    had_row: bool,
) -> u64 {
    if end < at.close_time {
        return 1;
    }
    let timestamp = row.map_or(at.timestamp, |(_, timestamp)| timestamp.max(at.timestamp));
    let row = update(at.key, Some(at.value), row.map(|(row, _)| row));
    writes.push(Write { start, row, timestamp, had_row });
    0
}

impl<A> Seen<A> {
    fn nothing() -> Self {
        Self {
            previous: None,
            left: None,
            left_exists: false,
            right: None,
            right_exists: false,
            complete: false,
        }
    }
}

/// The table that an aggregation over these windows makes.
pub(super) fn described<'m, K, A>(
    kind: &'static str,
    materialized: &'m Materialized<K, A>,
    windows: SlidingWindows,
    emit: EmitStrategy,
) -> WindowedTable<'m, K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: 'static,
{
    let SlidingWindows { difference_ms, grace_ms } = windows;
    let on_close = emit == EmitStrategy::OnWindowClose;
    // Of an open window all are read that begin up to three differences before it closes; the newest window of the
    // store may begin 1 ms after stream time.
    let differences = difference_ms.saturating_mul(if on_close { 3 } else { 2 });
    let least_ms =
        differences.saturating_add(grace_ms).saturating_add(if on_close { 2 } else { 0 });
    let retention_ms = materialized.retention(least_ms);
    let close = Close {
        size_ms: Some(difference_ms),
        after_ms: difference_ms.saturating_add(grace_ms).saturating_add(1),
        step_ms: 1,
    };
    WindowedTable {
        kind,
        materialized,
        store: StoreKind::Window { retention_ms, duplicates: false },
        serde: time_serde(&materialized.key, difference_ms),
        windows: WindowShape { kind: "sliding", size_ms: Some(difference_ms) },
        closes_after_ms: Some(grace_ms),
        on_close: on_close.then_some(close),
    }
}

/// Makes the node `name` on the rows of `materialized`, with a stream time of its own.
pub(super) fn building<K, V, A>(
    materialized: &Materialized<K, A>,
    name: &str,
    windows: SlidingWindows,
    (on_close, update): (Option<Close>, Update<K, V, A>),
) -> Build
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    A: Clone + Send + 'static,
{
    let store = materialized.clone();
    windowed_table::building(materialized, name, on_close, move |parts| {
        let open = || WindowStore::new(parts.rows, &store.key, &store.value);
        SlidingAggregate {
            windows,
            update: Arc::clone(&update),
            time: parts.time,
            rows: open(),
            writes: Vec::new(),
            before: Before::if_wanted(parts.results.wants_old(), open),
            results: parts.results,
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::{Materialized, SlidingWindows, StreamsBuilder, Topic, TopologyTestDriver};

    /// The updates that records at these times bring, with 2 to the power of their place as values.
    fn sums(windows: SlidingWindows, times: &[i64]) -> Vec<(i64, i64, i64)> {
        let builder = StreamsBuilder::new("test");
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        let sums = grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let out = Topic::new("out", sums.key_serde().unwrap(), I64Be);
        sums.to_stream().to(&out);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (place, time) in times.iter().enumerate() {
            driver.input(&numbers("in")).pipe_at("k", &(1 << place), *time);
        }
        let records = driver.output(&out).read_records();
        let seen = |r: crate::TestRecord<crate::Windowed<str>, i64>| {
            let window = r.key.unwrap().window;
            (window.start, window.end, r.value.unwrap())
        };
        records.into_iter().map(seen).collect()
    }

    #[test]
    fn a_window_ends_at_each_record_and_one_begins_after_it() {
        let windows = SlidingWindows::of_time_difference(10).grace(100);
        let out = sums(windows, &[20, 25, 22]);
        let expected = [
            (10, 20, 1),
            (21, 31, 2), // after the record at 20
            (15, 25, 3),
            (21, 31, 6),
            (15, 25, 7),
            (12, 22, 5),
            (23, 33, 2), // after the record at 22: the one at 25
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_window_is_open_as_long_as_stream_time_is_not_beyond_its_end_and_grace() {
        let windows = SlidingWindows::of_time_difference(10).grace(5);
        let late =
            |time| sums(windows, &[1000, 1020, time]).len() - sums(windows, &[1000, 1020]).len();
        // Open from 1015 on: at 1014 the window that ends at 1020 and the record's right window.
        assert_eq!([late(1004), late(1014), late(1015)], [0, 2, 3]);
    }
}
