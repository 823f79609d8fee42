//! `KTable` and `GlobalKTable`: the last value of each key. Operators are in `ops`.

use std::rc::Rc;

use state_stores::Serde;

use crate::builder::Flow;
use crate::graph::NodeId;
use crate::stream::{KStream, Serdes};
use crate::topic::{IntoSerde, Topic};
use crate::topology::TopologyError;
use crate::view::View;

/// The last value of each key, partitioned as its source; every change of a row goes on to what is made of it (T02).
///
/// Rows lie in a store where the table was made (`table`, `to_table`, an aggregation, `materialize`); a table that was
/// filtered, mapped or joined keeps none and is read through. Times of rows are those of the records they came from.
pub struct KTable<K: ?Sized, V: ?Sized> {
    pub(crate) flow: Flow,
    pub(crate) node: NodeId,
    /// Reads its rows; None where they can't be read by key.
    pub(crate) view: Option<View<K, V>>,
    pub(crate) serdes: Serdes<K, V>,
}

impl<K: ?Sized, V: ?Sized> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            flow: Rc::clone(&self.flow),
            node: self.node,
            view: self.view.clone(),
            serdes: self.serdes.clone(),
        }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KTable")
            .field("node", &self.node)
            .field("stores", &self.view.as_ref().map(|view| &view.stores))
            .finish_non_exhaustive()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    pub(crate) fn new(
        flow: &Flow,
        node: NodeId,
        view: Option<View<K, V>>,
        serdes: Serdes<K, V>,
    ) -> Self {
        Self { flow: Rc::clone(flow), node, view, serdes }
    }

    /// How its keys are written, if known; windowed keys as Kafka Streams writes them.
    pub fn key_serde(&self) -> Option<Serde<K>> {
        self.serdes.key.clone()
    }

    /// The changes as a stream; a deletion is a record without value.
    pub fn to_stream(&self) -> KStream<K, V> {
        KStream::new(&self.flow, self.node, self.serdes.clone(), false)
    }

    /// Says how keys are written, where that is needed and not known any more.
    pub fn with_key_serde(mut self, key: impl IntoSerde<K>) -> Self {
        self.serdes.key = Some(key.into_serde());
        self
    }

    /// Says how values are written, where that is needed and not known any more.
    pub fn with_value_serde(mut self, value: impl IntoSerde<V>) -> Self {
        self.serdes.value = Some(value.into_serde());
        self
    }

    /// Whether `operator` may combine this table with something of `flow`; if not, that build fails.
    pub(crate) fn is_of(&self, flow: &Flow, operator: &str) -> bool {
        let same = Rc::ptr_eq(&self.flow, flow);
        if !same {
            let operator = operator.to_owned();
            flow.borrow_mut().problems.push(TopologyError::TwoBuilders { operator });
        }
        same
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
