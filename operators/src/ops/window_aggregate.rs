//! `count`, `reduce`, `aggregate` over tumbling, hopping and unlimited windows: one row per key and window. The
//! methods are those of sliding windows, too.
//!
//! Stream time is the operator's own and durable. A window takes records until
//! stream time reaches its end plus grace; later ones are dropped and counted.
//! Records without key are dropped before they move stream time.

use std::sync::Arc;

use state_stores::{StoreKind, WindowStore};

use super::aggregate::{Update, counting, from_init, from_reduce, or_kept};
use super::closing::Close;
use super::group::TimeWindowedKStream;
use super::sliding_aggregate;
use super::windowed_table::{self, Results, Updated, WindowedTable};
use crate::aggregate_result::AggregateResult;
use crate::change::Before;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{Build, WindowShape};
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream_time::StreamTime;
use crate::table::KTable;
use crate::window_kinds::{EmitStrategy, UnlimitedWindows, Windows};
use crate::windowed::{Windowed, time_serde};
use crate::windows::{TimeWindows, Window};

/// Windows whose places don't depend on the records.
trait Cut: Copy + Send + Sync + 'static {
    /// Starts of the windows that contain `timestamp`, ascending.
    fn starts(self, timestamp: i64) -> impl Iterator<Item = i64>;
    /// Of a window: its end less its start.
    fn size_ms(self) -> i64;
    /// Whether the window that begins at `start` takes no more records.
    fn is_closed(self, start: i64, stream_time: i64) -> bool;
}

impl Cut for TimeWindows {
    fn starts(self, timestamp: i64) -> impl Iterator<Item = i64> {
        TimeWindows::starts(&self, timestamp)
    }

    fn size_ms(self) -> i64 {
        TimeWindows::size_ms(&self)
    }

    fn is_closed(self, start: i64, stream_time: i64) -> bool {
        TimeWindows::is_closed(&self, start, stream_time)
    }
}

impl Cut for UnlimitedWindows {
    fn starts(self, timestamp: i64) -> impl Iterator<Item = i64> {
        (timestamp >= self.start_ms).then_some(self.start_ms).into_iter()
    }

    fn size_ms(self) -> i64 {
        i64::MAX
    }

    fn is_closed(self, _: i64, _: i64) -> bool {
        false
    }
}

struct WindowAggregate<K: ?Sized + ToOwned, V: ?Sized, A, C> {
    windows: C,
    update: Update<K, V, A>,
    time: StreamTime,
    rows: WindowStore<K, A>,
    before: Option<Before<WindowStore<K, A>>>,
    results: Results<K, A>,
}

impl<K, V, A, C> Process<K, V> for WindowAggregate<K, V, A, C>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized,
    A: 'static,
    C: Cut,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let advance = self.time.advance(&mut ctx.state, record.timestamp)?;
        self.results.time_moved(advance, record.headers, ctx)?;
        for start in self.windows.starts(record.timestamp) {
            if self.windows.is_closed(start, advance.now) {
                ctx.drop_late();
                continue;
            }
            let update = &self.update;
            let after = |row: Option<(&A, i64)>| {
                let timestamp =
                    row.map_or(record.timestamp, |(_, known)| known.max(record.timestamp));
                (update(key, record.value, row.map(|(row, _)| row)), timestamp, row.is_some())
            };
            let (old, (row, timestamp, had_row)) = match &mut self.before {
                Some(Before { store, scratch }) => {
                    let old = store.get_into(&ctx.state, key, start, scratch)?;
                    (old.map(|(old, _)| old), after(old))
                }
                None => (None, self.rows.get_with(&ctx.state, key, start, after)?),
            };
            let row = row.as_ref();
            let kept =
                self.rows.put(&mut ctx.state, key, start, row.map(|row| (row, timestamp)))?;
            let window = Window { start, end: start.saturating_add(self.windows.size_ms()) };
            let headers = record.headers;
            self.results.updated(
                key,
                &Updated { window, row, had_row, old, kept, timestamp, headers },
                ctx,
            )?;
        }
        Ok(())
    }
}

impl<K, V, W> TimeWindowedKStream<K, V, W>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    W: Into<Windows> + Copy,
{
    /// How many records each key had in each window; those without value count.
    pub fn count(&self, materialized: &Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        self.build("window-count", materialized, counting())
    }

