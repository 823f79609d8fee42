//! `count`, `reduce`, `aggregate` over tumbling and hopping windows: one row per key and window.
//!
//! Stream time is the operator's own and durable. A window takes records until
//! stream time reaches its end plus grace; later ones are dropped and counted.
//! Records without key are dropped before they move stream time.

use std::sync::Arc;

use state_stores::{StoreKind, WindowStore};

use super::aggregate::{Update, aggregated, counting, from_init, from_reduce, or_kept};
use super::group::TimeWindowedKStream;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::materialized::Materialized;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream_time::StreamTime;
use crate::table::KTable;
use crate::windowed::{Windowed, time_serde};
use crate::windows::{TimeWindows, Window};

struct WindowAggregate<K: ?Sized + ToOwned, V: ?Sized, A> {
    windows: TimeWindows,
    update: Update<K, V, A>,
    time: StreamTime,
    rows: WindowStore<K, A>,
    scratch: Option<Windowed<K>>,
    next: Edge<Windowed<K>, A>,
}

impl<K, V, A> Process<K, V> for WindowAggregate<K, V, A>
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
        let stream_time = self.time.observe(&mut ctx.state, record.timestamp)?;
        for start in self.windows.starts(record.timestamp) {
            if self.windows.is_closed(start, stream_time) {
                ctx.drop_late();
                continue;
            }
            let update = &self.update;
            let (row, timestamp) = self.rows.get_with(&ctx.state, key, start, |row| {
                let timestamp =
                    row.map_or(record.timestamp, |(_, timestamp)| timestamp.max(record.timestamp));
                (update(key, record.value, row.map(|(row, _)| row)), timestamp)
            })?;
            self.rows.put(&mut ctx.state, key, start, row.as_ref().map(|row| (row, timestamp)))?;
            let window = Window { start, end: start.saturating_add(self.windows.size_ms()) };
            let windowed = self.scratch.get_or_insert_with(|| Windowed::new(key, window));
            windowed.set(key, window);
            let result = record
                .with_key(Some(&*windowed))
                .with_value(row.as_ref())
                .with_timestamp(timestamp);
            self.next.process(result, ctx)?;
        }
        Ok(())
    }
}

impl<K, V> TimeWindowedKStream<K, V>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
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
        V: Clone,
    {
        self.aggregate_records(materialized, or_kept(from_reduce(reduce)))
    }

    /// Adds each record to the aggregate of its key and window, which begins as `init()`. The
    /// result is an `A`, or an `Option<A>` where `None` deletes the row. Records without value
    /// leave the row as it is.
    pub fn aggregate<A: Clone + 'static, R: Into<Option<A>>>(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_records(materialized, or_kept(from_init(init, aggregate)))
    }

    /// The row after each record of key, value (if it has one) and the row before (if there was
    /// one). `None` deletes the row.
    pub fn aggregate_records<A: 'static>(
        &self,
        materialized: &Materialized<K, A>,
        update: impl Fn(&K, Option<&V>, Option<&A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.build("window-aggregate", materialized, Arc::new(update))
    }

    fn build<A: 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<K, A>,
        update: Update<K, V, A>,
    ) -> KTable<Windowed<K>, A> {
        let (store, windows) = (materialized.clone(), self.windows);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<Windowed<K>, A>(id);
            let time = StreamTime(assembly.store(&StreamTime::store_name(&store.name)));
            let rows = WindowStore::new(assembly.store(&store.name), &store.key, &store.value);
            let update = Arc::clone(&update);
            assembly.install::<K, V>(
                id,
                WindowAggregate { windows, update, time, rows, scratch: None, next },
            );
        };
        let retention_ms = materialized.retention(self.windows.retention_ms());
        let rows = materialized.declare(StoreKind::Window { retention_ms, duplicates: false });
        let stores = [rows, StreamTime::declare(&materialized.name)];
        let key = time_serde(&materialized.key, self.windows.size_ms());
        aggregated(&self.stream, kind, materialized, stores, key, Box::new(build))
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::windows::TimeWindows;
    use crate::{Materialized, StreamsBuilder, TopologyTestDriver};

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
}
