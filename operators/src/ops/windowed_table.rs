//! What aggregations over windows have in common: how their results leave, how the node is declared, and how their
//! rows are read.

use std::sync::Arc;

use state_stores::{Serde, SessionStore, StoreIndex, StoreKind, WindowStore};

use super::closing::{self, Close, ClosedRows, Closing};
use super::table_nodes::table_behind;
use crate::assembly::Assembly;
use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{Build, WindowShape};
use crate::headers::Headers;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream::KStream;
use crate::stream_time::{Advance, StreamTime};
use crate::table::KTable;
use crate::view::{Rows, View};
use crate::windowed::Windowed;
use crate::windows::Window;

/// Where results go: on at once, or when their window closes.
pub(super) struct Results<K: ?Sized + ToOwned, A> {
    windowed: Option<Windowed<K>>,
    next: TableEdge<Windowed<K>, A>,
    closing: Option<Closing<K, A>>,
}

/// A window's row after an update.
pub(super) struct Updated<'a, A> {
    pub(super) window: Window,
    /// None: deleted.
    pub(super) row: Option<&'a A>,
    /// Whether it had a row before.
    pub(super) had_row: bool,
    /// That row, where [`Results::wants_old`].
    pub(super) old: Option<&'a A>,
    /// Whether the store keeps the row; not if its retention is over, though the window is open.
    pub(super) kept: bool,
    pub(super) timestamp: i64,
    pub(super) headers: &'a Headers,
}

impl<K: ?Sized + ToOwned + 'static, A: 'static> Results<K, A> {
    /// Whether the rows before are needed. What is emitted on close had none: a window comes out once.
    pub(super) fn wants_old(&self) -> bool {
        self.closing.is_none() && self.next.wants_old()
    }

    /// To be called when a record moved stream time, before its windows are put: these may move the store's horizon over
    /// the windows that are closed, and who reads one as it comes out wouldn't find it.
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
        let Updated { window, row, had_row, old, kept, timestamp, headers } = *updated;
        if let Some(closing) = &mut self.closing {
            if had_row != row.is_some() {
                closing.set(&mut ctx.state, key, window, row.is_some())?;
            }
            return Ok(());
        }
        let windowed = self.windowed.get_or_insert_with(|| Windowed::new(key, window));
        windowed.set(key, window);
        let record = Record { key: Some(&*windowed), value: row, timestamp, headers };
        self.next.change(Change { record, old, superseded: !kept }, ctx)
    }
}

/// A windowed aggregation that is to be declared.
pub(super) struct WindowedTable<'a, K: ?Sized + ToOwned, A> {
    pub(super) kind: &'static str,
    pub(super) materialized: &'a Materialized<K, A>,
    /// Of the rows.
    pub(super) store: StoreKind,
    pub(super) serde: Serde<Windowed<K>>,
    pub(super) windows: WindowShape,
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

/// Makes the node `name` on the rows of `materialized`; `make` is called once per task.
pub(super) fn building<K, V, A, P>(
    materialized: &Materialized<K, A>,
    name: &str,
    on_close: Option<Close>,
    make: impl Fn(Parts<K, A>) -> P + Send + Sync + 'static,
) -> Build
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    V: ?Sized + 'static,
    A: 'static,
    P: Process<K, V> + 'static,
{
    let (store, time_name) = (materialized.clone(), StreamTime::store_name(name));
    Box::new(move |assembly: &mut Assembly<'_>, id| {
        let next = assembly.table_downstream::<Windowed<K>, A>(id);
        let time = StreamTime(assembly.store(&time_name));
        let rows = assembly.store(&store.name);
        let closing = on_close.map(|close| {
            let index = assembly.store(&closing::store_name(&store.name));
            Closing::new(close, (index, rows), &store)
        });
        let results = Results { windowed: None, next, closing };
        assembly.install::<K, V>(id, make(Parts { rows, time, results }));
    })
}

impl<K, A> WindowedTable<'_, K, A>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
    A: 'static,
{
    /// Declares the node that `build` makes, with its stores.
    pub(super) fn declare<V: ?Sized + 'static>(
        self,
        stream: &KStream<K, V>,
        build: Build,
    ) -> KTable<Windowed<K>, A> {
        let name = &self.materialized.name;
        let view = self.view();
        let Self { kind, materialized, store, serde, windows, closes_after_ms, on_close } = self;
        let rows = materialized.declare(store);
        let index = on_close.map(|_| closing::declare(name));
        let stores = [rows, StreamTime::declare(name)].into_iter().chain(index);
        let table = table_behind(stream, kind, materialized, stores, serde, build);
        let mut graph = table.flow.borrow_mut();
        let node = &mut graph.nodes[table.node.0];
        (node.windows, node.closes_after_ms) = (Some(windows), closes_after_ms);
        drop(graph);
        KTable { view: Some(view), ..table }
    }

    /// The rows of its windows; of those that are emitted on close only the closed ones.
    pub(super) fn view(&self) -> View<Windowed<K>, A> {
        let (store, kind, on_close) = (self.materialized.clone(), self.store, self.on_close);
        let index = on_close.map(|_| Arc::from(closing::store_name(&store.name)));
        let stores = [Arc::clone(&store.name)].into_iter().chain(index);
        View::own(stores.collect(), move |assembly| {
            let place = assembly.store(&store.name);
            let rows: Box<dyn Rows<Windowed<K>, A>> = match kind {
                StoreKind::Session { .. } => {
                    Box::new(SessionStore::new(place, &store.key, &store.value))
                }
                _ => Box::new(WindowStore::new(place, &store.key, &store.value)),
            };
            match on_close {
                Some(close) => {
                    let index = assembly.store(&closing::store_name(&store.name));
                    Box::new(ClosedRows::new(close, index, &store.key, rows))
                }
                None => rows,
            }
        })
    }
}
