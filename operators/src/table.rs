//! `KTable` and `GlobalKTable`: the last value of each key.

use std::rc::Rc;
use std::sync::Arc;

use state_stores::Serde;

use crate::builder::Flow;
use crate::graph::NodeId;
use crate::stream::{KStream, Serdes};
use crate::topic::Topic;

/// A table that changes with a stream: partitioned as its source.
pub struct KTable<K: ?Sized, V: ?Sized> {
    pub(crate) flow: Flow,
    pub(crate) node: NodeId,
    /// Where its rows are; None after filter or map_values.
    pub(crate) store: Option<Arc<str>>,
    pub(crate) serdes: Serdes<K, V>,
}

impl<K: ?Sized, V: ?Sized> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            flow: Rc::clone(&self.flow),
            node: self.node,
            store: self.store.clone(),
            serdes: self.serdes.clone(),
        }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KTable")
            .field("node", &self.node)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// How its keys are written, if known; windowed keys as Kafka Streams writes them.
    pub fn key_serde(&self) -> Option<Serde<K>> {
        self.serdes.key.clone()
    }

    /// The changes as a stream; a deletion is a record without value.
    pub fn to_stream(&self) -> KStream<K, V> {
        KStream::new(&self.flow, self.node, self.serdes.clone(), false)
    }

    /// The rows that satisfy `keep`. A row that doesn't (any more) is a deletion.
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let node = self.to_stream().filter_table(keep);
        Self { node, store: None, ..self.clone() }
    }

    /// The same rows with other values; a deletion stays a deletion.
    pub fn map_values<VO: 'static>(
        &self,
        map: impl Fn(&V) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        let mapped = self.to_stream().map_values(map);
        KTable {
            flow: Rc::clone(&self.flow),
            node: mapped.node,
            store: None,
            serdes: mapped.serdes,
        }
    }
}

/// A table that every instance holds whole, from all partitions of its topic.
pub struct GlobalKTable<K: ?Sized, V: ?Sized> {
    pub(crate) number: usize,
    pub(crate) topic: Topic<K, V>,
}

impl<K: ?Sized, V: ?Sized> GlobalKTable<K, V> {
    pub(crate) fn new(number: usize, topic: Topic<K, V>) -> Self {
        Self { number, topic }
    }
}

impl<K: ?Sized, V: ?Sized> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        Self { number: self.number, topic: self.topic.clone() }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for GlobalKTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalKTable").field("topic", &self.topic).finish()
    }
}
