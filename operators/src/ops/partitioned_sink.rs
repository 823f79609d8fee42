//! `to_partitioned`: the flow chooses the partitions that records are written to (D08).

use std::sync::Arc;

use super::sink::Sink;
use crate::assembly::Assembly;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::Process;
use crate::record::Record;
use crate::stream::KStream;
use crate::topic::Topic;

/// Where a record is written to. Partitions count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// The partition that its key hashes to, as without a choice.
    ByKey,
    /// This one.
    One(u32),
    /// Each of these.
    Several(Vec<u32>),
    /// Every one.
    All,
    /// None: the record is dropped.
    Nowhere,
}

/// Chooses by record and number of partitions.
type Choose<K, V> = dyn for<'a> Fn(Record<'a, K, V>, u32) -> Partitions + Send + Sync;

struct PartitionedSink<K: ?Sized, V: ?Sized> {
    id: NodeId,
    sink: Sink<K, V>,
    choose: Arc<Choose<K, V>>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for PartitionedSink<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (_, count) = ctx.outputs.partitions(self.sink.topic);
        let chosen = (self.choose)(record, count);
        if chosen == Partitions::ByKey {
            return self.sink.process(record, ctx);
        }
        let mut send = |partition| self.send(record, partition, ctx);
        match chosen {
            Partitions::One(partition) => send(partition),
            Partitions::Several(partitions) => partitions.into_iter().try_for_each(send),
            Partitions::All => (0..count).try_for_each(send),
            Partitions::ByKey | Partitions::Nowhere => Ok(()),
        }
    }
}

impl<K: ?Sized, V: ?Sized> PartitionedSink<K, V> {
    fn send(
        &mut self,
        record: Record<'_, K, V>,
        partition: u32,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let (topic, count) = ctx.outputs.partitions(self.sink.topic);
        if partition >= count {
            let cause = format!(
                "partition {partition} was chosen of topic `{topic}`, which has {count}; choose one below that"
            );
            return Err(Failure::node(self.id, cause));
        }
        self.sink.process(record, ctx)?;
        ctx.outputs.choose_partition(partition);
        Ok(())
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Writes each record to the partitions that `choose` gives, by the record and the number of partitions of the
    /// topic. One that the topic doesn't have is an error of the node.
    ///
    /// Whoever reads such a topic finds keys elsewhere than they hash to: it must be repartitioned before keys can meet.
    pub fn to_partitioned(
        &self,
        topic: &Topic<K, V>,
        choose: impl for<'a> Fn(Record<'a, K, V>, u32) -> Partitions + Send + Sync + 'static,
    ) {
        let kind = NodeKind::Sink(vec![Arc::clone(topic.name())]);
        let (topic, choose): (_, Arc<Choose<K, V>>) = (topic.clone(), Arc::new(choose));
        let build = move |assembly: &mut Assembly<'_>, id| {
            let number = assembly.topic(topic.name());
            let sink = Sink::new(id, number, &topic, false);
            assembly.install::<K, V>(id, PartitionedSink { id, sink, choose: Arc::clone(&choose) });
        };
        self.flow.borrow_mut().add(None, kind, &[self.node], Box::new(build));
    }
}

#[cfg(test)]
mod tests {
    use super::Partitions;
    use crate::testing::numbers;
    use crate::{DriverOptions, Headers, StreamsBuilder, TaskError, TopologyTestDriver};

    #[test]
    fn records_go_where_the_flow_says() {
        let builder = StreamsBuilder::new("test");
        builder.stream(&numbers("in")).to_partitioned(
            &numbers("out"),
            |record, count| match record.value {
                None => Partitions::All,
                Some(0) => Partitions::Nowhere,
                Some(1) => Partitions::ByKey,
                Some(2) => Partitions::Several(vec![0, count - 1]),
                Some(n) => Partitions::One(*n as u32),
            },
        );
        let topic_partitions = [("out".into(), 4), ("in".into(), 2)].into();
        let options = DriverOptions { topic_partitions, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        let mut out = driver.output(&numbers("out"));
        let mut partitions = |value: Option<i64>| {
            let input = driver.input(&numbers("in"));
            input.try_pipe(Some("21"), value.as_ref(), 0, &Headers::new())?;
            let records = out.read_records();
            assert!(records.iter().all(|r| r.key.as_deref() == Some("21") && r.value == value));
            Ok::<_, TaskError>(records.iter().map(|r| r.partition).collect::<Vec<_>>())
        };
        let by_key = state_stores::partition::partition_for_key(b"21", 4);
        assert_eq!(partitions(None).unwrap(), [0, 1, 2, 3]);
        assert_eq!(partitions(Some(0)).unwrap(), [0; 0]);
        assert_eq!(partitions(Some(1)).unwrap(), [by_key]);
        assert_eq!(partitions(Some(2)).unwrap(), [0, 3]);
        assert_eq!(partitions(Some(3)).unwrap(), [3]);
        let error = partitions(Some(4)).unwrap_err().to_string();
        assert!(error.contains("partition 4 was chosen of topic `out`, which has 4"), "{error}");
    }
}
