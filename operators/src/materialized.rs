//! How the result of a stateful operator is kept.

use std::sync::Arc;

use state_stores::{Serde, StoreKind};

use crate::graph::StoreDecl;
use crate::row_layout::RowLayout;
use crate::topic::IntoSerde;

/// Name and codecs of a store. The name is mandatory: store, changelog and repartition topics
/// are named after it, so editing the flow never renames state.
pub struct Materialized<K: ?Sized, V: ?Sized> {
    pub(crate) name: Arc<str>,
    pub(crate) key: Serde<K>,
    pub(crate) value: Serde<V>,
    pub(crate) retention_ms: Option<i64>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Materialized<K, V> {
    /// A store of this name with these codecs.
    pub fn as_(
        name: impl Into<Arc<str>>,
        key: impl IntoSerde<K>,
        value: impl IntoSerde<V>,
    ) -> Self {
        Self {
            name: name.into(),
            key: key.into_serde(),
            value: value.into_serde(),
            retention_ms: None,
        }
    }

    /// How long windows are kept after their start (sessions: their end), in stream time (ms).
    /// At least, and unless set, size plus grace (sessions: gap plus grace).
    pub fn retention_ms(mut self, retention_ms: i64) -> Self {
        self.retention_ms = Some(retention_ms);
        self
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The codec of its keys.
    pub fn key(&self) -> &Serde<K> {
        &self.key
    }

    /// The codec of its values.
    pub fn value(&self) -> &Serde<V> {
        &self.value
    }

    /// The retention that was set, but not below what the windows need.
    pub(crate) fn retention(&self, least_ms: i64) -> i64 {
        self.retention_ms.unwrap_or(least_ms).max(least_ms)
    }

    pub(crate) fn declare(&self, kind: StoreKind) -> StoreDecl {
        let formats = (self.key.format().to_owned(), self.value.format().to_owned());
        let rows = RowLayout::of_value(kind, true);
        let unpartitioned = Some(self.key.unpartitioned_bytes());
        StoreDecl { name: Arc::clone(&self.name), kind, formats, rows, unpartitioned }
    }
}

impl<K: ?Sized, V: ?Sized> Clone for Materialized<K, V> {
    fn clone(&self) -> Self {
        let (name, retention_ms) = (Arc::clone(&self.name), self.retention_ms);
        Self { name, key: Arc::clone(&self.key), value: Arc::clone(&self.value), retention_ms }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for Materialized<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Materialized").field("name", &self.name).finish_non_exhaustive()
    }
}
