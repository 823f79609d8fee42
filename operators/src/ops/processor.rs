//! `process`: the Processor API, for what the other operators don't say.
//!
//! Invariant: what a processor remembers in its own fields may be lost at any
//! commit; what affects its output belongs in stores and timers.

use std::sync::{Arc, PoisonError};

use state_stores::{StoreIndex, TaskState};

use super::processor_stores::{Def, ProcessorStores, StoreDef};
use super::processor_times::Times;
use crate::context::TaskContext;
use crate::failure::{BoxError, Failure};
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::observed::Observation;
use crate::process::{Edge, Process, Shared, TimerHandler};
use crate::punctuation::{Punctuation, PunctuationHandler};
use crate::record::Record;
use crate::stream::{KStream, Serdes};
use crate::topology::TaskId;

/// A user's own operator (P01): takes records, keeps stores and timers, forwards records.
///
/// One is made per task, and made anew after an abort or a restart: what a result depends on belongs in stores, timers
/// and schedules, not in fields.
pub trait Processor<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized>: Send {
    /// Takes one record. An error follows the node's [`crate::ErrorPolicy`]; a
    /// [`StoreError`](state_stores::StoreError) ends the transaction.
    fn process(
        &mut self,
        record: Record<'_, K, V>,
        ctx: &mut ProcessorContext<'_, KO, VO>,
    ) -> Result<(), BoxError>;

    /// A timer this processor set by [`ProcessorContext::timer`] is due at `due` (ms since 1970). It is gone by now. An
    /// error follows the node's policy, too; the timer stays gone unless the policy is to fail.
    fn on_timer(
        &mut self,
        _key: &[u8],
        _due: i64,
        _ctx: &mut ProcessorContext<'_, KO, VO>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// A schedule declared with [`StoreDef::punctuate`] is due. `timestamp` is the stream time or the clock, not the
    /// planned time.
    fn on_punctuate(
        &mut self,
        _punctuation: Punctuation,
        _timestamp: i64,
        _ctx: &mut ProcessorContext<'_, KO, VO>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Where the record at work was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// The source topic.
    pub topic: &'a str,
    /// The source partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: i64,
}

/// What a processor can do beside computing.
pub struct ProcessorContext<'a, KO: ?Sized, VO: ?Sized> {
    ctx: &'a mut TaskContext,
    next: &'a mut Edge<KO, VO>,
    timers: Option<StoreIndex>,
    failure: Option<Failure>,
}

impl<KO: ?Sized, VO: ?Sized> ProcessorContext<'_, KO, VO> {
    /// The task's clock, ms since 1970.
    pub fn now(&self) -> i64 {
        self.ctx.now_ms
    }

    /// The highest timestamp of all records that the task has taken, the one at work included; `None` before the first.
    /// It survives a restart if the processor declares [`StoreDef::stream_time`] or a punctuation of stream time.
    pub fn stream_time(&self) -> Option<i64> {
        self.ctx.stream_time
    }

    /// Where the record at work was read; `None` in timers and punctuations.
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let origin = self.ctx.origin?;
        let topic = self.ctx.topics.get(origin.source)?;
        Some(RecordMetadata { topic, partition: self.ctx.id.partition, offset: origin.offset })
    }

    /// The task the processor runs in.
    pub fn task_id(&self) -> TaskId {
        self.ctx.id
    }

    /// The task's state, for the stores' methods.
    pub fn state(&mut self) -> &mut TaskState {
        &mut self.ctx.state
    }

    /// Hands a record on, at once, to everything below. After a failure further down nothing is handed on any more, and
    /// the record at work fails by the policy of the node that failed, whatever this processor returns.
    pub fn forward(&mut self, record: Record<'_, KO, VO>) {
        if self.failure.is_none() {
            self.failure = self.next.process(record, self.ctx).err();
        }
    }

    /// Tells a histogram of the application's own metrics a value, once what led to it is committed; nothing of what is
    /// aborted or fails. See [`Observation`].
    pub fn observe(
        &mut self,
        metric: &'static str,
        label: Option<(&'static str, &'static str)>,
        value: f64,
    ) {
        self.ctx.observed.push(Observation { metric, label, value });
    }

    /// Sets a durable timer (ms since 1970, task clock). Several per key are fine; the same key and
    /// time twice is one.
    ///
    /// # Panics
    /// When the processor didn't declare [`StoreDef::timers`].
    pub fn timer(&mut self, key: &[u8], due: i64) {
        let queue = self.queue();
        self.ctx.set_timer(queue, due, key);
    }

    /// Takes a timer away; none there is fine.
    ///
    /// # Panics
    /// When the processor didn't declare [`StoreDef::timers`].
    pub fn cancel_timer(&mut self, key: &[u8], due: i64) {
        let queue = self.queue();
        self.ctx.cancel_timer(queue, due, key);
    }

    fn queue(&self) -> usize {
        let store = self.timers.expect("a processor that sets timers declares StoreDef::timers()");
        self.ctx.timers.queue_of(store)
    }
}

