//! What aggregations over windows have in common: how their results leave, and how the node is declared.

use state_stores::{Serde, StoreIndex, StoreKind};

use super::aggregate::aggregated;
use super::closing::{self, Close, Closing};
use crate::assembly::Assembly;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::headers::Headers;
use crate::materialized::Materialized;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::stream_time::{Advance, StreamTime};
use crate::table::KTable;
use crate::windowed::Windowed;
use crate::windows::Window;

/// Where results go: on at once, or when their window closes.
pub(super) struct Results<K: ?Sized + ToOwned, A> {
    windowed: Option<Windowed<K>>,
    next: Edge<Windowed<K>, A>,
    closing: Option<Closing<K, A>>,
}

/// A window's row after an update.
pub(super) struct Updated<'a, A> {
    pub(super) window: Window,
    /// None: deleted.
    pub(super) row: Option<&'a A>,
    /// Whether it had a row before.
    pub(super) had_row: bool,
    pub(super) timestamp: i64,
    pub(super) headers: &'a Headers,
}

impl<K: ?Sized + ToOwned + 'static, A: 'static> Results<K, A> {
    /// Results go on with every update.
    pub(super) fn at_once(next: Edge<Windowed<K>, A>) -> Self {
        Self { windowed: None, next, closing: None }
    }

    /// To be called when a record moved stream time, before its windows are put.
    pub(super) fn time_moved(
        &mut self,
        advance: Advance,
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        match &mut self.closing {
            Some(closing) => {
                closing.emit(advance, headers, &mut self.windowed, &mut self.next, ctx)
            }
            None => Ok(()),
        }
    }

    /// A window has another row.
    pub(super) fn updated(
        &mut self,
        key: &K,
        updated: &Updated<'_, A>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Updated { window, row, had_row, timestamp, headers } = *updated;
        if let Some(closing) = &mut self.closing {
            if had_row != row.is_some() {
                closing.set(&mut ctx.state, key, window, row.is_some())?;
            }
            return Ok(());
        }
        let windowed = self.windowed.get_or_insert_with(|| Windowed::new(key, window));
        windowed.set(key, window);
        self.next.process(Record { key: Some(&*windowed), value: row, timestamp, headers }, ctx)
    }
}

/// A windowed aggregation that is to be declared.
pub(super) struct WindowedTable<'a, K: ?Sized + ToOwned, A> {
    pub(super) kind: &'static str,
    pub(super) materialized: &'a Materialized<K, A>,
    /// Of the rows.
    pub(super) store: StoreKind,
    pub(super) serde: Serde<Windowed<K>>,
    /// How long after a window's end its result is final.
    pub(super) closes_after_ms: Option<i64>,
    /// Set: results are emitted only then.
    pub(super) on_close: Option<Close>,
}

/// What the node gets in each task.
pub(super) struct Parts<K: ?Sized + ToOwned, A> {
    pub(super) rows: StoreIndex,
    pub(super) time: StreamTime,
    pub(super) results: Results<K, A>,
}

impl<K, A> WindowedTable<'_, K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: 'static,
{
    /// Declares the node; `make` is called once per task.
    pub(super) fn declare<V, P>(
        self,
        stream: &KStream<K, V>,
        make: impl Fn(Parts<K, A>) -> P + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A>
    where
        V: ?Sized + 'static,
        P: Process<K, V> + 'static,
    {
        let Self { kind, materialized, store: store_kind, serde, closes_after_ms, on_close } = self;
        let (store, name) = (materialized.clone(), &materialized.name);
        let build = move |assembly: &mut Assembly<'_>, id| {
            let next = assembly.downstream::<Windowed<K>, A>(id);
            let time = StreamTime(assembly.store(&StreamTime::store_name(&store.name)));
            let rows = assembly.store(&store.name);
            let closing = on_close.map(|close| {
                let index = assembly.store(&closing::store_name(&store.name));
                Closing::new(close, (index, rows), &store)
            });
            let results = Results { windowed: None, next, closing };
            assembly.install::<K, V>(id, make(Parts { rows, time, results }));
        };
        let rows = materialized.declare(store_kind);
        let index = on_close.map(|_| closing::declare(name));
        let stores = [rows, StreamTime::declare(name)].into_iter().chain(index);
        let table = aggregated(stream, kind, materialized, stores, serde, Box::new(build));
        table.flow.borrow_mut().nodes[table.node.0].closes_after_ms = closes_after_ms;
        table
    }
}
