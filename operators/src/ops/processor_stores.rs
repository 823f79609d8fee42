//! The stores a processor declares and opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{KeyValueStore, StoreIndex, StoreKind};

use crate::graph::StoreDecl;
use crate::materialized::Materialized;
use crate::punctuation::{Punctuation, PunctuationType};
use crate::topic::IntoSerde;

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
    /// that were missed are not made up.
    ///
    /// # Panics
    /// When the interval isn't positive.
    pub fn punctuate(kind: PunctuationType, interval_ms: i64) -> Self {
        assert!(interval_ms > 0, "a punctuation's interval must be positive");
        Self(Def::Punctuate(Punctuation { kind, interval_ms }))
    }
}

/// A key-value store that a processor declares, with its types.
pub struct KeyValueDef<K: ?Sized, V: ?Sized>(Materialized<K, V>);

impl<K: ?Sized + 'static, V: ?Sized + 'static> KeyValueDef<K, V> {
    /// A store of this name.
    pub fn new(
        name: impl Into<Arc<str>>,
        key: impl IntoSerde<K>,
        value: impl IntoSerde<V>,
    ) -> Self {
        Self(Materialized::as_(name, key, value))
    }

    /// The declaration, for [`KStream::process`](crate::KStream::process).
    pub fn def(&self) -> StoreDef {
        StoreDef(Def::Store(self.0.declare(StoreKind::KeyValue)))
    }
}

impl<K: ?Sized, V: ?Sized> Clone for KeyValueDef<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for KeyValueDef<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyValueDef").field(&self.0.name).finish()
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
    pub fn key_value<K, V>(&self, def: &KeyValueDef<K, V>) -> KeyValueStore<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let store =
            self.stores.get(&def.0.name).expect("a store is declared in the call of `process`");
        KeyValueStore::new(*store, &def.0.key, &def.0.value)
    }
}
