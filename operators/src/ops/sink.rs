//! `to`, `to_one_of`: where records leave the flow.

use std::sync::Arc;

use state_stores::Encoder;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::Process;
use crate::record::Record;
use crate::stream::KStream;
use crate::topic::Topic;

/// One topic with encoders of the task's own.
pub(crate) struct Sink<K: ?Sized, V: ?Sized> {
    id: NodeId,
    pub(super) topic: u32,
    key: Box<dyn Encoder<K>>,
    value: Box<dyn Encoder<V>>,
    /// Repartition topics for grouping have no use for records without key.
    needs_key: bool,
    /// [`state_stores::Codec::unpartitioned_bytes`] of the key.
    unpartitioned: usize,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Sink<K, V> {
    pub(super) fn new(id: NodeId, number: u32, topic: &Topic<K, V>, needs_key: bool) -> Self {
        let (key, value) = (topic.key().encoder(), topic.value().encoder());
        let unpartitioned = topic.key().unpartitioned_bytes();
        Self { id, topic: number, key, value, needs_key, unpartitioned }
    }
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Sink<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        if self.needs_key && record.key.is_none() {
            ctx.drop_incomplete();
            return Ok(());
        }
        if record.timestamp < 0 {
            let cause = format!(
                "the timestamp {} is negative, and no log takes that; give the record one of 1970 or later",
                record.timestamp
            );
            return Err(Failure::node(self.id, cause));
        }
        let (keys, values) = (&mut self.key, &mut self.value);
        ctx.outputs
            .add(
                self.topic,
                record.timestamp,
                record.headers,
                |out| {
                    record.key.map(|key| keys.encode(key, out)).transpose().map(|key| key.is_some())
                },
                |out| {
                    record
                        .value
                        .map(|value| values.encode(value, out))
                        .transpose()
                        .map(|value| value.is_some())
                },
            )
            .map_err(|error| Failure::node(self.id, error))?;
        if self.unpartitioned > 0 {
            ctx.outputs.partition_without(self.unpartitioned);
        }
        Ok(())
    }
}

/// Declares a sink node for one topic.
pub(crate) fn sink<K, V>(stream: &KStream<K, V>, topic: &Topic<K, V>, needs_key: bool) -> NodeId
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
{
    let kind = NodeKind::Sink(vec![Arc::clone(topic.name())]);
    let topic = topic.clone();
    let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
        let number = assembly.topic(topic.name());
        assembly.install::<K, V>(id, Sink::new(id, number, &topic, needs_key));
    };
    stream.flow.borrow_mut().add(None, kind, &[stream.node], Box::new(build))
}

/// Gives the name of a topic, or none.
type Choose<K, V> = dyn for<'a> Fn(Option<&'a K>, &'a V) -> Option<&'a str> + Send + Sync;

struct OneOf<K: ?Sized, V: ?Sized> {
    id: NodeId,
    choose: Arc<Choose<K, V>>,
    sinks: Vec<(Arc<str>, Sink<K, V>)>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for OneOf<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(value) = record.value else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let Some(name) = (self.choose)(record.key, value) else { return Ok(()) };
        match self.sinks.iter_mut().find(|(topic, _)| &**topic == name) {
            Some((_, sink)) => sink.process(record, ctx),
            None => Err(Failure::node(
                self.id,
                format!("topic `{name}` isn't among the declared topics; add it"),
            )),
        }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Writes every record to a topic (D08), tombstones and records without key too, with its time and headers. The key
    /// chooses the partition as in Kafka's Java client (murmur2; of a windowed key without its window); a record without
    /// key goes to its task's partition. What a codec refuses is an error of this node.
    pub fn to(&self, topic: &Topic<K, V>) {
        sink(self, topic, false);
    }

    /// Writes each record (D08, dynamic) to the one of `topics` whose name `choose` gives; `None` drops it, as
    /// does a record without value. The choice of topics is declared, so that the topology shows where records can go.
    ///
    /// A name that isn't among `topics` is an error of the node.
    pub fn to_one_of(
        &self,
        topics: &[Topic<K, V>],
        choose: impl for<'a> Fn(Option<&'a K>, &'a V) -> Option<&'a str> + Send + Sync + 'static,
    ) {
        let kind = NodeKind::Sink(topics.iter().map(|topic| Arc::clone(topic.name())).collect());
        let topics = topics.to_vec();
        let choose: Arc<Choose<K, V>> = Arc::new(choose);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let mut sinks = Vec::with_capacity(topics.len());
            for topic in &topics {
                let number = assembly.topic(topic.name());
                sinks.push((Arc::clone(topic.name()), Sink::new(id, number, topic, false)));
            }
            assembly.install::<K, V>(id, OneOf { id, choose: Arc::clone(&choose), sinks });
        };
        self.flow.borrow_mut().add(None, kind, &[self.node], Box::new(build));
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::I64Be;
    use crate::testing::{numbers, pair};
    use crate::{Headers, Input, StreamsBuilder, TaskError, TopologyTestDriver};

    #[test]
    fn a_record_before_1970_goes_nowhere() {
        let builder = StreamsBuilder::new("test");
        let dated = builder.stream(&numbers("in")).state_machine::<i64, i64>(
            "m",
            I64Be,
            |_, _, input, ctx| {
                if let Input::Message(n) = input {
                    ctx.emit(*n).at(*n);
                }
            },
        );
        dated.to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let pipe =
            |n| driver.input(&numbers("in")).try_pipe(Some("k"), Some(&n), 0, &Headers::new());
        pipe(0).unwrap();
        let error = pipe(-1).unwrap_err().to_string();
        assert!(error.contains("the timestamp -1 is negative"), "{error}");
        assert_eq!(driver.output(&numbers("out")).read_values(), [0]);
    }

    #[test]
    fn each_record_goes_to_the_topic_it_names() {
        let builder = StreamsBuilder::new("test");
        let topics = [numbers("odd"), numbers("even")];
        let choose = |_: Option<&str>, n: &i64| match *n {
            0 => None,
            9 => Some("nine"),
            n if n % 2 == 0 => Some("even"),
            _ => Some("odd"),
        };
        builder.stream(&numbers("in")).to_one_of(&topics, move |key, n| choose(key, n));
        let topology = builder.build().unwrap();
        assert_eq!(topology.subtopologies()[0].sinks.len(), 2);
        let driver = TopologyTestDriver::new(&topology);
        for n in 0..3 {
            driver.input(&numbers("in")).pipe("k", &n);
        }
        assert_eq!(driver.output(&numbers("odd")).read_key_values(), [pair("k", 1)]);
        assert_eq!(driver.output(&numbers("even")).read_key_values(), [pair("k", 2)]);
        let refused =
            driver.input(&numbers("in")).try_pipe(Some("k"), Some(&9), 0, &Headers::new());
        assert!(matches!(refused, Err(TaskError::Record { offset: 3, .. })), "{refused:?}");
    }
}
