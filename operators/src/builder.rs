//! Records a flow: the door to the DSL.

use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::consumed::{Consumed, OffsetReset};
use crate::failure::ErrorPolicy;
use crate::graph::{GlobalTable, Graph, NodeId, NodeKind};
use crate::source::{Source, time_owner};
use crate::stream::{KStream, Serdes};
use crate::stream_time::StreamTime;
use crate::table::{GlobalKTable, KTable};
use crate::topic::Topic;
use crate::topology::{Topology, TopologyError};

/// The graph while streams still add to it.
pub(crate) type Flow = Rc<RefCell<Graph>>;

/// Where a flow begins: streams and tables from topics, then [`build`](Self::build).
///
/// Nothing runs here: each call adds to a graph, and what is wrong with it is said by `build`.
#[derive(Debug)]
pub struct StreamsBuilder {
    flow: Flow,
}

impl StreamsBuilder {
    /// `application_id` names the consumer group and prefixes all internal topics, so it has 1 to 240 of the characters
    /// that topics' names may have (`a-z`, `A-Z`, `0-9`, `.`, `_`, `-`). Under another one the application begins without
    /// state and at the start of its topics.
    pub fn new(application_id: impl Into<Arc<str>>) -> Self {
        Self { flow: Rc::new(RefCell::new(Graph::new(application_id.into()))) }
    }

    /// Reads a topic as a stream. The same topic twice is one source.
    ///
    /// A record that can't be decoded goes to `dead_letters`; another policy: [`KStream::on_error`].
    pub fn stream<K, V>(&self, topic: &Topic<K, V>) -> KStream<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        self.flow.borrow_mut().read.push(Arc::clone(topic.name()));
        let node = source(&self.flow, topic);
        KStream::new(&self.flow, node, Serdes::of(topic), false)
    }

    /// As [`Self::stream`], with timestamps made otherwise, or keys checked. All who read the topic get its records so;
    /// say it where the topic is read first.
    pub fn stream_with<K, V>(&self, topic: &Topic<K, V>, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        if self.flow.borrow().sources.iter().any(|(name, _, _)| name == topic.name()) {
            let topic = topic.name().to_string();
            self.flow.borrow_mut().problems.push(TopologyError::ConsumedTwice { topic });
        }
        self.flow.borrow_mut().read.push(Arc::clone(topic.name()));
        let node = source_with(&self.flow, topic, consumed);
        KStream::new(&self.flow, node, Serdes::of(topic), false)
    }

    /// Reads several topics as one stream, by timestamp as far as their records are at hand. They must have one
    /// partition count. A topic may be read by other streams, too: it is one source.
    ///
    /// # Panics
    /// When there is no topic.
    pub fn stream_of<'t, K, V>(
        &self,
        topics: impl IntoIterator<Item = &'t Topic<K, V>>,
    ) -> KStream<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let mut known: Vec<&Topic<K, V>> = Vec::new();
        for topic in topics {
            if known.iter().all(|other| other.name() != topic.name()) {
                known.push(topic);
            }
        }
        let streams: Vec<KStream<K, V>> = known.iter().map(|topic| self.stream(topic)).collect();
        let (first, others) = streams.split_first().expect("a stream is read from a topic");
        first.merge_all(others)
    }

    /// Reads a topic as a table kept in the store `name` (T01): the last value of each key, by offset, whatever the
    /// records' times; no value deletes. Records without key are dropped and counted.
    pub fn table<K, V>(&self, name: &str, topic: &Topic<K, V>) -> KTable<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        self.stream(topic).into_table(name)
    }

    /// Reads all partitions of a topic into a table that every instance holds whole. One table per
    /// topic.
    pub fn global_table<K, V>(&self, name: &str, topic: &Topic<K, V>) -> GlobalKTable<K, V>
    where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
    {
        let mut graph = self.flow.borrow_mut();
        if name.is_empty() {
            let (operator, behind) = ("global_table".to_owned(), topic.name().to_string());
            graph.problems.push(TopologyError::Unnamed { operator, behind });
        } else if graph.globals.iter().any(|table| &*table.store == name) {
            let (first, second) = ("a global table".to_owned(), "another one".to_owned());
            graph.duplicate(name, first, second);
        }
        if let Some(other) = graph.globals.iter().find(|table| table.topic == *topic.name()) {
            let (topic, first) = (topic.name().to_string(), other.store.to_string());
            let second = name.to_owned();
            graph.problems.push(TopologyError::GlobalTwice { topic, first, second });
        }
        graph.globals.push(GlobalTable { topic: Arc::clone(topic.name()), store: Arc::from(name) });
        GlobalKTable::new(graph.globals.len() - 1, topic.clone())
    }

    /// Declares that the flow reads a topic it writes, directly or over others, on purpose.
    pub fn feedback<K: ?Sized + 'static, V: ?Sized + 'static>(&mut self, topic: &Topic<K, V>) {
        self.flow.borrow_mut().feedback.push(Arc::clone(topic.name()));
    }

    /// Validates the flow. Streams made by this builder can't add to it afterwards.
    ///
    /// # Errors
    /// The first thing that is wrong with the flow; the message names the operator or topic, and the remedy.
    pub fn build(self) -> Result<Topology, TopologyError> {
        let empty = Graph::new(Arc::clone(&self.flow.borrow().application_id));
        Topology::new(self.flow.replace(empty))
    }
}

/// The source node of a topic, made on first use.
pub(crate) fn source<K, V>(flow: &Flow, topic: &Topic<K, V>) -> NodeId
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
{
    source_with(flow, topic, Consumed::default())
}

fn source_with<K, V>(flow: &Flow, topic: &Topic<K, V>, consumed: Consumed<K, V>) -> NodeId
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
{
    let mut graph = flow.borrow_mut();
    let types = (TypeId::of::<K>(), TypeId::of::<V>());
    if let Some((_, node, known)) = graph.sources.iter().find(|(name, _, _)| name == topic.name()) {
        let (node, known) = (*node, *known);
        if known == types {
            return node;
        }
        graph.problems.push(TopologyError::SourceTypes { topic: topic.name().to_string() });
    }
    let (codecs, keeps_time) = (topic.clone(), consumed.timestamps.needs_time());
    if consumed.offset_reset == OffsetReset::Latest {
        graph.read_from_end.push(Arc::clone(topic.name()));
    }
    let node = graph.add(
        None,
        NodeKind::Source(Arc::clone(topic.name())),
        &[],
        Box::new(move |assembly, id| {
            let source = Source::new(assembly, id, &codecs, &consumed);
            assembly.install_source(id, Box::new(source));
        }),
    );
    graph.nodes[node.0].policy = ErrorPolicy::DeadLetter;
    if keeps_time {
        graph.declare(node, StreamTime::declare(&time_owner(topic.name())));
    }
    let formats = (topic.key().format().to_owned(), topic.value().format().to_owned());
    graph.nodes[node.0].formats = Some(formats);
    graph.sources.push((Arc::clone(topic.name()), node, types));
    node
}
