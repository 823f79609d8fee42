//! A stream joined with itself, on one store (J10). The results and their order are those of two stores.

use std::any::Any;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use state_stores::WindowStore;

use super::stream_join::side_store;
use super::stream_join_side::{Joiner, put};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeKind;
use crate::join_windows::{JoinWindows, Side};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};

struct SelfJoin<K: ?Sized, V: ?Sized, VO> {
    windows: JoinWindows,
    join: Joiner<V, V, VO>,
    rows: WindowStore<K, V>,
    hits: Vec<(i64, VO)>,
    next: Edge<K, VO>,
}

impl<K, V, VO> Process<K, V> for SelfJoin<K, V, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    VO: Send + 'static,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        // As the left record with all before it, then as the right one with these and itself.
        for side in [Side::Left, Side::Right] {
            let (join, hits) = (&self.join, &mut self.hits);
            hits.clear();
            let times = side.matches(&self.windows, record.timestamp);
            self.rows.fetch(&ctx.state, key, times, |time, other, _| {
                let joined = match side {
                    Side::Left => join(Some(value), Some(other)),
                    Side::Right => join(Some(other), Some(value)),
                };
                hits.extend(joined.map(|joined| (time, joined)));
                ControlFlow::Continue(())
            })?;
            for (time, joined) in hits.drain(..) {
                let timestamp = record.timestamp.max(time);
                let joined = record.with_value(Some(&joined)).with_timestamp(timestamp);
                self.next.process(joined, ctx)?;
            }
            if side == Side::Left {
                put(&mut self.rows, record.timestamp, (key, value), ctx)?;
            }
        }
        Ok(())
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// The join, if `other` is this stream.
    pub(super) fn self_join<O: ?Sized + 'static, VO: Send + 'static>(
        &self,
        name: &str,
        other: &KStream<K, O>,
        windows: JoinWindows,
        join: &Joiner<V, O, VO>,
    ) -> Option<KStream<K, VO>> {
        if !Rc::ptr_eq(&self.flow, &other.flow) || self.node != other.node {
            return None;
        }
        // One node has one type of values.
        let join: Box<dyn Any> = Box::new(Arc::clone(join));
        let join = join.downcast::<Joiner<V, V, VO>>().ok()?;
        let (key, value) = (self.serdes.key.clone()?, self.serdes.value.clone()?);
        let input = self.keyed(name);
        let store = side_store((name, Side::Left), &windows, (&key, &value));
        let (store_name, codecs) = (Arc::clone(&store.name), (Arc::clone(&key), value));
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let rows = WindowStore::new(assembly.store(&store_name), &codecs.0, &codecs.1);
            let (join, hits) = (Arc::clone(&*join), Vec::new());
            assembly.install::<K, V>(id, SelfJoin { windows, join, rows, hits, next });
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator("self-join");
        let node = graph.add(Some(name), kind, &[input.node], Box::new(build));
        graph.declare(node, store);
        drop(graph);
        Some(KStream::new(&input.flow, node, Serdes { key: Some(key), value: None }, false))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::numbers;
    use crate::{JoinWindows, StreamsBuilder, TopologyTestDriver};

    #[test]
    fn pairs_come_in_both_orders_from_one_store() {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        let pairs =
            stream.join_stream("j", &stream, JoinWindows::of_time_difference(5), |l, r| l * 10 + r);
        pairs.to(&numbers("out"));
        let topology = builder.build().unwrap();
        assert_eq!(topology.subtopologies()[0].stores.len(), 1);
        let driver = TopologyTestDriver::new(&topology);
        driver.input(&numbers("in")).pipe_at("k", &1, 0);
        driver.restart();
        driver.input(&numbers("in")).pipe_at("k", &2, 5);
        driver.input(&numbers("in")).pipe_at("k", &3, 6);
        let out = driver.output(&numbers("out")).read_values();
        assert_eq!(out, [11, 21, 12, 22, 32, 23, 33]);
    }
}