    /// Combines the values of each key and window two by two; the first is taken as it is.
    /// Records without value change nothing.
    pub fn reduce(
        &self,
        materialized: &Materialized<K, V>,
        reduce: impl Fn(&V, &V) -> V + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, V>
    where
        V: Clone + Send,
    {
        self.aggregate_records(materialized, or_kept(from_reduce(reduce)))
    }

    /// Adds each record to the aggregate of its key and window, which begins as `init()`. The
    /// result is an `A`, or an `Option<A>` where `None` deletes the row. Records without value
    /// leave the row as it is.
    pub fn aggregate<A: Clone + Send + 'static, R: AggregateResult<A>>(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_records(materialized, or_kept(from_init(init, aggregate)))
    }

    /// The row after each record of key, value (if it has one) and the row before (if there was
    /// one). `None` deletes the row.
    pub fn aggregate_records<A: Clone + Send + 'static>(
        &self,
        materialized: &Materialized<K, A>,
        update: impl Fn(&K, Option<&V>, Option<&A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.build("window-aggregate", materialized, Arc::new(update))
    }

    fn build<A: Clone + Send + 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<K, A>,
        update: Update<K, V, A>,
    ) -> KTable<Windowed<K>, A> {
        let windows = self.windows.into();
        let table = described(kind, materialized, windows, self.emit);
        let name = &materialized.name;
        let build = building(materialized, name, windows, (table.on_close, update));
        table.declare(&self.stream, build)
    }
}

/// The table that an aggregation over these windows makes.
pub(super) fn described<'m, K, A>(
    kind: &'static str,
    materialized: &'m Materialized<K, A>,
    windows: Windows,
    emit: EmitStrategy,
) -> WindowedTable<'m, K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: 'static,
{
    let (shape, retention_ms, closes_after_ms, close) = match windows {
        Windows::Time(windows) => {
            let (shape, retention_ms) = (windows.shape(), windows.retention_ms());
            let step_ms = windows.advance_ms();
            let close = Close { size_ms: shape.size_ms, after_ms: retention_ms, step_ms };
            (shape, retention_ms, Some(windows.grace_ms()), Some(close))
        }
        Windows::Unlimited(_) => {
            (WindowShape { kind: "unlimited", size_ms: None }, i64::MAX, None, None)
        }
        Windows::Sliding(windows) => {
            return sliding_aggregate::described(kind, materialized, windows, emit);
        }
    };
    let retention_ms = materialized.retention(retention_ms);
    WindowedTable {
        kind,
        materialized,
        store: StoreKind::Window { retention_ms, duplicates: false },
        serde: time_serde(&materialized.key, shape.size_ms.unwrap_or(i64::MAX)),
        windows: shape,
        closes_after_ms,
        on_close: close.filter(|_| emit == EmitStrategy::OnWindowClose),
    }
}

/// Makes the node `name` on the rows of `materialized`, with a stream time of its own.
pub(super) fn building<K, V, A>(
    materialized: &Materialized<K, A>,
    name: &str,
    windows: Windows,
    (on_close, update): (Option<Close>, Update<K, V, A>),
) -> Build
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    A: Clone + Send + 'static,
{
    match windows {
        Windows::Time(windows) => cut(materialized, name, windows, (on_close, update)),
        Windows::Unlimited(windows) => cut(materialized, name, windows, (on_close, update)),
        Windows::Sliding(windows) => {
            sliding_aggregate::building(materialized, name, windows, (on_close, update))
        }
    }
}

fn cut<K, V, A>(
    materialized: &Materialized<K, A>,
    name: &str,
    windows: impl Cut,
    (on_close, update): (Option<Close>, Update<K, V, A>),
) -> Build
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    A: 'static,
{
    let store = materialized.clone();
    windowed_table::building(materialized, name, on_close, move |parts| {
        let open = || WindowStore::new(parts.rows, &store.key, &store.value);
        WindowAggregate {
            windows,
            update: Arc::clone(&update),
            time: parts.time,
            rows: open(),
            before: Before::if_wanted(parts.results.wants_old(), open),
            results: parts.results,
        }
    })
}

#[cfg(test)]
mod tests {
    use state_stores::partition::partition_for_key;

    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::windows::TimeWindows;
    use crate::{
        DriverOptions, EmitStrategy, Materialized, StreamsBuilder, Topic, TopologyTestDriver,
        UnlimitedWindows,
    };

