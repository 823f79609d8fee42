//! `repartition`: over a topic to the task that owns the record's key.
//!
//! Operators that need the key call `keyed`, which repartitions only when the
//! key may have changed since the record was last partitioned.

use std::sync::Arc;

use super::sink::sink;
use crate::builder::source;
use crate::graph::Repartition;
use crate::stream::{KStream, Serdes};
use crate::topic::Topic;
use crate::topology::TopologyError;

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Sends the records through the topic `<application.id>-<name>-repartition`, in any case.
    /// Records without key are dropped and counted; those without value pass.
    pub fn repartition(&self, name: &str) -> Self {
        self.through(name, true)
    }

    /// The stream partitioned by its key: itself, or repartitioned under `name` without the
    /// records that have no key.
    pub(crate) fn keyed(&self, name: &str) -> Self {
        self.through_if_rekeyed(name, true)
    }

    /// As [`Self::keyed`]; records without key are kept unless `needs_key`.
    pub(crate) fn through_if_rekeyed(&self, name: &str, needs_key: bool) -> Self {
        if self.rekeyed { self.through(name, needs_key) } else { self.clone() }
    }

    fn through(&self, name: &str, needs_key: bool) -> Self {
        let operator = name.to_owned();
        let Some(key) = self.serdes.key.clone() else {
            self.problem(TopologyError::NoSerde { operator, part: "key" });
            return self.clone();
        };
        let Some(value) = self.serdes.value.clone() else {
            self.problem(TopologyError::NoSerde { operator, part: "value" });
            return self.clone();
        };
        let topic = Topic::new(self.flow.borrow().repartition_topic(name), key, value);
        if name.is_empty() {
            self.problem(TopologyError::Unnamed { operator: "repartition".to_owned() });
        }
        if self.flow.borrow().repartitions.iter().any(|other| other.topic == *topic.name()) {
            self.problem(TopologyError::DuplicateName { name: operator });
        }
        let writer = sink(self, &topic, needs_key);
        let repartition = Repartition { topic: Arc::clone(topic.name()), writer };
        self.flow.borrow_mut().repartitions.push(repartition);
        Self::new(&self.flow, source(&self.flow, &topic), Serdes::of(&topic), false)
    }
}
