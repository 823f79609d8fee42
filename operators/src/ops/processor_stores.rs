//! The stores a processor declares and opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{KeyValueStore, StoreIndex};

use super::store_builder::{KeyValueDef, StoreBuilder};
use crate::graph::StoreDecl;
use crate::punctuation::{Punctuation, PunctuationType};

/// A store that a processor declares.
#[derive(Clone, Debug)]
pub struct StoreDef(pub(super) Def);

#[derive(Clone, Debug)]
pub(super) enum Def {
    Store(StoreDecl),
    Timers,
    StreamTime,
    Punctuate(Punctuation),
}

impl StoreDef {
    /// The processor sets timers: they get a store `<name of the processor>-timers`.
    pub fn timers() -> Self {
        Self(Def::Timers)
    }

    /// The processor's results depend on [`ProcessorContext::stream_time`](crate::ProcessorContext::stream_time): it is
    /// kept in a store `<name of the processor>-time`.
    pub fn stream_time() -> Self {
        Self(Def::StreamTime)
    }

    /// The processor is called every `interval_ms` (> 0), by
    /// [`Processor::on_punctuate`](crate::Processor::on_punctuate). By stream time the first call comes with the first
    /// record, then with the first one at or after each multiple of the interval. By the wall clock calls come at
    /// start + interval, start + 2 intervals, and so on, once everything that was in the log by then is processed. Calls
    /// that were missed are not made up. Several schedules are told apart by kind and interval: declared twice is once,
    /// and another interval is another schedule.
    ///
    /// # Panics
    /// When the interval isn't positive.
    pub fn punctuate(kind: PunctuationType, interval_ms: i64) -> Self {
        assert!(interval_ms > 0, "a punctuation's interval must be positive");
        Self(Def::Punctuate(Punctuation { kind, interval_ms }))
    }
}

/// A processor's stores in one task.
#[derive(Debug)]
pub struct ProcessorStores {
    pub(super) stores: BTreeMap<Arc<str>, StoreIndex>,
}

impl ProcessorStores {
    /// Opens a declared store.
    ///
    /// # Panics
    /// When the processor didn't declare it.
    pub fn open<B: StoreBuilder + ?Sized>(&self, builder: &B) -> B::Store {
        let name = builder.name();
        let declared = self.stores.get(name);
        let declared = declared.unwrap_or_else(|| {
            panic!("store `{name}` is opened but not declared: add its `def()` to the call of `process`")
        });
        builder.build(*declared)
    }

    /// Opens a declared key-value store.
    ///
    /// # Panics
    /// See [`Self::open`].
    pub fn key_value<K, V>(&self, def: &KeyValueDef<K, V>) -> KeyValueStore<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        self.open(def)
    }
}
