//! `merge`: two streams of one type as one.

use std::rc::Rc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeKind;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::topology::TopologyError;

pub(super) struct Merge<K: ?Sized, V: ?Sized>(pub(super) Edge<K, V>);

impl<K: ?Sized, V: ?Sized> Process<K, V> for Merge<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.process(record, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// The records of both, by timestamp as far as both are at hand. Their topics must have one
    /// partition count.
    pub fn merge(&self, other: &Self) -> Self {
        self.merge_all([other])
    }

    /// As [`Self::merge`], of any number of streams.
    pub fn merge_all<'s>(&'s self, others: impl IntoIterator<Item = &'s Self>) -> Self {
        let streams: Vec<&Self> = std::iter::once(self).chain(others).collect();
        if streams.iter().any(|stream| !Rc::ptr_eq(&self.flow, &stream.flow)) {
            self.problem(TopologyError::TwoBuilders { operator: "merge".to_owned() });
            return self.clone();
        }
        if streams.len() == 1 {
            return self.clone();
        }
        let build = |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, V>(id);
            assembly.install::<K, V>(id, Merge(next));
        };
        let parents: Vec<_> = streams.iter().map(|stream| stream.node).collect();
        let rekeyed = streams.iter().any(|stream| stream.rekeyed);
        let node = self.flow.borrow_mut().add(
            None,
            NodeKind::Operator("merge"),
            &parents,
            Box::new(build),
        );
        Self::new(&self.flow, node, self.serdes.clone(), rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{SAMPLE, pair, through};
    use crate::{StreamsBuilder, TopologyError};

    #[test]
    fn a_diamond_sees_each_record_twice_in_order() {
        let flow = |stream: crate::KStream<str, i64>| stream.map_values(|n| n * 10).merge(&stream);
        let (out, _) = through(flow, &SAMPLE[..2]);
        assert_eq!(out, [pair("a", 10), pair("a", 1), pair("b", 20), pair("b", 2)]);
    }

    #[test]
    fn three_streams_are_one_in_the_order_they_were_declared() {
        let flow = |stream: crate::KStream<str, i64>| {
            let [tens, hundreds] = [10, 100].map(|by| stream.map_values(move |n| n * by));
            hundreds.merge_all([&stream, &tens])
        };
        let (out, _) = through(flow, &SAMPLE[..1]);
        assert_eq!(out, [pair("a", 10), pair("a", 100), pair("a", 1)]);
    }

    #[test]
    fn streams_of_two_builders_are_refused() {
        let (one, other) = (StreamsBuilder::new("one"), StreamsBuilder::new("other"));
        let topic = crate::testing::numbers("in");
        let _ = one.stream(&topic).merge(&other.stream(&topic));
        assert_eq!(
            one.build().unwrap_err(),
            TopologyError::TwoBuilders { operator: "merge".into() }
        );
    }
}