impl<KO: ?Sized, VO: ?Sized> std::fmt::Debug for ProcessorContext<'_, KO, VO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorContext").field("now_ms", &self.ctx.now_ms).finish_non_exhaustive()
    }
}

pub(super) struct ProcessorNode<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> {
    pub(super) id: NodeId,
    processor: Box<dyn Processor<K, V, KO, VO>>,
    pub(super) timers: Option<StoreIndex>,
    next: Edge<KO, VO>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> ProcessorNode<K, V, KO, VO> {
    fn run(
        &mut self,
        ctx: &mut TaskContext,
        call: impl FnOnce(
            &mut dyn Processor<K, V, KO, VO>,
            &mut ProcessorContext<'_, KO, VO>,
        ) -> Result<(), BoxError>,
    ) -> Result<(), Failure> {
        let mut context =
            ProcessorContext { ctx, next: &mut self.next, timers: self.timers, failure: None };
        let result = call(&mut *self.processor, &mut context);
        match context.failure {
            Some(failure) => Err(failure),
            None => result.map_err(|cause| Failure::node(self.id, cause)),
        }
    }
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> Process<K, V> for ProcessorNode<K, V, KO, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.run(ctx, |processor, context| processor.process(record, context))
    }
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> TimerHandler for ProcessorNode<K, V, KO, VO> {
    fn on_timer(&mut self, key: &[u8], due: i64, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.run(ctx, |processor, context| processor.on_timer(key, due, context))
    }
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> PunctuationHandler
    for Shared<ProcessorNode<K, V, KO, VO>>
{
    fn on_punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let mut node = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        node.run(ctx, |processor, context| processor.on_punctuate(punctuation, timestamp, context))
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Runs a processor of the user's with the stores it declares (P01, D04); `name` names its node, its times' stores
    /// and its repartition topic. `make` is called once per task. The key of what it forwards counts as changed:
    /// [`Self::process_values`] keeps it.
    ///
    /// Null keys and values are shown. If the key may have changed, records with a key are
    /// repartitioned first and those without are dropped.
    pub fn process<KO: ?Sized + 'static, VO: ?Sized + 'static>(
        &self,
        name: &str,
        stores: &[StoreDef],
        make: impl Fn(&ProcessorStores) -> Box<dyn Processor<K, V, KO, VO>> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let (input, node) = self.processor_node(name, "process", stores, make);
        KStream::new(&input.flow, node, Serdes::none(), true)
    }

    /// Adds the node; gives what it reads, which may be repartitioned, and the node.
    pub(super) fn processor_node<KO: ?Sized + 'static, VO: ?Sized + 'static>(
        &self,
        name: &str,
        kind: &'static str,
        stores: &[StoreDef],
        make: impl Fn(&ProcessorStores) -> Box<dyn Processor<K, V, KO, VO>> + Send + Sync + 'static,
    ) -> (Self, NodeId) {
        let input = if stores.is_empty() { self.clone() } else { self.keyed(name) };
        input.note();
        let times = Times::of(name, stores);
        let declared = stores.iter().filter_map(|store| match &store.0 {
            Def::Store(store) => Some(store.clone()),
            _ => None,
        });
        let own: Vec<StoreDecl> = declared.collect();
        let all: Vec<StoreDecl> = own.iter().chain(times.stores()).cloned().collect();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<KO, VO>(id);
            let open = |store: &StoreDecl| (Arc::clone(&store.name), assembly.store(&store.name));
            let processor = make(&ProcessorStores { stores: own.iter().map(open).collect() });
            let timers = times.timers.as_ref().map(|store| assembly.store(&store.name));
            let node = ProcessorNode { id, processor, timers, next };
            if times.stores().next().is_some() {
                times.install::<K, V, KO, VO>(assembly, node);
            } else {
                assembly.install::<K, V>(id, node);
            }
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator(kind);
        let node = graph.add(Some(name), kind, &[input.node], Box::new(build));
        for store in all {
            graph.declare(node, store);
        }
        drop(graph);
        (input, node)
    }
}

#[cfg(test)]
mod tests {
    use state_stores::KeyValueStore;

    use super::super::store_builder::KeyValueDef;
    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::{ErrorPolicy, StreamsBuilder, TopologyTestDriver};

    /// Keeps the last value and the number of records; repeats the value 50 and 100 ms later.
    struct Repeat {
        last: KeyValueStore<str, i64>,
        count: KeyValueStore<str, i64>,
    }

    impl Processor<str, i64, str, i64> for Repeat {
        fn process(
            &mut self,
            record: Record<'_, str, i64>,
            ctx: &mut ProcessorContext<'_, str, i64>,
        ) -> Result<(), BoxError> {
            let key = record.key.ok_or("no key")?;
            let count = self.count.get(ctx.state(), key)?.unwrap_or(0) + 1;
            self.count.put(ctx.state(), key, Some(&count))?;
            self.last.put(ctx.state(), key, record.value)?;
            for after in [50, 100] {
                ctx.timer(key.as_bytes(), ctx.now() + after);
            }
            Ok(())
        }

        fn on_timer(
            &mut self,
            key: &[u8],
            due: i64,
            ctx: &mut ProcessorContext<'_, str, i64>,
        ) -> Result<(), BoxError> {
            let key = std::str::from_utf8(key)?;
            let last = self.last.get(ctx.state(), key)?;
            let headers = &crate::headers::NO_HEADERS;
            ctx.forward(Record { key: Some(key), value: last.as_ref(), timestamp: due, headers });
            Ok(())
        }
    }

    #[test]
    fn several_stores_and_timers_survive_a_restart() {
        let last = KeyValueDef::<str, i64>::new("last", Utf8, I64Be);
        let count = KeyValueDef::<str, i64>::new("count", Utf8, I64Be);
        let stores = [last.def(), count.def(), StoreDef::timers()];
        let builder = StreamsBuilder::new("test");
        let repeated = builder.stream(&numbers("in")).process("repeat", &stores, move |stores| {
            Box::new(Repeat { last: stores.key_value(&last), count: stores.key_value(&count) })
        });
        repeated.on_error(ErrorPolicy::DeadLetter).to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe("k", &7);
        driver.input(&numbers("in")).try_pipe(None, Some(&8), 0, &crate::Headers::new()).unwrap();
        driver.advance_wall_clock(50);
        driver.restart();
        driver.input(&numbers("in")).pipe("k", &9);
        driver.advance_wall_clock(50);
        let times: Vec<_> = driver
            .output(&numbers("out"))
            .read_records()
            .iter()
            .map(|r| (r.timestamp, r.value))
            .collect();
        assert_eq!(times, [(50, Some(7)), (100, Some(9))], "one key and time is one timer");
        assert_eq!(driver.key_value::<str, i64>("count", Utf8, I64Be, "k"), Some(2));
        assert_eq!(
            driver
                .output(&crate::Topic::<str, i64>::new("dead_letters", Utf8, I64Be))
                .read_values(),
            [8]
        );
    }
}
