//! The rows that a table keeps in a store of its own, and how they go on from there: for tables read from topics,
//! aggregates, joins, and whatever else puts the last row of each key.
//!
//! Invariant: who wants to know what a row was before is told what the store held until this put, and for who doesn't
//! it isn't read.

use state_stores::{
    Put, StoreError, StoreIndex, TaskState, TimestampedKeyValueStore, VersionedKeyValueStore,
};

use crate::assembly::Assembly;
use crate::change::{Before, Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeId;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;

/// A store that has a last row of each key.
pub(super) trait RowStore<K: ?Sized, V: ?Sized>: Send {
    fn open(place: StoreIndex, rows: &Materialized<K, V>) -> Self;

    fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError>;

    fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        row: (Option<&V>, i64),
    ) -> Result<Put, StoreError>;
}

/// In the order of offsets: an older timestamp still overwrites.
impl<K: ?Sized + 'static, V: ?Sized + 'static> RowStore<K, V> for TimestampedKeyValueStore<K, V> {
    fn open(place: StoreIndex, rows: &Materialized<K, V>) -> Self {
        Self::new(place, &rows.key, &rows.value)
    }

    fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError> {
        self.get_into(state, key, scratch)
    }

    fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        (value, timestamp): (Option<&V>, i64),
    ) -> Result<Put, StoreError> {
        self.put(state, key, value.map(|value| (value, timestamp)))?;
        Ok(Put::Latest)
    }
}

/// In the order of timestamps.
impl<K: ?Sized + 'static, V: ?Sized + 'static> RowStore<K, V> for VersionedKeyValueStore<K, V> {
    fn open(place: StoreIndex, rows: &Materialized<K, V>) -> Self {
        Self::new(place, &rows.key, &rows.value)
    }

    fn get_into<'s>(
        &'s mut self,
        state: &TaskState,
        key: &K,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(&'s V, i64)>, StoreError> {
        self.get_into(state, key, scratch)
    }

    fn put(
        &mut self,
        state: &mut TaskState,
        key: &K,
        (value, timestamp): (Option<&V>, i64),
    ) -> Result<Put, StoreError> {
        self.put(state, key, timestamp, value)
    }
}

/// A table's rows in one task. Behind a stream it is the node of a table that is read; behind a table, of a copy.
pub(super) struct KeptRows<K: ?Sized, V: ?Sized, S = TimestampedKeyValueStore<K, V>> {
    rows: S,
    before: Option<Before<S>>,
    next: TableEdge<K, V>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static, S: RowStore<K, V>> KeptRows<K, V, S> {
    /// The rows of the node `id`, in the store that `materialized` names.
    pub(super) fn open(
        assembly: &mut Assembly<'_>,
        id: NodeId,
        materialized: &Materialized<K, V>,
    ) -> Self {
        let next = assembly.table_downstream::<K, V>(id);
        let place = assembly.store(&materialized.name);
        let open = || S::open(place, materialized);
        let before = Before::if_wanted(next.wants_old(), open);
        Self { rows: open(), before, next }
    }

    /// The record's value becomes its key's row, and goes on. Without a key it is dropped, and so is what is older than
    /// the history that is kept.
    pub(super) fn put(
        &mut self,
        record: Record<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        self.put_if(record, |_| true, ctx)
    }

    /// As [`Self::put`], unless what the row was before is known and `goes_on` refuses it.
    fn put_if(
        &mut self,
        record: Record<'_, K, V>,
        goes_on: impl FnOnce(Option<&V>) -> bool,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let old = match &mut self.before {
            Some(Before { store, scratch }) => {
                let old = store.get_into(&ctx.state, key, scratch)?.map(|(old, _)| old);
                if !goes_on(old) {
                    return Ok(());
                }
                old
            }
            None => None,
        };
        let row = (record.value, record.timestamp);
        let superseded = match self.rows.put(&mut ctx.state, key, row)? {
            Put::Latest => false,
            Put::Until(_) => true,
            Put::Refused => {
                ctx.drop_late();
                return Ok(());
            }
        };
        self.next.change(Change { record, old, superseded }, ctx)
    }
}

impl<K: ?Sized + 'static, A: 'static> KeptRows<K, A> {
    /// The row of `key` becomes what `make` makes of it, at the highest time of the records in it, and goes on.
    pub(super) fn update<V: ?Sized>(
        &mut self,
        key: &K,
        record: Record<'_, K, V>,
        make: impl FnOnce(Option<&A>) -> Option<A>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let after = |row: Option<(&A, i64)>| {
            let timestamp = row.map_or(record.timestamp, |(_, time)| time.max(record.timestamp));
            (make(row.map(|(row, _)| row)), timestamp)
        };
        let (old, (row, timestamp)) = match &mut self.before {
            Some(Before { store, scratch }) => {
                let old = store.get_into(&ctx.state, key, scratch)?;
                (old.map(|(old, _)| old), after(old))
            }
            None => (None, self.rows.get_with(&ctx.state, key, after)?),
        };
        self.rows.put(&mut ctx.state, key, row.as_ref().map(|row| (row, timestamp)))?;
        let record = record.with_value(row.as_ref()).with_timestamp(timestamp);
        self.next.change(Change { record, old, superseded: false }, ctx)
    }

    /// Whether a key has a row.
    pub(super) fn has(&mut self, state: &TaskState, key: &K) -> Result<bool, StoreError> {
        self.rows.get_with(state, key, |row| row.is_some())
    }
}

impl<K, V, S> Process<K, V> for KeptRows<K, V, S>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    S: RowStore<K, V>,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.put(record, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Changes<K, V> for KeptRows<K, V> {
    /// Where old rows are known, a deletion of nothing is nothing.
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        if change.superseded {
            return Ok(());
        }
        let record = change.record;
        self.put_if(record, |old| old.is_some() || record.value.is_some(), ctx)
    }

    fn wants_old(&self) -> bool {
        false
    }
}
