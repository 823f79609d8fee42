//! `count`, `reduce`, `aggregate` without windows: one row per key.
//!
//! Records without key or value are dropped and counted. The result's time is
//! the highest of the records in it since the row exists.

use std::sync::Arc;

use state_stores::StoreKind;

use super::group::KGroupedStream;
use super::kept_rows::KeptRows;
use super::table_nodes::table_behind;
use crate::aggregate_result::AggregateResult;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::Build;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::table::KTable;
use crate::view::View;

/// The row after a record: of key, value and the row before. No row: deleted.
pub(crate) type Update<K, V, A> =
    Arc<dyn Fn(&K, Option<&V>, Option<&A>) -> Option<A> + Send + Sync>;

/// An update from a starting value and a function over both.
pub(crate) fn from_init<K, V, A, R>(
    init: impl Fn() -> A + Send + Sync + 'static,
    aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<&A>) -> Option<A> + Send + Sync + 'static
where
    K: ?Sized,
    V: ?Sized,
    R: AggregateResult<A>,
{
    move |key, value, row| match row {
        Some(row) => aggregate(key, value, row).into_row(),
        None => aggregate(key, value, &init()).into_row(),
    }
}

/// An update for records with a value; others leave the row as it is.
fn with_value<K: ?Sized + 'static, V: ?Sized + 'static, A: 'static>(
    update: impl Fn(&K, &V, Option<&A>) -> Option<A> + Send + Sync + 'static,
) -> Update<K, V, A> {
    Arc::new(move |key, value: Option<&V>, row: Option<&A>| {
        value.and_then(|value| update(key, value, row))
    })
}

struct Aggregate<K: ?Sized, V: ?Sized, A> {
    update: Update<K, V, A>,
    rows: KeptRows<K, A>,
}

impl<K: ?Sized + 'static, V: ?Sized, A: 'static> Process<K, V> for Aggregate<K, V, A> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (Some(key), Some(_)) = (record.key, record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let update = &self.update;
        self.rows.update(key, record, |row| update(key, record.value, row), ctx)
    }
}

/// Makes the node that keeps its rows in the store of `materialized`.
pub(crate) fn building<K, V, A>(materialized: &Materialized<K, A>, update: Update<K, V, A>) -> Build
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    A: 'static,
{
    let store = materialized.clone();
    Box::new(move |assembly, id| {
        let (update, rows) = (Arc::clone(&update), KeptRows::open(assembly, id, &store));
        assembly.install::<K, V>(id, Aggregate { update, rows });
    })
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KGroupedStream<K, V> {
    /// How many records each key had (T08); kept in the store of `materialized`, which also names the changelog and,
    /// if the key may have changed, the repartition topic.
    ///
    /// Every record gives a result, with the highest time of the key's records. Records without key or value are
    /// dropped and counted ([`Dropped::incomplete`](crate::Dropped)).
    pub fn count(&self, materialized: &Materialized<K, i64>) -> KTable<K, i64> {
        self.build("count", materialized, counting())
    }

    /// Combines each key's values two by two, the one so far first; a key's first is taken as it is. Otherwise as
    /// [`Self::count`].
    pub fn reduce(
        &self,
        materialized: &Materialized<K, V>,
        reduce: impl Fn(&V, &V) -> V + Send + Sync + 'static,
    ) -> KTable<K, V>
    where
        V: Clone,
    {
        self.build("reduce", materialized, with_value(from_reduce(reduce)))
    }

    /// Adds each record to the aggregate of its key, which begins as `init()`. The result is an
    /// `A`, or an `Option<A>` where `None` deletes the row. Otherwise as [`Self::count`].
    pub fn aggregate<A: 'static, R: AggregateResult<A>>(
        &self,
        materialized: &Materialized<K, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, &V, &A) -> R + Send + Sync + 'static,
    ) -> KTable<K, A> {
        self.build("aggregate", materialized, with_value(from_init(init, aggregate)))
    }

    fn build<A: 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<K, A>,
        update: Update<K, V, A>,
    ) -> KTable<K, A> {
        let build = building(materialized, update);
        let stores = [materialized.declare(StoreKind::KeyValue)];
        let key = Arc::clone(&materialized.key);
        let table = table_behind(&self.stream, kind, materialized, stores, key, build);
        KTable { view: Some(View::of(materialized)), ..table }
    }
}

/// An update of records with a value; those without leave the row as it is.
pub(crate) fn or_kept<K: ?Sized, V: ?Sized, A: Clone>(
    update: impl Fn(&K, &V, Option<&A>) -> Option<A> + Send + Sync + 'static,
) -> impl Fn(&K, Option<&V>, Option<&A>) -> Option<A> + Send + Sync + 'static {
    move |key, value: Option<&V>, row: Option<&A>| match value {
        Some(value) => update(key, value, row),
        None => row.cloned(),
    }
}

/// Counts records, those without value too.
pub(crate) fn counting<K: ?Sized, V: ?Sized>() -> Update<K, V, i64> {
    Arc::new(|_, _, row: Option<&i64>| Some(row.unwrap_or(&0) + 1))
}

/// Combines values two by two; the first is taken as it is.
pub(crate) fn from_reduce<K: ?Sized, V: Clone>(
    reduce: impl Fn(&V, &V) -> V + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<&V>) -> Option<V> + Send + Sync + 'static {
    move |_, value: &V, row: Option<&V>| {
        Some(row.map_or_else(|| value.clone(), |row| reduce(row, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::stream::KStream;
    use crate::testing::{SAMPLE, pair, through};

    #[test]
    fn an_aggregate_can_delete_its_row_and_begin_again() {
        let store = Materialized::<str, i64>::as_("a", Utf8, I64Be);
        let flow = |stream: KStream<str, i64>| {
            let sums = stream.group_by_key().aggregate(
                &store,
                || 100,
                |_, n, sum| (*n != 0).then_some(sum + n),
            );
            sums.to_stream()
        };
        let input = [1, 2, 0, 5].map(|n| (Some("k"), Some(n)));
        let (out, _) = through(flow, &input);
        assert_eq!(out, [pair("k", 101), pair("k", 103), (Some("k".into()), None), pair("k", 105)]);
    }

    #[test]
    fn incomplete_records_are_dropped_and_counted() {
        let store = Materialized::<str, i64>::as_("c", Utf8, I64Be);
        let (out, dropped) =
            through(|stream| stream.group_by_key().count(&store).to_stream(), &SAMPLE);
        assert_eq!(out, [pair("a", 1), pair("b", 1)]);
        assert_eq!(dropped.incomplete, 3);
    }
}