    #[test]
    fn stream_time_survives_a_restart_so_late_stays_late() {
        let builder = StreamsBuilder::new("test");
        let windows = TimeWindows::of_size(100).grace(50);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe_at("k", &1, 10);
        driver.input(&numbers("in")).pipe_at("k", &2, 149);
        driver.input(&numbers("in")).pipe_at("k", &4, 20);
        assert_eq!(driver.rows("sum").len(), 2);
        assert_eq!(driver.dropped().late, 0, "the grace isn't over at 149");
        driver.input(&numbers("in")).pipe_at("other", &8, 150);
        driver.restart();
        driver.input(&numbers("in")).pipe_at("k", &16, 30);
        assert_eq!(driver.dropped().late, 1);
        let sums: Vec<i64> = driver
            .rows("sum")
            .iter()
            .map(|(_, row)| i64::from_be_bytes(row[8..].try_into().unwrap()))
            .collect();
        assert_eq!(sums, [5, 2, 8]);
    }

    #[test]
    fn a_closed_window_comes_out_once_whatever_the_jump_of_stream_time() {
        let builder = StreamsBuilder::new("test");
        let windows = TimeWindows::of_size(100).advance_by(50).grace(10);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        let on_close = grouped.emit_strategy(EmitStrategy::OnWindowClose);
        let counts = on_close.count(&Materialized::as_("count", Utf8, I64Be));
        let out = Topic::new("out", counts.key_serde().unwrap(), I64Be);
        counts.to_stream().to(&out);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (key, time) in [("b", 120), ("a", 130), ("a", 199), ("b", 209)] {
            driver.input(&numbers("in")).pipe_at(key, &1, time);
        }
        assert_eq!(driver.rows("count-closing").len(), 5);
        driver.restart();
        driver.input(&numbers("in")).pipe_at("c", &1, 100_000);
        let seen = |r: crate::TestRecord<crate::Windowed<str>, i64>| {
            let key = r.key.unwrap();
            (key.window.start, key.key().to_owned(), r.value.unwrap(), r.timestamp)
        };
        let closed: Vec<_> = driver.output(&out).read_records().into_iter().map(seen).collect();
        let row = |start, key: &str, count, time| (start, key.to_owned(), count, time);
        assert_eq!(
            closed,
            [
                row(50, "a", 1, 130),
                row(50, "b", 1, 120),
                row(100, "a", 2, 199),
                row(100, "b", 1, 120),
                row(150, "a", 1, 199),
                row(150, "b", 1, 209),
                row(200, "b", 1, 209),
            ]
        );
        assert_eq!(driver.rows("count-closing").len(), 2, "the windows of the last record");
    }

    #[test]
    fn an_unlimited_window_begins_once_and_takes_everything_after() {
        let builder = StreamsBuilder::new("test");
        let windows = UnlimitedWindows::of().start_on(10);
        let grouped = builder.stream(&numbers("in")).group_by_key().windowed_by(windows);
        let sums = grouped.reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        let out = Topic::new("out", sums.key_serde().unwrap(), I64Be);
        sums.to_stream().to(&out);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (n, time) in [(1, 9), (2, 1 << 50), (4, 10)] {
            driver.input(&numbers("in")).pipe_at("k", &n, time);
        }
        let records = driver.output(&out).read_records();
        let windows: Vec<_> = records.iter().map(|r| r.key.as_ref().unwrap().window).collect();
        assert_eq!(windows, [crate::Window { start: 10, end: i64::MAX }; 2]);
        assert_eq!(records[1].value, Some(6));
        assert_eq!(driver.dropped().late, 0);
    }

    #[test]
    fn a_window_is_written_to_the_partition_of_its_key() {
        let builder = StreamsBuilder::new("test");
        let grouped = builder.stream(&numbers("in")).group_by_key();
        let counts = grouped
            .windowed_by(TimeWindows::of_size(10))
            .count(&Materialized::as_("count", Utf8, I64Be));
        let out = Topic::new("out", counts.key_serde().unwrap(), I64Be);
        counts.to_stream().to(&out);
        let options = DriverOptions { partitions: 5, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        for time in 0..100 {
            driver.input(&numbers("in")).pipe_at(&format!("{}", time % 7), &1, time);
        }
        let records = driver.output(&out).read_records();
        assert_eq!(records.len(), 100);
        for record in records {
            let key = record.key.unwrap();
            assert_eq!(record.partition, partition_for_key(key.key().as_bytes(), 5), "{key:?}");
        }
    }
}
